package gosource

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/outflow-db/outflow/ast"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tree writes files to a directory and answers its path.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// extract is what Files yields for a tree: files by path, and bad files.
func extract(t *testing.T, files map[string]string, o Options) (map[string]*ast.SourceFile, []*ast.BadFile) {
	t.Helper()
	if o.Repository == "" {
		o.Repository = "r"
	}
	good, bad := map[string]*ast.SourceFile{}, []*ast.BadFile(nil)
	for f, err := range Files(t.Context(), tree(t, files), o) {
		switch err := err.(type) { //nolint:errorlint // it is not wrapped
		case nil:
			good[f.Path] = f
		case *ast.BadFile:
			bad = append(bad, err)
		default:
			t.Fatal(err)
		}
	}
	return good, bad
}

// symbols is a file's symbols, one a line.
func symbols(f *ast.SourceFile) []string {
	var all []string
	for i := range f.Symbols {
		s := &f.Symbols[i]
		parts := []string{fmt.Sprintf("%s %s %d-%d", s.Ref(), s.Name, s.LineStart, s.LineEnd), s.Signature, strings.ReplaceAll(s.Doc, "\n", "; ")}
		parts = slices.DeleteFunc(parts, func(part string) bool { return part == "" })
		all = append(all, strings.Join(parts, " | "))
	}
	return all
}

// relations is the relations of a type, one a line, sorted.
func relations(f *ast.SourceFile, types ...string) []string {
	var all []string
	for _, r := range f.Relations {
		if slices.Contains(types, r.Type) {
			all = append(all, fmt.Sprintf("%s %s %s", r.Source, r.Type, r.Target))
		}
	}
	slices.Sort(all)
	return all
}
