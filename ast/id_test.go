package ast

import (
	"testing"
)

// Ids are those that the documented rule gives in any language; these come from Python's uuid5.
func TestIDs(t *testing.T) {
	t.Parallel()
	file := FileID("go", "fmt/print.go")
	for got, want := range map[string]string{
		namespace.String(): "703b8e15-7c9a-56d2-a6aa-a759e2a10284",
		file.String():      "a12dc1ca-b4e6-503b-8482-4a0a91e638a2",
		SymbolID(file, "function", "fmt.Println", 0).String(): "d492310d-f324-598d-8814-c4aa169dc3b3",
		SymbolID(file, "function", "fmt.init", 3).String():    "302617cb-528b-53b5-977e-9e4b30557696",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// A reference means the same whether it names its own file or leaves that out.
func TestRefID(t *testing.T) {
	t.Parallel()
	f := &SourceFile{Repository: "go", Path: "fmt/print.go"}
	id := FileID(f.Repository, f.Path)
	want := SymbolID(id, "function", "fmt.Println", 0)
	for _, r := range []Ref{{}, {Path: "fmt/print.go"}, {Repository: "go", Path: "fmt/print.go"}} {
		if got := r.id(f, id); got != id {
			t.Errorf("%v is %s, want the file %s", r, got, id)
		}
		r.Kind, r.Qualified = "function", "fmt.Println"
		if got := r.id(f, id); got != want {
			t.Errorf("%v is %s, want %s", r, got, want)
		}
	}
	if other := (Ref{Repository: "fork", Path: "fmt/print.go"}); other.id(f, id) == id {
		t.Errorf("%v is the file of another repository", other)
	}
}
