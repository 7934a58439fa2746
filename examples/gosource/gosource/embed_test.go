package gosource

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/outflow-db/outflow/ast"
)

// Identifiers and prose come apart into words.
func TestWords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"readHTTPBody2":          {"read", "http", "body", "2"},
		"net/http.Server":        {"net", "http", "server"},
		"XMLNode":                {"xml", "node"},
		"MAX_LEN":                {"max", "len"},
		"The end of the buffer.": {"end", "buffer"},
		"ÄrgerÜber 漢字":           {"ärger", "über", "漢字"},
		"":                       nil,
		" ... ":                  nil,
		"func (t *T) x() error":  {"t", "t", "x", "error"},
		"HTTP":                   {"http"},
		"utf8":                   {"utf", "8"},
	} {
		var got []string
		eachWord(text, func(w string) { got = append(got, w) })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

// A vector has length 1, the same texts have the same one, and it does not depend on their order.
func TestEmbed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOf(rapid.StringMatching(`[a-zA-Z0-9_. ]{0,20}`)).Draw(t, "texts")
		var weighted []Weighted
		for _, s := range texts {
			weighted = append(weighted, Weighted{s, 1})
		}
		v := Embed(weighted...)
		slices.Reverse(weighted)
		if diff := cmp.Diff(v, Embed(weighted...)); diff != "" {
			t.Fatal(diff)
		}
		if v != nil && (len(v) != Dimensions || math.Abs(dot(v, v)-1) > 1e-5) {
			t.Fatalf("%d dimensions, length %v", len(v), dot(v, v))
		}
	})
	if v := Embed(Weighted{"the", 1}, Weighted{"...", 1}); v != nil {
		t.Errorf("a vector without a word: %v", v)
	}
}

// What shares words is nearer than what does not, and weight counts.
func TestNearness(t *testing.T) {
	t.Parallel()
	reader := Embed(Weighted{"NewReader", 3}, Weighted{"returns a buffered reader", 1})
	near := dot(reader, Embed(Weighted{"buffered reader", 1}))
	if far := dot(reader, Embed(Weighted{"parse certificate chain", 1})); near < far+0.3 {
		t.Errorf("near %v, far %v", near, far)
	}
	if light := dot(reader, Embed(Weighted{"buffered", 1}, Weighted{"chain", 3})); near < light {
		t.Errorf("near %v, with little weight %v", near, light)
	}
}

// Symbols carry their vectors, unless they are not wanted.
func TestSymbolsHaveVectors(t *testing.T) {
	t.Parallel()
	text := map[string]string{"p.go": "package p\nfunc ReadAll() {}"}
	with, _ := extract(t, text, Options{})
	without, _ := extract(t, text, Options{NoEmbeddings: true})
	for i, s := range with["p.go"].Symbols {
		if len(s.Embeddings) != 1 || s.Embeddings[0].Model != Model || without["p.go"].Symbols[i].Embeddings != nil {
			t.Errorf("%+v", s)
		}
	}
}

func dot(a, b ast.Vector) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}
