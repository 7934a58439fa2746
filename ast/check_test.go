package ast

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Every problem of a file is told at once, each with its place.
func TestEveryProblem(t *testing.T) {
	t.Parallel()
	nul, broken := "a\x00b", "a\xffb"
	f := &SourceFile{
		Repository: strings.Repeat("r", 501), Language: nul, Bytes: -1, Lines: -1, Content: &broken, Line: 7,
		Symbols: []Symbol{
			{Kind: "Type", Qualified: nul, Ordinal: -1, Signature: broken, Doc: nul, LineStart: 3, LineEnd: 2},
			{Kind: "type", Name: "T", Qualified: "p.T"},
			{Kind: "type", Name: "T", Qualified: "p.T", Embeddings: []Embedding{
				{Model: "m", Vector: Vector{1}}, {Model: "m", Vector: Vector{1, 2}}, {}, {Model: "known", Vector: Vector{float32(math.Inf(1))}},
			}},
		},
	}
	_, bad := check(f, map[string]int{"known": 2})
	want := []string{
		"repository: 501 bytes: at most 500",
		"path: missing",
		"language: holds a NUL byte, which PostgreSQL does not take",
		`content: no valid UTF-8: "a\xffb"`,
		"bytes: -1 is negative",
		"lines: -1: want 0 to 2147483647",
		`symbols[0].kind: "Type": want a lower case word, such as function`,
		"symbols[0].name: missing",
		"symbols[0].qualified: holds a NUL byte, which PostgreSQL does not take",
		`symbols[0].signature: no valid UTF-8: "a\xffb"`,
		"symbols[0].doc: holds a NUL byte, which PostgreSQL does not take",
		"symbols[0].ordinal: -1: want 0 to 2147483647",
		"symbols[0]: lines 3 to 2: want them counted from 1, in order",
		"symbols[2].embeddings[1]: a second vector of model m",
		"symbols[2].embeddings[1].vector: 2 dimensions: model m has 1",
		"symbols[2].embeddings[2].model: missing",
		"symbols[2].embeddings[2].vector: empty",
		"symbols[2].embeddings[3].vector: 1 dimensions: model known has 2",
		"symbols[2].embeddings[3].vector[0]: +Inf is not a finite number",
		"symbols[2]: type p.T is there already: give it another ordinal",
	}
	if bad == nil || bad.Line != 7 {
		t.Fatalf("got %v", bad)
	}
	if diff := cmp.Diff(want, bad.Problems); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Relations start in the file and end at something that can be there; more problems than anybody reads are
// counted.
func TestRelationProblems(t *testing.T) {
	t.Parallel()
	f := goFile("a.go")
	known := Ref{Kind: "type", Qualified: "p.T"}
	f.Relations = []Relation{
		{known, "calls", known},
		{known, "calls", Ref{Path: "a.go", Kind: "type", Qualified: "p.T"}},
		{known, "CALLS", known},
		{Ref{Path: "b.go"}, "calls", known},
		{known, "calls", Ref{Kind: "type", Qualified: "p.U"}},
		{known, "calls", Ref{Kind: "type"}},
		{known, "calls", Ref{Repository: "q"}},
		{known, "calls", Ref{Path: "b.go", Kind: "a type", Qualified: "q.T"}},
		{known, "calls", Ref{Path: "b\x00", Qualified: "\xff"}},
		{known, "calls", Ref{Path: "b.go", Ordinal: -1}},
	}
	for range 15 {
		f.Relations = append(f.Relations, Relation{Type: "", Target: known})
	}
	_, bad := check(f, map[string]int{})
	want := []string{
		"relations[1]: the same as relations[0]",
		`relations[2].type: "CALLS": want a lower case word, such as calls`,
		"relations[3].source: the file in b.go is in another file: a relation is stated by the file it starts in",
		"relations[4].target: the file has no symbol type p.U",
		"relations[5].target: want both kind and qualified, or neither for a file",
		"relations[6].target: a repository without a path",
		`relations[7].target.kind: "a type": want a lower case word, such as function`,
		"relations[8].target.path: holds a NUL byte, which PostgreSQL does not take",
		`relations[8].target.qualified: no valid UTF-8: "\xff"`,
		"relations[8].target: want both kind and qualified, or neither for a file",
		"relations[9].target.ordinal: -1: want 0 to 2147483647",
		"relations[9].target: want both kind and qualified, or neither for a file",
		`relations[10].type: "": want a lower case word, such as calls`,
	}
	if diff := cmp.Diff(want, bad.Problems[:len(want)]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if n := len(bad.Problems); n != maxProblems+1 || bad.Problems[n-1] != "and 21 more problems" {
		t.Errorf("%d problems, the last: %s", n, bad.Problems[n-1])
	}
}

// The first good file decides how long a model's vectors are; a bad one does not.
func TestDimensions(t *testing.T) {
	t.Parallel()
	file := func(path string, v Vector) *SourceFile {
		return &SourceFile{Repository: "r", Path: path, Symbols: []Symbol{{Kind: "type", Name: "T", Qualified: "T", Embeddings: []Embedding{{"m", v}}}}}
	}
	dimensions := map[string]int{}
	for _, c := range []struct {
		file *SourceFile
		good bool
	}{
		{file("", Vector{1, 2, 3}), false},
		{file("a", Vector{1, 2}), true},
		{file("b", Vector{1, 2, 3}), false},
		{file("c", Vector{3, 4}), true},
	} {
		if _, bad := check(c.file, dimensions); (bad == nil) != c.good {
			t.Errorf("%q: %v", c.file.Path, bad)
		}
	}
}

// Errors and references read as sentences.
func TestWords(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		`in: line 3: file "r a.go": one; two`: (&BadFile{Input: "in", Line: 3, Repository: "r", Path: "a.go", Problems: []string{"one", "two"}}).Error(),
		`file "a.go": one`:                    (&BadFile{Path: "a.go", Problems: []string{"one"}}).Error(),
		"one":                                 (&BadFile{Problems: []string{"one"}}).Error(),
		"function a.F #2 in r x.go":           Ref{"r", "x.go", "function", "a.F", 2}.String(),
		"the file":                            Ref{}.String(),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// Everything that a generator of good files makes is found good, its digest depends on all of it, and nothing
// that any generator makes is a panic.
func TestCheckAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		_, _ = check(anyFile().Draw(t, "any"), map[string]int{})
		a, b := goodFile("a.go").Draw(t, "a"), goodFile("a.go").Draw(t, "b")
		ca, bad := check(a, map[string]int{})
		if bad != nil {
			t.Fatal(bad)
		}
		cb, _ := check(b, map[string]int{})
		same := cmp.Equal(statedBy(map[string]*SourceFile{"": a}), statedBy(map[string]*SourceFile{"": b}))
		if digests := prepare(ca).digest == prepare(cb).digest; digests && !same {
			t.Fatal("files that differ have the same digest")
		}
	})
}
