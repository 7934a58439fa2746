package gosource

import (
	goast "go/ast"

	"github.com/outflow-db/outflow/ast"
)

// user walks over what a declaration says and writes down whom it uses.
type user struct {
	*emitter
	from ast.Ref
	seen map[use]bool // each relation is stated once
}

type use struct {
	typ string
	to  *decl
}

// Visit implements the visitor of go/ast.
func (u *user) Visit(n goast.Node) goast.Visitor {
	switch n := n.(type) {
	case *goast.CallExpr:
		return u.call(n)
	case *goast.SelectorExpr:
		u.relate("references", u.selector(n))
		goast.Walk(u, n.X)
		return nil
	case *goast.Ident:
		u.relate("references", u.ident(n))
	case *goast.CompositeLit:
		u.literal(n)
		return nil
	case *goast.Field: // its names are declared here, not used
		goast.Walk(u, n.Type)
		return nil
	}
	return u
}

// relate writes a relation to what was found, if anything was.
func (u *user) relate(typ string, to *decl) {
	if to != nil && !u.seen[use{typ, to}] {
		u.seen[use{typ, to}] = true
		u.relation(u.from, typ, to.Ref)
	}
}

// call writes that a function or method is called; conversions are references to the type.
func (u *user) call(n *goast.CallExpr) goast.Visitor {
	fun := base(n.Fun)
	to := u.meaning(fun)
	if to == nil || to.Kind != "function" && to.Kind != "method" {
		return u
	}
	u.relate("calls", to)
	if s, ok := fun.(*goast.SelectorExpr); ok {
		goast.Walk(u, s.X)
	}
	u.arguments(n)
	return nil
}

// arguments walks over what a call has besides the function: type arguments and arguments.
func (u *user) arguments(n *goast.CallExpr) {
	switch f := n.Fun.(type) {
	case *goast.IndexExpr:
		goast.Walk(u, f.Index)
	case *goast.IndexListExpr:
		for _, x := range f.Indices {
			goast.Walk(u, x)
		}
	}
	for _, a := range n.Args {
		goast.Walk(u, a)
	}
}

// literal leaves the keys out where they are the names of fields.
func (u *user) literal(n *goast.CompositeLit) {
	if n.Type != nil {
		goast.Walk(u, n.Type)
	}
	for _, x := range n.Elts {
		kv, ok := x.(*goast.KeyValueExpr)
		if !ok {
			goast.Walk(u, x)
			continue
		}
		if _, name := kv.Key.(*goast.Ident); !name || indexed(n.Type) {
			goast.Walk(u, kv.Key)
		}
		goast.Walk(u, kv.Value)
	}
}

// indexed says whether a literal's keys are expressions.
func indexed(t goast.Expr) bool {
	switch t.(type) {
	case *goast.MapType, *goast.ArrayType:
		return true
	}
	return false
}

// meaning is what an expression names, nil if it is no name or not known.
func (e *emitter) meaning(x goast.Expr) *decl {
	switch x := x.(type) {
	case *goast.Ident:
		return e.ident(x)
	case *goast.SelectorExpr:
		return e.selector(x)
	}
	return nil
}

// ident is what a name means that is declared at package level.
func (e *emitter) ident(id *goast.Ident) *decl {
	if e.local(id) {
		return nil
	}
	if to := e.scope.find(id.Name, e.path); to != nil {
		return to
	}
	for _, s := range e.dots {
		if to := s.find(id.Name, e.path); to != nil && id.IsExported() {
			return to
		}
	}
	return nil
}

// selector is what p.Name means for an imported package p, or x.Name for an x whose type is known.
func (e *emitter) selector(s *goast.SelectorExpr) *decl {
	id, ok := s.X.(*goast.Ident)
	if !ok {
		return nil
	}
	if p := e.imported(id); p != nil {
		return p.find(s.Sel.Name, e.path)
	}
	if t := e.typeOf(e.declared(id)); t != nil {
		return t.scope.find(t.name+"."+s.Sel.Name, e.path)
	}
	return nil
}

// imported is the package that a name means, if any.
func (e *emitter) imported(id *goast.Ident) *scope {
	if id.Obj != nil {
		return nil
	}
	return e.imports[id.Name]
}

// typeOf is the type that an expression names, with or without a pointer.
func (e *emitter) typeOf(x goast.Expr) *decl {
	if x == nil {
		return nil
	}
	var to *decl
	switch x := base(x).(type) {
	case *goast.Ident:
		to = e.ident(x)
	case *goast.SelectorExpr: // p.T
		if id, ok := x.X.(*goast.Ident); ok && e.imported(id) != nil {
			to = e.selector(x)
		}
	}
	if to == nil || to.Kind != "type" {
		return nil
	}
	return to
}
