package ngql

// Children are the expressions right inside of one.
func Children(e Expr) []Expr {
	var all []Expr
	switch e := e.(type) {
	case *Attr:
		all = []Expr{e.X}
	case *Unary:
		all = []Expr{e.X}
	case *Binary:
		all = []Expr{e.L, e.R}
	case *Cast:
		all = []Expr{e.X}
	case *Call:
		all = e.Args
	case *ListOf:
		all = e.Items
	case *MapOf:
		all = e.Values
	case *Subscript:
		all = []Expr{e.X, e.I, e.To}
	case *Case:
		all = append(append([]Expr{e.Of, e.Else}, e.When...), e.Then...)
	case *Iterate:
		all = []Expr{e.Init, e.In, e.Where, e.Out}
	}
	out := make([]Expr, 0, len(all))
	for _, c := range all {
		if c != nil {
			out = append(out, c)
		}
	}
	return out
}

// Walk visits an expression and everything inside of it, from the left; nil is nothing.
func Walk(e Expr, visit func(Expr)) {
	if e == nil {
		return
	}
	visit(e)
	for _, c := range Children(e) {
		Walk(c, visit)
	}
}

// Rewrite makes a copy in which change has replaced what it wants to: where it returns nil the expression
// stays, and its inside is rewritten.
func Rewrite(e Expr, change func(Expr) Expr) Expr {
	if e == nil {
		return nil
	}
	if r := change(e); r != nil {
		return r
	}
	again := func(e Expr) Expr { return Rewrite(e, change) }
	switch e := e.(type) {
	case *Attr:
		return &Attr{X: again(e.X), Name: e.Name}
	case *Unary:
		return &Unary{Op: e.Op, X: again(e.X)}
	case *Binary:
		return &Binary{Op: e.Op, L: again(e.L), R: again(e.R)}
	case *Cast:
		return &Cast{Type: e.Type, X: again(e.X)}
	case *Call:
		return &Call{Name: e.Name, Args: rewriteAll(e.Args, change), Distinct: e.Distinct, Aggregate: e.Aggregate}
	case *ListOf:
		return &ListOf{Items: rewriteAll(e.Items, change), Set: e.Set}
	case *MapOf:
		return &MapOf{Keys: e.Keys, Values: rewriteAll(e.Values, change)}
	case *Subscript:
		return &Subscript{X: again(e.X), I: again(e.I), To: again(e.To), Range: e.Range}
	case *Case:
		return &Case{
			Of: again(e.Of), Else: again(e.Else), Ternary: e.Ternary,
			When: rewriteAll(e.When, change), Then: rewriteAll(e.Then, change),
		}
	case *Iterate:
		return &Iterate{
			Name: e.Name, Var: e.Var, Acc: e.Acc,
			Init: again(e.Init), In: again(e.In), Where: again(e.Where), Out: again(e.Out),
		}
	}
	return e
}

func rewriteAll(all []Expr, change func(Expr) Expr) []Expr {
	out := make([]Expr, len(all))
	for i, e := range all {
		out[i] = Rewrite(e, change)
	}
	return out
}
