package content

import (
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/outflow-db/outflow/backends"
)

// What is the same value is no difference, however it is written; everything else is one, by name.
func TestDiffer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ want, have, differ string }{
		{``, ``, ""},
		{`{}`, ``, ""},
		{`{"a": 1, "b": null}`, `{ "b":null,"a":1.0e0}`, ""},
		{`{"a": 9007199254740993}`, `{"a": 9007199254740992}`, "a"},
		{`{"a": 0.1}`, `{"a": 0.1000000000000000055511151231257827}`, "a"},
		{`{"a": 1}`, `{"a": "1"}`, "a"},
		{`{"a": "1"}`, `{"a": 1}`, "a"},
		{`{"a": null}`, `{}`, "a"},
		{`{}`, `{"z": null, "x": 1}`, "x z"},
		{`{"a": true, "b": false}`, `{"a": false, "b": false}`, "a"},
		{`{"a": {"b": [1, {"c": null}]}}`, `{"a":{"b":[1.0,{"c":null}]}}`, ""},
		{`{"a": {"b": [1, {"c": null}]}}`, `{"a":{"b":[1,{}]}}`, "a"},
		{`{"a": [1, 2]}`, `{"a": [2, 1]}`, "a"},
		{`{"a": [1]}`, `{"a": {"0": 1}}`, "a"},
		{`{"a": null}`, `{"a": []}`, "a"},
		{`{"a": "\u00e9"}`, `{"a": "é"}`, ""},
		{`{"\u0061": 1}`, `{"a": 1}`, ""},
		{`{"a": 1e400}`, `{"a": 1` + strings.Repeat("0", 400) + `}`, ""},
		{`{"a": -0}`, `{"a": 0}`, "a"},
		{`{"a": 1e99999999999999999999}`, `{"a": 2e99999999999999999999}`, "a"},
	} {
		got, err := Differ([]byte(c.want), []byte(c.have))
		if err != nil || strings.Join(got, " ") != c.differ {
			t.Errorf("%.50s and %.50s differ in %v (%v), want %q", c.want, c.have, got, err, c.differ)
		}
	}
}

// What is no object cannot be compared, and is not taken for an empty one.
func TestDifferNeedsObjects(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{`[]`, `1`, `{"a": }`, `{"a": 1`, `x`} {
		if _, err := Differ([]byte(doc), []byte(`{}`)); err == nil {
			t.Errorf("%s was compared", doc)
		}
		if _, err := Differ([]byte(`{}`), []byte(doc)); err == nil {
			t.Errorf("{} was compared with %s", doc)
		}
	}
}

// Two numbers are the same when big numbers say so.
func TestSameNumber(t *testing.T) {
	t.Parallel()
	number := rapid.StringMatching(`-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,3})?([eE][+-]?[0-2])?`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		if rapid.Bool().Draw(t, "respelled") {
			b = a + "e0"
			if strings.ContainsAny(a, "eE") {
				b = strings.ReplaceAll(a, "e", "E")
			}
		}
		x, _ := new(big.Rat).SetString(a)
		y, _ := new(big.Rat).SetString(b)
		want := x.Cmp(y) == 0 && (x.Sign() != 0 || strings.HasPrefix(a, "-") == strings.HasPrefix(b, "-"))
		if SameNumber(a, b) != want {
			t.Errorf("%s and %s: %v", a, b, !want)
		}
	})
}

// Documents that are decoded and written again are the same; with one member changed, that one differs.
func TestDifferOfAny(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		doc := rapid.MapOfN(rapid.StringN(0, 5, -1), rapid.OneOf(
			rapid.Map(rapid.Int64(), func(n int64) any { return n }),
			rapid.Map(rapid.String(), func(s string) any { return s }),
			rapid.Map(rapid.Float64Range(-1e9, 1e9), func(f float64) any { return []any{f, nil, true} }),
		), 1, 5).Draw(t, "doc")
		text, err := json.Marshal(doc)
		if err != nil {
			t.Skip(err)
		}
		indented, err := json.MarshalIndent(doc, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Differ(text, indented); err != nil || len(got) > 0 {
			t.Fatalf("%s differs in %q, %v", text, got, err)
		}
		for name := range doc {
			doc[name] = map[string]any{"other": 1}
			changed, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := Differ(text, changed); err != nil || !slices.Equal(got, []string{name}) {
				t.Fatalf("%s and %s differ in %q, %v: want %q", text, changed, got, err, name)
			}
			break
		}
	})
}

// Chunks have every record once, in order, and are as large as they may be.
func TestChunks(t *testing.T) {
	t.Parallel()
	records := make([]backends.Record, 10)
	for i := range records {
		records[i] = backends.Record{Key: string(rune('a' + i))}
	}
	records[4].Doc, records[5].Doc = make([]byte, 2*Bytes), make([]byte, Bytes/2)
	var sizes []int
	var keys strings.Builder
	for part := range Chunks(records, 3) {
		sizes = append(sizes, len(part))
		for _, r := range part {
			keys.WriteString(r.Key)
		}
	}
	if !slices.Equal(sizes, []int{3, 1, 1, 3, 2}) || keys.String() != "abcdefghij" {
		t.Errorf("parts of %v: %s", sizes, keys.String())
	}
	for range Chunks(records, 3) {
		break
	}
	for range Chunks(nil, 3) {
		t.Error("a part of nothing")
	}
}
