package gosource

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outflow-db/outflow/ast"
)

// want compares the relations of some types with what they should be.
func want(t *testing.T, f *ast.SourceFile, types []string, lines ...string) {
	t.Helper()
	slices.Sort(lines)
	if diff := cmp.Diff(lines, relations(f, types...)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", f.Path, diff)
	}
}

// A method belongs to its type if both are in one file, else to the file.
func TestContains(t *testing.T) {
	t.Parallel()
	files, _ := extract(t, map[string]string{
		"p/a.go": "package p\ntype T struct { f int }\nfunc (t T) A() {}\nfunc F() {}",
		"p/b.go": "package p\nfunc (t T) B() {}\nfunc (missing) C() {}",
	}, Options{})
	want(t, files["p/a.go"], []string{"contains"},
		"the file contains function p.F", "the file contains package p", "the file contains type p.T",
		"type p.T contains field p.T.f", "type p.T contains method p.T.A")
	want(t, files["p/b.go"], []string{"contains"}, "the file contains method p.T.B", "the file contains method p.missing.C")
}

// mentions names, in all ways, what mentioned declares.
const mentions = `package p

func caller(f int, t *T) T {
	f = one()               // a call of a function in another file
	_ = T{f: two}           // the key is a field, the value a function
	_ = map[int]int{K: V}   // here the key is a constant
	_ = []int{K: 1}
	one := 1                // from here on one is local
	_ = one
	_ = MyInt(f)            // a conversion
	t.M()                   // the type of a parameter is known
	t.M()
	_ = t.f
	var u T
	u.M()
	v := &T{}
	v.M()
	w := new(T)
	w.M()
	x, y := T{}, 1
	x.M()
	_ = y
	defer generic[MyInt](V)
	pair[MyInt, T]()
	table[K]()              // a call of an element
	V.unknown()
	other().M()             // the type of a call's result is not known
	func(one int) { _ = one }(1)
	type K int              // a local type
	_ = K(1)
Loop:
	for { break Loop }
	_ = struct{ one int }{}
	return *t
}
`

const mentioned = `package p
type T struct { f func() int }
func (*T) M() {}
type MyInt int
const K = 1
var V, Loop = 1, K
var table = []func(){two0}
func one() int { return 1 }
func two() int { return one() }
func two0() {}
func other() *T { return global.f2() }
func generic[X any](x X) {}
func pair[X, Y any]() {}
var global T
var _ = global
`

// Calls, conversions and mentions are told apart, and names that mean something local mean nothing else.
func TestUses(t *testing.T) {
	t.Parallel()
	files, _ := extract(t, map[string]string{"p/a.go": mentions, "p/b.go": mentioned}, Options{})
	c := "function p.caller "
	want(t, files["p/a.go"], []string{"calls", "references"},
		c+"calls function p.generic in p/b.go", c+"calls function p.one in p/b.go", c+"calls function p.other in p/b.go",
		c+"calls function p.pair in p/b.go", c+"calls method p.T.M in p/b.go",
		c+"references const p.K in p/b.go", c+"references field p.T.f in p/b.go", c+"references function p.two in p/b.go",
		c+"references type p.MyInt in p/b.go", c+"references type p.T in p/b.go",
		c+"references var p.V in p/b.go", c+"references var p.table in p/b.go")
	want(t, files["p/b.go"], []string{"calls", "references"},
		"function p.other references type p.T", "function p.other references var p.global", "function p.two calls function p.one",
		"method p.T.M references type p.T", "var p.Loop references const p.K", "var p._ references var p.global",
		"var p.global references type p.T", "var p.table references function p.two0")
}

// Imports are resolved below the root: by the package's own name, another one, a dot, through vendor and module.
func TestImports(t *testing.T) {
	t.Parallel()
	files, _ := extract(t, map[string]string{
		"go.mod": "// comment\nmodule \"example.org/m\"\n",
		"a/a.go": `package a
import (
	"example.org/m/lib/v2"
	other "example.org/m/b"
	. "example.org/m/dot"
	_ "example.org/m/side"
	again "example.org/m/b"
	"example.org/mm/b"
	"fmt"
	"C"
	"vendored.org/x"
	"example.org/m/nothing"
	"example.org/m"
)
func A(lib2 lib.T) {
	lib.F()
	lib2.M()
	other.F()
	again.F()
	Dotted()
	unexported()
	fmt.Println()
	C.puts()
	x.F(x.T{})
	root.F()
	{
		other := 1
		other.F()
	}
}
type E struct { lib.T; *other.T; x.Missing }
`,
		"lib/v2/lib.go":              "package lib\nfunc F() {}\ntype T int\nfunc (T) M() {}",
		"lib/v2/lib_test.go":         "package lib_test\nimport . \"example.org/m/lib/v2\"\nfunc G() { F() }",
		"lib/v2/tool.go":             "//go:build ignore\npackage main\nfunc F() {}",
		"b/b.go":                     "package b\nfunc F() {}\ntype T int",
		"dot/dot.go":                 "package dot\nfunc Dotted() {}\nfunc unexported() {}",
		"side/side.go":               "package side",
		"vendor/vendored.org/x/x.go": "package x\nfunc F(T) {}\ntype T struct{}",
		"root.go":                    "package root\nfunc F() {}",
		"nothing/README":             "no Go",
	}, Options{})
	m := "example.org/m/"
	want(t, files["a/a.go"], []string{"imports"},
		"the file imports package "+m+"b in b/b.go", "the file imports package "+m+"dot in dot/dot.go",
		"the file imports package "+m+"lib/v2 in lib/v2/lib.go", "the file imports package "+m+"side in side/side.go",
		"the file imports package example.org/m in root.go", "the file imports package vendored.org/x in vendor/vendored.org/x/x.go")
	want(t, files["a/a.go"], []string{"calls", "embeds"},
		"function "+m+"a.A calls function "+m+"b.F in b/b.go", "function "+m+"a.A calls function "+m+"dot.Dotted in dot/dot.go",
		"function "+m+"a.A calls function "+m+"lib/v2.F in lib/v2/lib.go", "function "+m+"a.A calls function example.org/m.F in root.go",
		"function "+m+"a.A calls function vendored.org/x.F in vendor/vendored.org/x/x.go",
		"function "+m+"a.A calls method "+m+"lib/v2.T.M in lib/v2/lib.go",
		"type "+m+"a.E embeds type "+m+"b.T in b/b.go", "type "+m+"a.E embeds type "+m+"lib/v2.T in lib/v2/lib.go")
	want(t, files["lib/v2/lib_test.go"], []string{"calls"}, "function "+m+"lib/v2:lib_test.G calls function "+m+"lib/v2.F in lib/v2/lib.go")
}

// A name that several files declare means the one in the same file, then in a file for the same system, then
// outside of tests.
func TestVariants(t *testing.T) {
	t.Parallel()
	files, _ := extract(t, map[string]string{
		"p/a_linux.go": "package p\nfunc f() {}", "p/a_windows.go": "package p\nfunc f() {}\nfunc g() { f() }",
		"p/b_windows.go": "package p\nfunc h() { f() }", "p/b.go": "package p\nfunc i() { f(); j() }",
		"p/a_test.go": "package p\nfunc j() {}", "p/z.go": "package p\nfunc j() {}",
	}, Options{})
	want(t, files["p/a_windows.go"], []string{"calls"}, "function p.g calls function p.f")
	want(t, files["p/b_windows.go"], []string{"calls"}, "function p.h calls function p.f in p/a_windows.go")
	want(t, files["p/b.go"], []string{"calls"}, "function p.i calls function p.f in p/a_linux.go", "function p.i calls function p.j in p/z.go")
}

// In the standard library import paths are directories.
func TestStandardLibrary(t *testing.T) {
	t.Parallel()
	files, _ := extract(t, map[string]string{
		"go.mod": "module std\n", "net/http/a.go": "package http\nimport \"net/url\"\nvar _ = url.U",
		"net/url/u.go": "package url\nvar U int", "cmd/vendor/x/x.go": "package x\nvar X int",
		"cmd/go/main.go": "package main\nimport \"x\"\nvar _ = x.X",
	}, Options{})
	want(t, files["net/http/a.go"], []string{"references"}, "var net/http._ references var net/url.U in net/url/u.go")
	want(t, files["cmd/go/main.go"], []string{"references"}, "var cmd/go._ references var x.X in cmd/vendor/x/x.go")
}
