package backendtest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/outflow-db/outflow/backends"
)

func (x *bench) many(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("key %d", i*7919%n)
	}
	return keys
}

// Scan reports every live entry once and no deleted one, over many pages.
func testScan(tb test, s Suite) {
	x := newBench(tb, s)
	x.check("nothing")
	keys := x.many(3500)
	x.write(x.state(7, 1, keys...))
	x.write(gone(8, keys[:700]...))
	x.write(x.state(9, 2, keys[500:900]...))
	x.check(keys[:500]...)
}

// A record that does not change during a scan is reported exactly once, whatever happens to the others.
func testScanWhileWriting(tb test, s Suite) {
	x := newBench(tb, s)
	keys := x.many(3000)
	x.write(x.state(7, 1, keys...))
	x.refresh()
	seen, busy := map[string]int{}, map[string]bool{}
	version := int64(10)
	err := x.backend.Scan(tb.Context(), x.target, func(page []backends.Entry) error {
		for _, e := range page {
			seen[e.Key]++
		}
		for _, key := range []string{keys[version], "new " + keys[version], page[0].Key} {
			busy[key] = true
		}
		x.write(x.state(version, 2, keys[version], "new "+keys[version]))
		x.write(gone(version, page[0].Key))
		version++
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	for _, key := range keys {
		if !busy[key] && seen[key] != 1 {
			tb.Errorf("key %q was reported %d times", key, seen[key])
		}
	}
}

// A scan reads from the store not much more than it has passed on: whoever takes pages slowly does not make it hoard the
// rest. What is read is counted in bytes, on the way.
func testScanPageByPage(tb test, s Suite) {
	const records, ahead = 20_000, 12_000 // what may be read before it is passed on: a few pages
	p := newProxy(tb, s.Address)
	x := benchOf(tb, s, s.Base, s.Through(tb, p.address()))
	keys := x.many(records)
	for part := range slices.Chunk(keys, 5000) {
		x.write(x.state(7, 1, part...))
	}
	x.refresh()
	before := p.answered()
	if n := len(x.scan()); n != records {
		tb.Fatalf("%d entries were scanned", n)
	}
	size := max(float64(p.answered()-before)/records, 1e-9) // of an entry
	before = p.answered()
	passed := 0
	err := x.backend.Scan(tb.Context(), x.target, func(page []backends.Entry) error {
		passed += len(page)
		if read := float64(p.answered()-before) / size; read > float64(passed+ahead) {
			tb.Errorf("as much as %.0f entries was read when %d were passed on", read, passed)
		}
		return nil
	})
	if err != nil || passed != records {
		tb.Errorf("%d entries were passed on: %v", passed, err)
	}
}

// An error of fn ends the scan and comes back as it is.
func testScanStops(tb test, s Suite) {
	x := newBench(tb, s)
	x.write(x.state(7, 1, x.many(2500)...))
	x.refresh()
	enough := errors.New("enough")
	pages := 0
	err := x.backend.Scan(tb.Context(), x.target, func([]backends.Entry) error {
		pages++
		return enough
	})
	if err != enough || pages != 1 { //nolint:errorlint // as it is, not wrapped
		tb.Errorf("got %v after %d pages", err, pages)
	}
}

// Lookup tells the newest state of what is there, and nothing of what is not.
func testLookup(tb test, s Suite) {
	x := newBench(tb, s)
	x.write(x.state(7, 1, "a", "b", "c"))
	x.write(gone(8, "b"))
	x.write(x.state(9, 2, "c"))
	x.check("b", "never", "A", "a ")
	if got := x.lookup(); len(got) != 0 {
		tb.Errorf("no keys found %v", got)
	}
}

// A content that was changed behind the backend's back has another digest.
func testTampered(tb test, s Suite) {
	x := newBench(tb, s)
	if !x.backend.Features().Recomputed {
		tb.Skip("the store does not promise to recompute digests")
	}
	x.write(x.state(7, 1, "a", "b"))
	s.Tamper(tb, x.backend, x.target, "a")
	for name, got := range map[string]map[string]backends.Entry{"scan": x.scan(), "lookup": x.lookup("a", "b")} {
		if got["a"].Digest == x.want["a"].Digest || got["a"].Digest == (backends.Digest{}) {
			tb.Errorf("%s does not notice the change", name)
		}
		if got["b"] != x.want["b"] {
			tb.Errorf("%s: the other record differs: %v", name, got["b"])
		}
	}
	x.write(x.state(8, 1, "a"))
	x.check()
}
