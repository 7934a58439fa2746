package nebula

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/nebulatest"
)

func deadline(tb testing.TB, d time.Duration) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), d)
	tb.Cleanup(cancel)
	return ctx
}

// A projection of relations is a graph: edge types come from the key, and the graph answers who calls this, two steps
// out. An edge goes when its record goes, by its key alone.
func TestRelations(t *testing.T) {
	t.Parallel()
	b := opened(t, nebulatest.Open(t), nil)
	b.mustPrepare(t, symbols(), calls())
	for _, key := range []string{"main", "serve", "handle", "log"} {
		b.mustWrite(t, symbols(), symbol(key, 1))
	}
	b.mustWrite(t, calls(), call("main", "calls", "serve"), call("serve", "calls", "handle"), call("handle", "calls", "log"), call("main", "uses", "log"))
	callers := "GO 2 STEPS FROM \"log\" OVER calls REVERSELY YIELD src(edge) AS caller"
	if got := b.ask(t, callers); !slices.Equal(got, []string{"serve"}) {
		t.Errorf("callers two steps out: %q", got)
	}
	if got := b.ask(t, "GO 1 TO 2 STEPS FROM \"handle\" OVER calls REVERSELY YIELD src(edge) AS caller"); !slices.Equal(got, []string{"main", "serve"}) {
		t.Errorf("callers one and two steps out: %q", got)
	}
	if got := b.all(t, calls()); len(got) != 4 {
		t.Errorf("stored are %q", got)
	}
	b.mustWrite(t, calls(), gone(`["serve", "calls", "handle"]`, 2), gone(`["never", "uses", "anything"]`, 2))
	if got := b.ask(t, callers); len(got) != 0 {
		t.Errorf("callers two steps out: %q", got)
	}
	found, err := b.Lookup(t.Context(), calls(), []string{`["main", "uses", "log"]`, `["main", "calls", "serve"]`, `["serve", "calls", "handle"]`, "no list"})
	if err != nil || len(found) != 2 {
		t.Errorf("found %v, %v", found, err)
	}
}

// A vertex leaves its edges to their own records, unless it is told to take them along: then those of the types that are
// named go, both ways, and others stay.
func TestDeleteEdges(t *testing.T) {
	t.Parallel()
	b := opened(t, nebulatest.Open(t), nil)
	to := symbols()
	b.mustPrepare(t, to, calls())
	fill := func() {
		b.mustWrite(t, to, symbol("a", 1), symbol("b", 1), symbol("c", 1))
		b.mustWrite(t, calls(), call("a", "calls", "b"), call("b", "calls", "c"), call("b", "uses", "c"), call("a", "calls", "c"))
	}
	fill()
	b.mustWrite(t, to, gone("b", 2))
	if got := b.all(t, calls()); len(got) != 4 {
		t.Errorf("left: %q", got)
	}
	fill()
	to.Settings = dict{"delete_edges": "calls"}
	b.mustWrite(t, to, gone("b", 2))
	if got := b.all(t, calls()); !slices.Equal(got, []string{`["a", "calls", "c"] 1`, `["b", "uses", "c"] 1`}) {
		t.Errorf("left: %q", got)
	}
	if got := b.all(t, to); !slices.Equal(got, []string{"a 1", "c 1"}) {
		t.Errorf("left: %q", got)
	}
}

// Ends of several columns are the vertices of another kind; ranks keep edges between the same ends apart.
func TestCompositeKeys(t *testing.T) {
	t.Parallel()
	b := opened(t, nebulatest.Open(t), nil)
	node := backends.Target{Kind: "node", Name: "node", Settings: dict{}}
	link := backends.Target{Kind: "link", Name: "link", Settings: dict{"edge": dict{"source": []any{0, 1}, "target": []any{2, 3}, "rank": 4}}}
	tagged := backends.Target{Kind: "tagged", Name: "tagged", Settings: dict{"vertex": dict{"id": []any{1.0, uint64(2)}}, "types": dict{"column": 0, "names": []any{"x", "y"}}}}
	b.mustPrepare(t, node, link, tagged)
	b.mustWrite(t, node, record(`["p\"q", 1]`, 1, ""), record(`["p", 2]`, 1, ""))
	b.mustWrite(t, link, record(`["p\"q", 1, "p", 2, 7]`, 1, ""), record(`["p\"q", 1, "p", 2, -8]`, 1, ""))
	b.mustWrite(t, tagged, record(`["y", "p", 2]`, 1, ""))
	if got := b.ask(t, "GO FROM '[\"p\\\\\"q\", 1]' OVER link YIELD dst(edge) AS d, rank(edge) AS r"); !slices.Equal(got, []string{`["p", 2]|-8`, `["p", 2]|7`}) {
		t.Errorf("got %q", got)
	}
	if got := b.ask(t, "FETCH PROP ON y '[\"p\", 2]' YIELD y.outflow_version AS v"); !slices.Equal(got, []string{"1"}) {
		t.Errorf("got %q", got)
	}
	for to, keys := range map[*backends.Target][]string{
		&link:   {`["a", 1, "b", 2, "x"]`, `["a", 1, "b", 2]`, `["a", null, "b", 2, 3]`, `{"a": 1}`, "x", `["a"`},
		&tagged: {`["z", "p", 2]`},
	} {
		for _, key := range keys {
			results, err := b.Write(t.Context(), *to, []backends.Record{record(key, 1, ""), gone(key, 1)})
			if err != nil || results[0].Outcome != backends.Failed || results[0].Err.Class != backends.Rejected || results[1].Outcome != backends.Applied {
				t.Errorf("%s: %v, %v", key, results, err)
			}
		}
	}
}

// In a space of integers, keys are integers; others are refused.
func TestIntegers(t *testing.T) {
	t.Parallel()
	b := opened(t, nebulatest.Open(t), dict{"vid": "int64"})
	edge := backends.Target{Kind: "e", Name: "e", Settings: dict{"edge": dict{"source": 0, "target": 1}}}
	b.mustPrepare(t, symbols(), edge)
	b.mustWrite(t, symbols(), symbol("7", 1), symbol("-9223372036854775808", 1))
	b.mustWrite(t, edge, record("[7, -1]", 1, ""))
	results, err := b.Write(t.Context(), symbols(), []backends.Record{symbol("07", 1), symbol("a", 1), symbol("9223372036854775808", 1)})
	for _, r := range results {
		if err != nil || r.Outcome != backends.Failed || !strings.Contains(r.Err.Error(), "INT64") {
			t.Errorf("got %v, %v", r, err)
		}
	}
	if got := b.all(t, symbols()); !slices.Equal(got, []string{"-9223372036854775808 1", "7 1"}) {
		t.Errorf("stored are %v", got)
	}
	if got := b.all(t, edge); len(got) != 1 {
		t.Errorf("stored are %v", got)
	}
}

// Ids that are too long, and those that look like a hash, are hashes; no two are one.
func TestLongIDs(t *testing.T) {
	t.Parallel()
	v, _ := parseVid("fixed_string(40)")
	hash := func(s string) string {
		id, ok := v.of(s)
		if !ok {
			t.Fatalf("%q is no id", s)
		}
		return fmt.Sprint(id)
	}
	long := strings.Repeat("k", 41)
	plain, _ := v.of(strings.Repeat("k", 40))
	if fmt.Sprint(plain) != strings.Repeat("k", 40) {
		t.Errorf("as it is: %v", plain)
	}
	// '~' || left(translate(encode(sha256(repeat('k', 41)::bytea), 'base64'), '+/', '-_'), 31)
	if got := hash(long); got != "~ZRCl4cwCViDiqv0SOggl6PN8_-_1out" {
		t.Errorf("got %s", got)
	}
	id := hash(long)
	if len(id) != leastVid || hash(id) == hash(long) {
		t.Errorf("the key %s is the same as that of which it is the hash", id)
	}
	if _, ok := v.of("a\x00b"); ok {
		t.Error("a NUL is in an id")
	}
}

// A record that is larger than a statement is refused by itself; deleting it is nothing.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	b := opened(t, nebulatest.Open(t), dict{"statement_bytes": leastBytes})
	b.mustPrepare(t, symbols())
	big := record("big", 1, `{"name": "`+strings.Repeat("x", leastBytes)+`"}`)
	results, err := b.Write(t.Context(), symbols(), []backends.Record{symbol("a", 1), big, record("torn", 1, "{"), record("list", 1, "[]")})
	if err != nil || results[0].Outcome != backends.Applied {
		t.Fatalf("got %v, %v", results, err)
	}
	for _, r := range results[1:] {
		if r.Outcome != backends.Failed || r.Err.Class != backends.Rejected || r.Err.Key == "" {
			t.Errorf("got %v", r)
		}
	}
}

// Rows that others wrote are passed over, and so is one whose id is not that of its key.
func TestForeign(t *testing.T) {
	t.Parallel()
	b := opened(t, nebulatest.Open(t), nil)
	b.mustPrepare(t, symbols())
	b.mustWrite(t, symbols(), symbol("a", 1))
	b.ask(t, `INSERT VERTEX symbol(name) VALUES "x":("y")`)
	b.ask(t, `INSERT VERTEX symbol(outflow_key, outflow_version, outflow_digest, outflow_slot) VALUES "z":("a", 1, "no digest", 5)`)
	b.ask(t, `INSERT VERTEX symbol(outflow_key, outflow_version, outflow_digest, outflow_slot) VALUES "b":("b", 1, "no digest", 6)`)
	if got := b.all(t, symbols()); !slices.Equal(got, []string{"a 1", "b 1"}) {
		t.Errorf("seen are %v", got)
	}
	found, err := b.Lookup(t.Context(), symbols(), []string{"a", "x", "z"})
	if err != nil || len(found) != 1 {
		t.Errorf("found %v, %v", found, err)
	}
}

// Many rows are read in pages that do not grow with them.
func TestPages(t *testing.T) {
	t.Parallel()
	b := opened(t, nebulatest.Open(t), nil)
	b.mustPrepare(t, symbols())
	const n = 9000
	var records []backends.Record
	for i := range n {
		records = append(records, symbol(fmt.Sprint("key ", i), 1))
	}
	b.mustWrite(t, symbols(), records...)
	seen, pages := 0, 0
	err := b.Scan(t.Context(), symbols(), func(page []backends.Entry) error {
		if len(page) > scanPage {
			t.Errorf("a page of %d", len(page))
		}
		seen += len(page)
		pages++
		return nil
	})
	if err != nil || seen != n || pages > 40 {
		t.Errorf("%d rows in %d pages, %v", seen, pages, err)
	}
	m, err := b.model(symbols())
	if err != nil {
		t.Fatal(err)
	}
	seen = 0
	wide := scan{b: b, m: m, t: symbols(), width: math.MaxInt64, fn: func(page []backends.Entry) error { // as if keys had come together
		seen += len(page)
		return nil
	}}
	if err := wide.read(t.Context()); err != nil || seen != n {
		t.Errorf("%d rows, %v", seen, err)
	}
	if wider(1, scanPage, 1) < 1 || wider(1<<62, 0, scanPage) <= 1<<62 {
		t.Error("a range is no range")
	}
}
