package gosource

import goast "go/ast"

// The parser's own resolution of names is deprecated in favour of a type checker, which this package does
// without. Within a file it is exact, and all that is asked of it is here.

// local says whether a name is declared within a function or a type.
func (e *emitter) local(id *goast.Ident) bool {
	return id.Obj != nil && e.tree.Scope.Objects[id.Name] != id.Obj
}

// declared is the expression of a name's type, as far as the name's declaration in this file shows it: nil
// for anything else.
func (e *emitter) declared(id *goast.Ident) goast.Expr {
	if id.Obj == nil {
		return nil
	}
	switch d := id.Obj.Decl.(type) {
	case *goast.Field:
		return d.Type
	case *goast.ValueSpec:
		if d.Type != nil {
			return d.Type
		}
		for i, name := range d.Names {
			if name.Name == id.Name && len(d.Values) == len(d.Names) {
				return made(d.Values[i])
			}
		}
	case *goast.AssignStmt:
		for i, x := range d.Lhs {
			if name, ok := x.(*goast.Ident); ok && name.Name == id.Name && len(d.Lhs) == len(d.Rhs) {
				return made(d.Rhs[i])
			}
		}
	}
	return nil
}

// made is the type of T{}, &T{} and new(T).
func made(x goast.Expr) goast.Expr {
	switch x := x.(type) {
	case *goast.CompositeLit:
		return x.Type
	case *goast.UnaryExpr:
		if lit, ok := x.X.(*goast.CompositeLit); ok {
			return lit.Type
		}
	case *goast.CallExpr:
		if f, ok := x.Fun.(*goast.Ident); ok && f.Name == "new" && f.Obj == nil && len(x.Args) == 1 {
			return x.Args[0]
		}
	}
	return nil
}
