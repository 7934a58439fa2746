package gosource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outflow-db/outflow/ast"
)

// Files come in the order of their paths, the same however many are parsed at once; what the go command
// leaves out is left out, and the limit counts files.
func TestOrder(t *testing.T) {
	t.Parallel()
	files := map[string]string{"_no/a.go": "package a", ".no/a.go": "package a", "b/_a.go": "package a", "b/a.txt": "", "c/testdata/a.go": "package a"}
	var want []string
	for i := range 20 {
		for j := range 3 {
			name := fmt.Sprintf("d%02d/f%d.go", i, j)
			files[name], want = "package d\nfunc F() {}", append(want, name)
		}
	}
	want = append([]string{"c/testdata/a.go"}, want...)
	root := tree(t, files)
	for _, o := range []Options{{Parallel: 1}, {Parallel: 8}, {}, {Max: 8}, {Max: 1}} {
		var got []string
		for f, err := range Files(t.Context(), root, o) {
			if err != nil {
				t.Fatal(err)
			}
			if f.Repository != filepath.Base(root) {
				t.Errorf("repository %s", f.Repository)
			}
			got = append(got, f.Path)
		}
		expected := want
		if o.Max > 0 {
			expected = want[:o.Max]
		}
		if diff := cmp.Diff(expected, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", o, diff)
		}
	}
}

// A file that does not parse is told with its place, and the others of its package come all the same.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	files, bad := extract(t, map[string]string{
		"p/a.go": "package p\nfunc A() { B() }", "p/b.go": "package p\nfunc B() {}", "p/bad.go": "package p\nfunc {\n}", "p/empty.go": "",
		"p/latin1.go": "package p // caf\xe9",
	}, Options{})
	var got []string
	for _, b := range bad {
		got = append(got, b.Error())
	}
	want := []string{
		`file "r p/bad.go": 2:6: expected 'IDENT', found '{'; 2:8: expected '(', found newline`,
		`file "r p/empty.go": 1:1: expected 'package', found 'EOF'`,
		`file "r p/latin1.go": no valid UTF-8`,
	}
	for i := range got {
		if i < len(want) && !strings.HasPrefix(got[i], strings.Split(want[i], ";")[0]) {
			t.Errorf("got %s, want %s", got[i], want[i])
		}
	}
	if len(got) != len(want) || len(files) != 2 {
		t.Errorf("%d bad, %d good", len(got), len(files))
	}
	if calls := relations(files["p/a.go"], "calls"); len(calls) != 1 {
		t.Errorf("%v", calls)
	}
}

// The sequence ends early if its consumer or the context does, leaving no goroutine behind, and says when the
// root is none.
func TestEnds(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	for i := range 50 {
		files[fmt.Sprintf("d%02d/a.go", i)] = "package d"
	}
	root := tree(t, files)
	n := 0
	for _, err := range Files(t.Context(), root, Options{Parallel: 4}) {
		if n++; n == 3 || err != nil {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range Files(ctx, root, Options{Parallel: 4}) {
		cancel()
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("cancelled: %v", last)
	}
	for _, err := range Files(t.Context(), filepath.Join(root, "nowhere"), Options{}) {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("no root: %v", err)
		}
	}
}

// In this project's own source every relation starts at a symbol of its file and ends at one that is there, and
// every symbol is contained once.
func TestOwnSource(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	known, contained := map[ast.Ref]bool{}, map[ast.Ref]int{}
	var all []*ast.SourceFile
	for f, err := range Files(t.Context(), root, Options{Repository: "outflow"}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
		known[ast.Ref{Path: f.Path}] = true
		for i := range f.Symbols {
			r := f.Symbols[i].Ref()
			if r.Path = f.Path; known[r] {
				t.Errorf("%s is there twice", r)
			}
			known[r] = true
		}
	}
	for _, f := range all {
		for _, r := range f.Relations {
			source, target := r.Source, r.Target
			source.Path = f.Path
			if target.Path == "" {
				target.Path = f.Path
			}
			if !known[source] || !known[target] {
				t.Errorf("%s: %s %s %s: an end is nowhere", f.Path, source, r.Type, target)
			}
			if r.Type == "contains" {
				contained[target]++
			}
		}
	}
	for r := range known {
		if r.Kind != "" && contained[r] != 1 {
			t.Errorf("%s is contained %d times", r, contained[r])
		}
	}
	file := all[slices.IndexFunc(all, func(f *ast.SourceFile) bool { return f.Path == "examples/gosource/gosource/files.go" })]
	pkg := "github.com/outflow-db/outflow/examples/gosource/gosource."
	if got := relations(file, "calls"); !slices.Contains(got, "function "+pkg+"Files calls method "+pkg+"extractor.ahead") &&
		!slices.Contains(got, "function "+pkg+"Files calls function "+pkg+"list in examples/gosource/gosource/list.go") {
		t.Errorf("%v", got)
	}
}
