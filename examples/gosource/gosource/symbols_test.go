package gosource

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// declarations has every form of declaration.
const declarations = `// Package p does.
package p

import "fmt"

// A and B are constants.
const (
	A, B = 1, 2 // both
	// C is alone.
	C int = 3
)

// V is a variable.
var V = map[string]int{
	"a": 1,
}

// T is generic.
type T[K comparable, V any] struct {
	// F is documented before,
	F, G K // and after
	fmt.Stringer
	*U
	Inner struct {
		Deep []V ` + "`json:\"deep\"`" + `
	}
	_ int
	_ int
}

// M is a method.
func (t *T[K, _]) M(k K) (v V, err error) {
	return v, nil
}

type (
	U struct{}
	// I is an interface.
	I interface {
		fmt.Stringer
		// Do does.
		Do(a, b int) error
		~int | ~string
	}
	Alias = U
)

func (U) String() string { return "" }

func Map[A, B any](in []A,
	f func(A) B) []B

func init() {}

func init() {}

func _() {}

var _, _ = 1, 2
`

// declared are their symbols.
var declared = []string{
	"package example.org/m/p p 2-2 | package p | Package p does.",
	"const example.org/m/p.A A 8-8 | const A, B = 1, 2 | both",
	"const example.org/m/p.B B 8-8 | const A, B = 1, 2 | both",
	"const example.org/m/p.C C 10-10 | const C int = 3 | C is alone.",
	`var example.org/m/p.V V 14-16 | var V = map[string]int{ "a": 1, } | V is a variable.`,
	"type example.org/m/p.T T 19-29 | type T[K comparable, V any] struct | T is generic.",
	"field example.org/m/p.T.F F 21-21 | F K | F is documented before,; and after",
	"field example.org/m/p.T.G G 21-21 | G K | F is documented before,; and after",
	"field example.org/m/p.T.Stringer Stringer 22-22 | fmt.Stringer",
	"field example.org/m/p.T.U U 23-23 | *U",
	"field example.org/m/p.T.Inner Inner 24-26 | Inner struct",
	"field example.org/m/p.T.Inner.Deep Deep 25-25 | Deep []V",
	"field example.org/m/p.T._ _ 27-27 | _ int",
	"field example.org/m/p.T._ #1 _ 28-28 | _ int",
	"method example.org/m/p.T.M M 32-34 | func (t *T[K, _]) M(k K) (v V, err error) | M is a method.",
	"type example.org/m/p.U U 37-37 | type U struct",
	"type example.org/m/p.I I 39-44 | type I interface | I is an interface.",
	"method example.org/m/p.I.Do Do 42-42 | Do(a, b int) error | Do does.",
	"type example.org/m/p.Alias Alias 45-45 | type Alias = U",
	"method example.org/m/p.U.String String 48-48 | func (U) String() string",
	"function example.org/m/p.Map Map 50-51 | func Map[A, B any](in []A, f func(A) B) []B",
	"function example.org/m/p.init init 53-53 | func init()",
	"function example.org/m/p.init #1 init 55-55 | func init()",
	"function example.org/m/p._ _ 57-57 | func _()",
	"var example.org/m/p._ _ 59-59 | var _, _ = 1, 2",
	"var example.org/m/p._ #1 _ 59-59 | var _, _ = 1, 2",
}

// Every form of declaration becomes a symbol with its signature, documentation and lines.
func TestSymbols(t *testing.T) {
	t.Parallel()
	files, bad := extract(t, map[string]string{"go.mod": "module example.org/m\n", "p/p.go": declarations}, Options{})
	if len(bad) > 0 {
		t.Fatal(bad)
	}
	const p = "example.org/m/p."
	f := files["p/p.go"]
	if diff := cmp.Diff(declared, symbols(f)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if f.Language != "go" || f.Repository != "r" || f.Lines != 59 || f.Content != nil {
		t.Errorf("%+v", f)
	}
	if got := relations(f, "embeds"); len(got) != 1 || got[0] != "type "+p+"T embeds type "+p+"U" {
		t.Errorf("%v", got)
	}
}

// A long signature is cut at a letter, lines are those of the file whatever line comments say, and the text
// comes along if asked for.
func TestOddText(t *testing.T) {
	t.Parallel()
	long := "\ufeffpackage p\n//line other.go:500\nvar a = \"" + strings.Repeat("é", 300) + "\""
	files, _ := extract(t, map[string]string{"p.go": long, "crlf.go": "package p\r\n\r\n// F does.\r\nfunc F(\r\n) {}\r\n", "empty.go": "package p"}, Options{Content: true})
	a := files["p.go"].Symbols[0]
	if a.LineStart != 3 || len(a.Signature) > longest+4 || a.Signature[len(a.Signature)-6:] != "é ..." {
		t.Errorf("%d %q", a.LineStart, a.Signature)
	}
	if *files["p.go"].Content != long || files["p.go"].Lines != 3 {
		t.Errorf("%d lines, %q", files["p.go"].Lines, *files["p.go"].Content)
	}
	if got := symbols(files["crlf.go"]); len(got) != 2 || got[1] != "function r.F F 4-5 | func F( ) | F does." {
		t.Errorf("%q", got)
	}
	if files["empty.go"].Lines != 1 {
		t.Errorf("%d lines", files["empty.go"].Lines)
	}
}

// A package's symbol is in the file with the package comment, else in the first one, and not in a test.
func TestHome(t *testing.T) {
	t.Parallel()
	files, _ := extract(t, map[string]string{
		"doc/a_test.go": "// Tests.\npackage doc", "doc/b.go": "package doc", "doc/c.go": "// Package doc.\npackage doc",
		"first/a_test.go": "package first", "first/b.go": "package first", "first/c.go": "package first",
		"first/x_test.go": "package first_test", "first/gen.go": "//go:build ignore\n\npackage main",
		"tests/a_test.go": "package tests",
	}, Options{})
	home := map[string]string{}
	for path, f := range files {
		for _, s := range f.Symbols {
			home[s.Qualified] = path
		}
	}
	want := map[string]string{
		"doc": "doc/c.go", "first": "first/b.go", "first:first_test": "first/x_test.go", "first:main": "first/gen.go", "tests": "tests/a_test.go",
	}
	if diff := cmp.Diff(want, home); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
