package backendtest

import (
	"fmt"
	"strings"

	"github.com/outflow-db/outflow/backends"
)

// Writing a record twice leaves the store as writing it once.
func testReplay(tb test, s Suite) {
	x := newBench(tb, s)
	records := x.state(7, 1, "a", "b", "c")
	for range 3 {
		x.write(records)
		x.check("d")
	}
}

// A newer version replaces the older one.
func testUpdate(tb test, s Suite) {
	x := newBench(tb, s)
	x.write(x.state(7, 1, "a", "b"))
	x.write(x.state(8, 2, "b", "c"))
	x.check()
	x.write(x.state(9, 1, "b")) // back to the first content
	x.check()
}

// A deleted record is gone, whether it was there or not, and can come back.
func testDelete(tb test, s Suite) {
	x := newBench(tb, s)
	x.write(x.state(7, 1, "a", "b"))
	x.write(gone(8, "a", "never"))
	x.check("a", "never")
	x.write(gone(8, "a")) // a replay
	x.write(gone(9, "a"))
	x.check("a")
	x.write(x.state(10, 2, "a", "never"))
	x.check()
}

// Answers come in the order of the records, which is not that of the keys, and writes and deletes mix.
func testOrderOfAnswers(tb test, s Suite) {
	x := newBench(tb, s)
	x.write(x.state(20, 1, "m", "b"))
	mixed := []backends.Record{x.state(30, 2, "z")[0], gone(5, "m")[0], gone(30, "b")[0], x.state(30, 3, "a")[0]}
	results := x.try(mixed)
	if !x.backend.Features().Guarded {
		x.expect(mixed)
		x.check()
		return
	}
	for i, want := range []backends.Outcome{backends.Applied, backends.Stale, backends.Applied, backends.Applied} {
		if results[i].Outcome != want {
			tb.Errorf("answer %d, for key %s: %s", i, mixed[i].Key, describe(results[i]))
		}
	}
	x.expect([]backends.Record{mixed[0], mixed[2], mixed[3]})
	x.check("b")
}

// One record that the store refuses for good does not keep the others of its batch out; mended, it is taken.
func testPoison(tb test, s Suite) {
	x := benchOf(tb, s, s.PoisonShape, s.Open(tb))
	records := x.state(7, 1, "a", "b", "c", "d", "e", "f", "g")
	good := records[4]
	records[4] = s.Poison(good)
	for i, r := range x.try(records) {
		switch {
		case i != 4 && r.Outcome != backends.Applied:
			tb.Errorf("key %q: %s, want applied", records[i].Key, describe(r))
		case i == 4 && (r.Outcome != backends.Failed || r.Err == nil):
			tb.Fatalf("the poison: %s, want failed", describe(r))
		case i == 4:
			checkError(tb, r.Err, backends.Rejected)
			if r.Err.Key != good.Key {
				tb.Errorf("the error tells key %q: %v", r.Err.Key, r.Err)
			}
		}
	}
	x.expect(append(records[:4:4], records[5:]...))
	x.check(good.Key)
	x.write([]backends.Record{good})
	x.check()
}

// A batch larger than the store takes is written in parts; one just as large as it says is taken whole.
func testLargeBatch(tb test, s Suite) {
	x := newBench(tb, s)
	n := x.backend.Features().MaxRecords
	if n == 0 || n > 5000 {
		n = 5000
	}
	keys := make([]string, n+n/2)
	for i := range keys {
		keys[i] = fmt.Sprintf("key %d", i)
	}
	records := x.state(7, 1, keys...)
	whole := backends.Split(records[:n], x.backend.Features())[0]
	results, err := x.backend.Write(tb.Context(), x.target, whole)
	if err != nil || len(results) != len(whole) {
		tb.Fatalf("writing %d records: %d answers, %v", len(whole), len(results), err)
	}
	x.write(records)
	x.check()
	x.write(gone(8, keys...))
	x.check()
}

// Empty values are kept as such, and huge ones whole.
func testSizes(tb test, s Suite) {
	x := newBench(tb, s)
	x.put(1, "empty", "huge", "wide", "null")
	x.sql("update @.item set name = '', note = '' where key = 'empty'")
	x.sql("update @.item set name = null, n = null, note = null where key = 'null'")
	x.sql("update @.item set note = (select string_agg(md5(i::text), ' ') from generate_series(1, $1 / 33) i) where key = 'huge'", s.HugeValue)
	x.sql("update @.item set note = $1 where key = 'wide'", strings.Repeat("ünï🚀", s.HugeValue/16))
	x.write(x.read(7, "empty", "huge", "wide", "null"))
	x.check()
}

// A shape's records are kept, replaced, and deleted by their key alone.
func shapeTest(shape Shape) func(test, Suite) {
	return func(tb test, s Suite) {
		x := benchOf(tb, s, shape, s.Open(tb))
		x.write(x.state(7, 1, "a", "b", "c"))
		x.check()
		x.write(append(x.state(8, 2, "b"), gone(8, "c")...))
		x.check("c")
	}
}
