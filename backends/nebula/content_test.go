package nebula

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/nebulatest"
)

// Of every property type, a value that is stored is the same as itself and not as another or as NULL; what the type keeps
// in another form is the same.
func TestContentOfProperties(t *testing.T) {
	t.Parallel()
	b := opened(t, nebulatest.Open(t), nil)
	for i, c := range []struct{ typ, stored, same, other string }{
		{"BOOL", `true`, `true`, `false`},
		{"INT8", `127`, `"127"`, `-127`},
		{"INT64", `9223372036854775807`, `9223372036854775807`, `9223372036854775806`},
		{"FLOAT", `0.1`, `0.10000000149011612`, `0.1000001`},
		{"FLOAT", `"NaN"`, `"NaN"`, `0`},
		{"DOUBLE", `0.1`, `1e-1`, `0.10000000000000002`},
		{"DOUBLE", `"-Infinity"`, `"-Infinity"`, `"Infinity"`},
		{"STRING", `"a\u0001\u00e9"`, `"a\u0001é"`, `"a\u0001e"`},
		{"STRING", `1.10`, `1.10`, `1.1`},
		{"STRING", `""`, `""`, `" "`},
		{"FIXED_STRING(8)", `"abc"`, `"abc"`, `"abc "`},
		{"DATE", `"2024-02-29"`, `"2024-02-29"`, `"2024-03-01"`},
		{"DATE", `"0044-03-15 BC"`, `"0044-03-15 BC"`, `"0044-03-15"`},
		{"TIME", `"23:59:59.999999"`, `"23:59:59.999999"`, `"23:59:59.999998"`},
		{"DATETIME", `"2024-07-01T12:00:00+05:30"`, `"2024-07-01T06:30:00"`, `"2024-07-01T12:00:00"`},
		{"DATETIME", `"1969-12-31T23:59:59.999999"`, `"1969-12-31T23:59:59.999999+00:00"`, `"1970-01-01T00:00:00"`},
		{"TIMESTAMP", `"2024-07-01T12:00:00.9+00:00"`, `1719835200`, `1719835201`},
		{"GEOGRAPHY", `"POINT(1 2)"`, `"POINT(1.0 2)"`, `"POINT(2 1)"`},
		{"GEOGRAPHY", `"LINESTRING(0 0, 1 1)"`, `"LINESTRING(0 0, 1 1)"`, `"LINESTRING(0 0, 1 2)"`},
		{"GEOGRAPHY", `"POLYGON((0 0, 1 0, 1 1, 0 0))"`, `"POLYGON((0 0,1 0,1 1,0 0))"`, `"POINT(0 0)"`},
	} {
		to := backends.Target{Kind: "k", Name: fmt.Sprint("t", i), Columns: []backends.Column{{Name: "v", Base: "jsonb"}}, Settings: dict{"properties": dict{"v": c.typ}}}
		of := func(json string) backends.Record { return record("k", 1, `{"v": `+json+`}`) }
		b.mustPrepare(t, to)
		differs := func(stored, want string, differ bool) {
			t.Helper()
			b.mustWrite(t, to, of(stored))
			found, err := b.Compare(t.Context(), to, []backends.Record{of(want)})
			var expected []backends.Mismatch
			if differ {
				expected = []backends.Mismatch{{Key: "k", Columns: []string{"v"}}}
			}
			if d := cmp.Diff(expected, found); d != "" || err != nil {
				t.Errorf("%s: %s is stored, %s is wanted: %v (-want +got):\n%s", c.typ, stored, want, err, d)
			}
		}
		differs(c.stored, c.same, false)
		differs(c.stored, c.other, true)
		differs(c.other, c.stored, true)
		differs(c.stored, "null", true)
		differs("null", c.stored, true)
		differs("null", "null", false)
	}
}

// A record that cannot be stored is not what is stored, whatever that is.
func TestContentOfWhatCannotBe(t *testing.T) {
	t.Parallel()
	b, _, to := faulty(t, nil)
	found, err := b.Compare(t.Context(), to, []backends.Record{record("a", 1, `{"name": "x", "line": "no number"}`)})
	want := []backends.Mismatch{{Key: "a", Columns: []string{"line", "name"}}}
	if d := cmp.Diff(want, found); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}

// Counting and comparing say what failed, of which target.
func TestContentFaults(t *testing.T) {
	t.Parallel()
	b := opened(t, nebulatest.Open(t), nil)
	b.mustPrepare(t, symbols())
	missing := symbols()
	missing.Name = "missing"
	_, cerr := b.Count(t.Context(), missing)
	_, err := b.Compare(t.Context(), missing, []backends.Record{symbol("a", 1)})
	for op, err := range map[string]error{"count": cerr, "compare": err} {
		if backends.ClassOf(err) != backends.Transient || !strings.HasPrefix(err.Error(), op+" ") {
			t.Errorf("%s: %v", op, err)
		}
	}
}
