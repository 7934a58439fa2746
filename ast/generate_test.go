package ast

import (
	"fmt"

	"pgregory.net/rapid"
)

// anyFile is any file that can be written down, good or not.
func anyFile() *rapid.Generator[*SourceFile] {
	text := rapid.StringN(0, 8, -1)
	vector := rapid.Map(rapid.SliceOf(rapid.Float32()), func(v []float32) Vector { return v })
	ref := rapid.Custom(func(t *rapid.T) Ref {
		return Ref{text.Draw(t, "repository"), text.Draw(t, "path"), text.Draw(t, "kind"), text.Draw(t, "qualified"), rapid.Int().Draw(t, "ordinal")}
	})
	return rapid.Custom(func(t *rapid.T) *SourceFile {
		f := &SourceFile{
			Repository: text.Draw(t, "repository"), Path: text.Draw(t, "path"), Language: text.Draw(t, "language"),
			Bytes: rapid.Int64().Draw(t, "bytes"), Lines: rapid.Int().Draw(t, "lines"), Content: rapid.Ptr(text, true).Draw(t, "content"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "symbols") {
			f.Symbols = append(f.Symbols, Symbol{
				Kind: text.Draw(t, "kind"), Name: text.Draw(t, "name"), Qualified: text.Draw(t, "qualified"), Ordinal: rapid.Int().Draw(t, "ordinal"),
				Signature: text.Draw(t, "signature"), Doc: text.Draw(t, "doc"), LineStart: rapid.Int().Draw(t, "start"), LineEnd: rapid.Int().Draw(t, "end"),
				Embeddings: []Embedding{{text.Draw(t, "model"), vector.Draw(t, "vector")}},
			})
		}
		for range rapid.IntRange(0, 3).Draw(t, "relations") {
			f.Relations = append(f.Relations, Relation{ref.Draw(t, "source"), text.Draw(t, "type"), ref.Draw(t, "target")})
		}
		return f
	})
}

// goodText is text that PostgreSQL takes.
func goodText() *rapid.Generator[string] {
	return rapid.StringOfN(rapid.RuneFrom([]rune("ab\\\"'\n\t{}é漢\U0001F600")), 0, 6, -1)
}

// goodFile is a good file of a small world, in which files, symbols and relations meet again.
func goodFile(path string) *rapid.Generator[*SourceFile] {
	text := goodText()
	return rapid.Custom(func(t *rapid.T) *SourceFile {
		f := &SourceFile{
			Repository: "r", Path: path, Language: text.Draw(t, "language"), Bytes: rapid.Int64Range(0, 2).Draw(t, "bytes"),
			Lines: rapid.IntRange(0, 2).Draw(t, "lines"), Content: rapid.Ptr(text, true).Draw(t, "content"),
		}
		ends := []Ref{{}}
		for _, n := range rapid.SliceOfDistinct(rapid.IntRange(0, 5), rapid.ID).Draw(t, "symbols") {
			s := goodSymbol(t, n)
			f.Symbols = append(f.Symbols, s)
			ends = append(ends, s.Ref())
		}
		other := map[string]string{"a.go": "b.go", "b.go": "c.go", "c.go": "a.go"}[path]
		targets := append([]Ref{{Path: "elsewhere.go"}, {Path: other, Kind: "type", Qualified: "p.s1"}, {Repository: "q", Path: "a.go"}}, ends...)
		edges := rapid.Custom(func(t *rapid.T) Relation {
			return Relation{
				rapid.SampledFrom(ends).Draw(t, "source"), rapid.SampledFrom([]string{"calls", "contains", "likes"}).Draw(t, "type"),
				rapid.SampledFrom(targets).Draw(t, "target"),
			}
		})
		key := func(r Relation) Relation {
			r.Target = (&checker{file: f}).normal(r.Target)
			return r
		}
		f.Relations = rapid.SliceOfNDistinct(edges, 0, 6, key).Draw(t, "relations")
		return f
	})
}

func goodSymbol(t *rapid.T, n int) Symbol {
	text := goodText()
	s := Symbol{
		Kind: []string{"type", "function"}[n%2], Name: fmt.Sprintf("s%d", n/3), Qualified: fmt.Sprintf("p.s%d", n/3), Ordinal: n % 3 / 2,
		Signature: text.Draw(t, "signature"), Doc: text.Draw(t, "doc"), LineStart: 1, LineEnd: rapid.IntRange(1, 3).Draw(t, "end"),
	}
	for _, m := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"m", "n"}), 0, 2, rapid.ID).Draw(t, "models") {
		v := rapid.SliceOfN(rapid.Float32(), 2, 2)
		if m == "n" {
			v = rapid.SliceOfN(rapid.Float32(), 3, 3)
		}
		s.Embeddings = append(s.Embeddings, Embedding{m, v.Draw(t, "vector")})
	}
	return s
}
