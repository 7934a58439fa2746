package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outflow-db/outflow/backends"
)

func graph(t *testing.T, settings map[string]any, edges ...string) *fixture {
	t.Helper()
	f := newFixture(t, backends.Target{Kind: "relation", Name: "edges", Columns: columns("a", "b", "how"), Settings: map[string]any{"edge": settings}})
	var batch []backends.Record
	for i, e := range edges {
		p := strings.Fields(e)
		batch = append(batch, record(1, fmt.Sprint("e", i), map[string]any{"a": p[0], "how": p[1], "b": p[2]}))
	}
	f.write(batch...)
	return f
}

var typed = map[string]any{"from": "a", "to": "b", "type": "how"}

const paths = "select format('%s %s %s', key, depth, array_to_string(path, '>')) from readmodel.traverse"

// Traverse finds each key once, at its least depth, with a shortest path, through cycles, along the
// direction and types that are asked for.
func TestTraverse(t *testing.T) {
	t.Parallel()
	f := graph(t, typed, "a calls b", "b calls c", "c calls a", "a uses c", "c calls d", "d calls d", "x calls a", "d uses e", "e calls f", "f calls g")
	for args, want := range map[string][]string{
		"('edges', 'a')":                                {"b 1 a>b", "c 1 a>c", "d 2 a>c>d", "e 3 a>c>d>e"},
		"('edges', 'a', 1)":                             {"b 1 a>b", "c 1 a>c"},
		"('edges', 'a', 9, types => '{calls}')":         {"b 1 a>b", "c 2 a>b>c", "d 3 a>b>c>d"},
		"('edges', 'd', 1, 'in')":                       {"c 1 d>c"},
		"('edges', 'a', 1, 'both')":                     {"b 1 a>b", "c 1 a>c", "x 1 a>x"},
		"('edges', 'a', 9, 'out', null, 2)":             {"b 1 a>b", "c 1 a>c"},
		"('edges', 'a', 9, 'out', null, 3)":             {"b 1 a>b", "c 1 a>c", "d 2 a>c>d"},
		"('edges', 'a', 9, 'out', '{}')":                {},
		"('edges', 'nowhere', 9)":                       {},
		"('edges', 'a', 0)":                             {},
		"(target => 'edges', start => 'e', steps => 9)": {"f 1 e>f", "g 2 e>f>g"},
		"('edges', 'g', steps => 2, direction => 'in')": {"f 1 g>f", "e 2 g>f>e"},
	} {
		if d := cmp.Diff(want, f.strings(paths+args)); d != "" {
			t.Errorf("%s (-want +got):\n%s", args, d)
		}
	}
	for _, direction := range []string{"'up'", "null"} {
		if got := f.fails("select readmodel.traverse('edges', 'a', 1, " + direction + ")"); !strings.Contains(got, "want out, in or both") {
			t.Errorf("%s: %s", direction, got)
		}
	}
}

// Neighbours are the edges at a key, seen from it.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	f := graph(t, typed, "a calls b", "a uses b", "c calls a", "b calls c")
	const row = "select format('%s %s %s %s %s', key, type, way, edge, body ->> 'b') from readmodel.neighbours"
	for args, want := range map[string][]string{
		"('edges', 'a')":                               {"b calls out e0 b", "b uses out e1 b"},
		"('edges', 'a', 'in')":                         {"c calls in e2 a"},
		"('edges', 'a', 'both', '{calls}')":            {"b calls out e0 b", "c calls in e2 a"},
		"('edges', 'a', 'both', max => 2)":             {"b calls out e0 b", "b uses out e1 b"},
		"('edges', start => 'q', direction => 'both')": {},
	} {
		if d := cmp.Diff(want, f.strings(row+args)); d != "" {
			t.Errorf("%s (-want +got):\n%s", args, d)
		}
	}
}

// Edges follow their records: a replaced one leads elsewhere, a deleted one nowhere; keys may be anything.
func TestEdgesFollowWrites(t *testing.T) {
	t.Parallel()
	f := graph(t, map[string]any{"from": "a", "to": "b"}, "a calls b", "a calls c")
	odd := `we"ird, {key}\ '; --`
	f.write(record(2, "e0", map[string]any{"a": "a", "b": odd}), backends.Record{Key: "e1", Version: 2, Deleted: true},
		record(2, "e2", map[string]any{"a": odd, "b": "z"}), record(2, "e3", map[string]any{"a": nil, "b": "y"}))
	got := f.strings("select format('%s %s', key, array_to_string(path, '|')) from readmodel.traverse('edges', 'a')")
	if d := cmp.Diff([]string{odd + " a|" + odd, "z a|" + odd + "|z"}, got); d != "" {
		t.Error(d)
	}
}

// An edge whose ends are too long to be indexed is refused alone.
func TestEdgeTooLong(t *testing.T) {
	t.Parallel()
	f := graph(t, typed)
	var long strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&long, "%x.", i*i*7919)
	}
	results, err := backends.WriteBisected(t.Context(), f.backend, f.target, []backends.Record{
		record(1, "ok", map[string]any{"a": "a", "b": "b"}), record(1, "long", map[string]any{"a": "a", "b": long.String()}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if results[0].Outcome != backends.Applied || results[1].Outcome != backends.Failed || !strings.Contains(results[1].Err.What(), "shorten it") {
		t.Errorf("got %+v", results)
	}
}
