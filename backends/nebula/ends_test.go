package nebula

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/nebula/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver"
	"github.com/outflow-db/outflow/internal/nebulatest"
)

// packages is a target of vertices with tags pkg and mod, whose key is [tag, name].
func packages() backends.Target {
	return backends.Target{Kind: "package", Name: "package", Columns: []backends.Column{text4("path")}, Settings: dict{
		"vertex": dict{"id": 1},
		"types":  dict{"column": 0, "names": []any{"pkg", "mod"}},
	}}
}

// files is one more target of vertices.
func files() backends.Target {
	return backends.Target{Kind: "file", Name: "file", Columns: []backends.Column{text4("path")}, Settings: dict{}}
}

func pack(tag, key string) backends.Record {
	return record(fmt.Sprintf(`["%s", "%s"]`, tag, key), 1, `{"path": "p"}`)
}

// search begins a search for ends that must be possible.
func (b *backend) search(tb testing.TB, t backends.Target, targets ...backends.Target) *ends {
	tb.Helper()
	found, err := b.Ends(t, targets)
	if err != nil {
		tb.Fatal(err)
	}
	return found.(*ends)
}

// missing are the ends that are missing, as "key end id".
func (e *ends) missing(tb testing.TB, keys ...string) []string {
	tb.Helper()
	found, err := e.Missing(tb.Context(), keys)
	if err != nil {
		tb.Fatal(err)
	}
	list := []string{}
	for _, d := range found {
		for _, end := range d.Ends {
			list = append(list, fmt.Sprint(d.Key, " ", end.Name, " ", end.ID))
		}
	}
	slices.Sort(list)
	return list
}

// An edge dangles at each end that no vertex with a projected tag is at, whichever of the tags: a tag that is not
// projected makes no end, a row that somebody else wrote into a projected tag does. Keys of no edge refer to nothing.
func TestEnds(t *testing.T) {
	t.Parallel()
	for name, vid := range map[string]string{"texts": "FIXED_STRING(64)", "integers": "INT64"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := opened(t, nebulatest.Open(t), dict{"vid": vid})
			all := []backends.Target{symbols(), packages(), files(), calls()}
			b.mustPrepare(t, all...)
			b.mustWrite(t, symbols(), symbol("1", 1), symbol("2", 1))
			b.mustWrite(t, packages(), pack("mod", "3"), pack("pkg", "4"), pack("pkg", "1"))
			b.mustWrite(t, files(), record("5", 1, `{"path": "f"}`))
			foreign := `"6"`
			if vid == "INT64" {
				foreign = "6"
			}
			b.ask(t, "INSERT VERTEX `symbol`(`name`) VALUES "+foreign+`:("by hand")`)
			keys := []string{"no key of an edge", `["1", "unknown", "2"]`}
			for _, ends := range []string{"12", "34", "13", "19", "91", "98", "99", "15", "51", "16"} {
				keys = append(keys, call(ends[:1], "calls", ends[1:]).Key)
			}
			want := []string{
				`["1", "calls", "5"] target 5`,
				`["1", "calls", "9"] target 9`,
				`["5", "calls", "1"] source 5`,
				`["9", "calls", "1"] source 9`,
				`["9", "calls", "8"] source 9`, `["9", "calls", "8"] target 8`,
				`["9", "calls", "9"] source 9`, `["9", "calls", "9"] target 9`,
			}
			e := b.search(t, calls(), symbols(), packages(), calls())
			for range 2 { // the second time some ends are remembered
				if diff := cmp.Diff(want, e.missing(t, keys...)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
			want = slices.DeleteFunc(want, func(s string) bool { return strings.HasSuffix(s, " 5") })
			if diff := cmp.Diff(want, b.search(t, calls(), all...).missing(t, keys...)); diff != "" {
				t.Errorf("with the tag file (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want, b.search(t, calls(), calls()).missing(t, keys...)); diff != "" {
				t.Errorf("without any tag of a target, where any tag will do (-want +got):\n%s", diff)
			}
			b.mustWrite(t, symbols(), gone("2", 2))
			if got := b.search(t, calls(), symbols(), packages()).missing(t, keys[2]); len(got) != 1 {
				t.Errorf("after its end was deleted: %q", got)
			}
		})
	}
}

// Vertices refer to nothing, and settings that are wrong are told as such.
func TestEndsOfVertices(t *testing.T) {
	t.Parallel()
	_, at := server(t, nebulaserver.Config{})
	b := opened(t, at, nil)
	if e, err := b.Ends(symbols(), []backends.Target{symbols(), calls()}); e != nil || err != nil {
		t.Errorf("of vertices: %v, %v", e, err)
	}
	wrong := files()
	wrong.Settings = dict{"vertex": dict{"id": "x"}}
	for _, targets := range [][]backends.Target{{wrong, calls()}, {calls(), wrong}} {
		_, err := b.Ends(targets[0], targets)
		if e, ok := errors.AsType[*backends.Error](err); !ok || e.Class != backends.Rejected {
			t.Errorf("with a wrong target: %v", err)
		}
	}
}

// Each missing end names the records of each target that would be it, as PostgreSQL writes their keys; where the key of a
// record does not follow from the edge's, it names the kind alone.
func TestRecordsOfEnds(t *testing.T) {
	t.Parallel()
	_, at := server(t, nebulaserver.Config{})
	b := opened(t, at, nil)
	pairs := files()
	pairs.Kind, pairs.Name, pairs.Settings = "pair", "pair", dict{"vertex": dict{"id": []any{1, 0}}}
	links := calls()
	links.Settings = dict{"edge": dict{"source": 0, "target": []any{1, 2}}}
	b.mustPrepare(t, symbols(), packages(), pairs, links)
	found, err := b.search(t, links, symbols(), packages(), pairs, links).Missing(t.Context(), []string{`["a \"b\"", "é", 7]`})
	if err != nil {
		t.Fatal(err)
	}
	want := []backends.Dangling{{Key: `["a \"b\"", "é", 7]`, Ends: []backends.End{
		{Name: "source", ID: `a "b"`, Records: []backends.Reference{
			{Kind: "symbol", Target: "symbol", Key: `a "b"`},
			{Kind: "package", Target: "package", Key: `["pkg", "a \"b\""]`},
			{Kind: "package", Target: "package", Key: `["mod", "a \"b\""]`},
			{Kind: "pair", Target: "pair"}, // its id has two columns
		}},
		{Name: "target", ID: `["é", 7]`, Records: []backends.Reference{
			{Kind: "symbol", Target: "symbol", Key: `["é", 7]`},
			{Kind: "package", Target: "package"}, // its id has one column
			{Kind: "package", Target: "package"},
			{Kind: "pair", Target: "pair", Key: `[7, "é"]`},
		}},
	}}}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	loops := calls()
	loops.Settings = dict{"edge": dict{"source": 0, "target": 0}}
	e := b.search(t, loops, packages(), loops)
	if d, err := e.Missing(t.Context(), []string{"x"}); err != nil || len(d) != 1 || d[0].Ends[0].Records[0] != (backends.Reference{Kind: "package", Target: "package"}) {
		t.Errorf("of a key that is no JSON: %+v, %v", d, err)
	}
	if _, err := b.Write(t.Context(), pairs, []backends.Record{record(`[7, "é"]`, 1, `{"path": ""}`)}); err != nil {
		t.Fatal(err)
	}
	if got := b.search(t, links, pairs, links).missing(t, `["a", "é", 7]`); !slices.Equal(got, []string{`["a", "é", 7] source a`}) {
		t.Errorf("once such a record is there: %q", got)
	}
}

// What the search says is what a plain comparison of all edges with all vertices says, however the keys are cut into
// calls, the ends into statements, and however few ends are remembered.
func TestEndsAgreeWithModel(t *testing.T) {
	t.Parallel()
	_, at := server(t, nebulaserver.Config{})
	b := opened(t, at, nil)
	b.mustPrepare(t, symbols(), packages(), calls())
	ids := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	var none []backends.Record
	for _, id := range ids {
		none = append(none, gone(id, 1))
	}
	rapid.Check(t, func(rt *rapid.T) {
		there := rapid.SliceOfDistinct(rapid.SampledFrom(ids), rapid.ID).Draw(rt, "vertices")
		b.mustWrite(t, symbols(), none...)
		b.ask(t, `DELETE TAG pkg FROM "a","b","c","d","e","f","g","h"`)
		for _, id := range there {
			if rapid.Bool().Draw(rt, "a symbol") {
				b.mustWrite(t, symbols(), symbol(id, 2))
			} else {
				b.mustWrite(t, packages(), pack("pkg", id))
			}
		}
		e := b.search(t, calls(), symbols(), packages(), calls())
		e.batch = rapid.IntRange(1, 3).Draw(rt, "ids of a statement")
		e.known.most = rapid.IntRange(1, 4).Draw(rt, "ids remembered")
		var want, got []string
		for range rapid.IntRange(1, 6).Draw(rt, "calls") {
			var keys []string
			for _, pair := range rapid.SliceOfDistinct(rapid.StringMatching(`[a-h]{2}`), rapid.ID).Draw(rt, "edges") {
				key := call(pair[:1], "calls", pair[1:]).Key
				keys = append(keys, key)
				if !slices.Contains(there, pair[:1]) {
					want = append(want, key+" source "+pair[:1])
				}
				if !slices.Contains(there, pair[1:]) {
					want = append(want, key+" target "+pair[1:])
				}
			}
			got = append(got, e.missing(t, keys...)...)
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			rt.Fatalf("want %q, got %q", want, got)
		}
	})
}

// Ends are asked for once each, so many in a statement, and not again while they are remembered; a long id does not make
// a statement that is too long.
func TestEndsStatements(t *testing.T) {
	t.Parallel()
	s, at := server(t, nebulaserver.Config{})
	b := opened(t, at, dict{"vid": "FIXED_STRING(4096)"})
	b.mustPrepare(t, symbols(), calls())
	var vertices []backends.Record
	var keys []string
	for i := range 1200 {
		id := fmt.Sprint(i)
		vertices = append(vertices, symbol(id, 1))
		keys = append(keys, call(id, "calls", fmt.Sprint((i+1)%1200)).Key, call(id, "uses", "0").Key)
	}
	b.mustWrite(t, symbols(), vertices...)
	e := b.search(t, calls(), symbols(), calls())
	for i, want := range []int{3, 0} {
		s.ClearExecuted()
		if got := e.missing(t, keys...); len(got) > 0 || len(s.Executed()) != want {
			t.Errorf("call %d: %d are missing, %d statements: want %d", i, len(got), len(s.Executed()), want)
		}
	}
	keys = nil
	for i := range 400 {
		keys = append(keys, call(strings.Repeat("x", 4000)+fmt.Sprint(i), "calls", "0").Key)
	}
	s.ClearExecuted()
	if got := e.missing(t, keys...); len(got) != 400 || len(s.Executed()) != 2 {
		t.Errorf("%d of long ids are missing, by %d statements", len(got), len(s.Executed()))
	}
	for _, stmt := range s.Executed() {
		if len(stmt) > mostBytes+8192 {
			t.Errorf("a statement of %d bytes", len(stmt))
		}
	}
}

// A store that cannot be asked is an error of the contract: it is not taken for one without vertices.
func TestEndsOfNobody(t *testing.T) {
	t.Parallel()
	_, at := server(t, nebulaserver.Config{})
	b := opened(t, at, nil)
	b.mustPrepare(t, symbols(), calls())
	e := b.search(t, calls(), symbols(), calls())
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := e.Missing(t.Context(), []string{call("a", "calls", "b").Key})
	if e, ok := errors.AsType[*backends.Error](err); !ok || !strings.Contains(e.Error(), "ends") || e.Kind != "relation" {
		t.Errorf("without a session: %v", err)
	}
}

// What is remembered was told, the last so many of it are, and it is never more than twice as many.
func TestKnown(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := known{most: rapid.IntRange(1, 5).Draw(t, "most")}
		told := map[int64]bool{}
		for _, n := range rapid.SliceOf(rapid.Int64Range(0, 20)).Draw(t, "ids") {
			if rapid.Bool().Draw(t, "ask") {
				if k.has(ngql.IntID(n)) && !told[n] {
					t.Fatalf("%d was never told", n)
				}
				continue
			}
			k.add(ngql.IntID(n))
			if told[n] = true; !k.has(ngql.IntID(n)) {
				t.Fatalf("%d is forgotten at once", n)
			}
			if len(k.young)+len(k.old) > 2*k.most {
				t.Fatalf("%d are remembered", len(k.young)+len(k.old))
			}
		}
	})
}
