package nebula

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/nebulatest"
)

// What JSON PostgreSQL writes becomes the very value in the store; what a property type cannot hold is refused.
func TestValues(t *testing.T) {
	t.Parallel()
	b := opened(t, nebulatest.Open(t), nil)
	const refused = "refused"
	for i, c := range []struct{ typ, json, want string }{
		{"BOOL", `true`, "true"},
		{"BOOL", `"true"`, refused},
		{"BOOL", `null`, "null"},
		{"INT8", `127`, "127"},
		{"INT8", `128`, refused},
		{"INT16", `-32768`, "-32768"},
		{"INT32", `2147483648`, refused},
		{"INT64", `9223372036854775807`, "9223372036854775807"},
		{"INT64", `-9223372036854775808`, "-9223372036854775808"},
		{"INT64", `1.5`, refused},
		{"INT64", `"12"`, "12"},
		{"FLOAT", `0.5`, "0.5"},
		{"FLOAT", `1e39`, refused},
		{"DOUBLE", `1e308`, "1e+308"},
		{"DOUBLE", `-0`, "-0"},
		{"DOUBLE", `"NaN"`, "NaN"},
		{"DOUBLE", `"-Infinity"`, "-Inf"},
		{"FLOAT", `"Infinity"`, "+Inf"},
		{"DOUBLE", `"x"`, refused},
		{"STRING", `"a\"\\\n\u0001é🚀"`, "a\"\\\n\x01é🚀"},
		{"STRING", `1.10`, "1.10"},
		{"STRING", `{"a": [1, null]}`, `{"a": [1, null]}`},
		{"STRING", `""`, ""},
		{"FIXED_STRING(4)", `"äa"`, "äa"},
		{"FIXED_STRING(4)", `"ääa"`, refused},
		{"DATE", `"2024-02-29"`, "2024-2-29"},
		{"DATE", `"0044-03-15 BC"`, "-43-3-15"},
		{"DATE", `"12024-02-29"`, "12024-2-29"},
		{"DATE", `"infinity"`, refused},
		{"DATE", `"40000-01-01"`, refused},
		{"DATE", `"2023-02-29"`, refused},
		{"TIME", `"23:59:59.999999"`, "23:59:59.999999"},
		{"TIME", `"00:00:00"`, "0:0:0.0"},
		{"TIME", `"24:00:00"`, refused},
		{"DATETIME", `"2024-02-29T12:34:56.789012"`, "2024-2-29 12:34:56.789012"},
		{"DATETIME", `"2024-07-01T12:00:00+05:30"`, "2024-7-1 6:30:0.0"},
		{"DATETIME", `"1969-12-31T23:59:59.999999+00:00"`, "1969-12-31 23:59:59.999999"},
		{"DATETIME", `"0001-01-01T00:00:00 BC"`, "0-1-1 0:0:0.0"},
		{"DATETIME", `"12024-02-29T00:00:00"`, "12024-2-29 0:0:0.0"},
		{"DATETIME", `"-infinity"`, refused},
		{"DATETIME", `"294276-12-31T00:00:00"`, refused},
		{"DATETIME", `"x-y"`, refused},
		{"TIMESTAMP", `"2024-07-01T12:00:00.9+00:00"`, "1719835200"},
		{"TIMESTAMP", `5`, "5"},
		{"TIMESTAMP", `-1`, refused},
		{"TIMESTAMP", `"x"`, refused},
		{"TIMESTAMP", `"1960-01-01"`, refused},
		{"GEOGRAPHY", `"POINT(1 2)"`, "geography"},
	} {
		to := backends.Target{Kind: "k", Name: fmt.Sprint("t", i), Columns: []backends.Column{{Name: "v", Base: "jsonb"}}, Settings: dict{"properties": dict{"v": c.typ}}}
		b.mustPrepare(t, to)
		results, err := b.Write(t.Context(), to, []backends.Record{record("k", 1, `{"v": `+c.json+`}`)})
		switch {
		case err != nil:
			t.Errorf("%s %s: %v", c.typ, c.json, err)
		case c.want == refused:
			if e := results[0].Err; e == nil || e.Class != backends.Rejected || !strings.Contains(e.Error(), "column v") {
				t.Errorf("%s %s: %v", c.typ, c.json, results[0])
			}
		default:
			if got := b.ask(t, fmt.Sprintf(`FETCH PROP ON %s "k" YIELD %s.v`, to.Name, to.Name)); !slices.Equal(got, []string{c.want}) {
				t.Errorf("%s %s: stored is %q, want %q (%v)", c.typ, c.json, got, c.want, results[0])
			}
		}
	}
}

// FuzzMoment: no text of a date makes a panic, or a year that NebulaGraph does not have.
func FuzzMoment(f *testing.F) {
	for _, s := range []string{"2024-02-29", "0044-03-15 BC", "2024-02-29T12:34:56.789012+05:30", "infinity", "-1-1-1", "32767-12-31T23:00:00-05:00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if m, err := moment(s); err == nil && (m.Year() < -32769 || m.Year() > 32768) {
			t.Errorf("%q is in the year %d", s, m.Year())
		}
	})
}

// FuzzKey: whatever a key is, its place is one that only this key has, among keys that PostgreSQL writes.
func FuzzKey(f *testing.F) {
	f.Add("a", "b")
	f.Add(`["a", "b", "c"]`, `["a", "b", "d"]`)
	f.Add(strings.Repeat("k", 65), "~"+strings.Repeat("k", 31))
	b, err := open(backends.Config{Name: "graph"})
	if err != nil {
		f.Fatal(err)
	}
	m, err := b.model(symbols())
	if err != nil {
		f.Fatal(err)
	}
	edges, err := b.model(calls())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		p, errOne := m.place(one)
		q, errTwo := m.place(two)
		if errOne == nil && errTwo == nil && one != two && p == q {
			t.Errorf("%q and %q are one", one, two)
		}
		if _, err := edges.place(one); err == nil && !gjson.Valid(one) {
			t.Errorf("%q is taken for a list", one)
		}
	})
}
