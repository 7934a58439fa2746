package exec

import (
	"cmp"
	"math"

	"github.com/outflow-db/outflow/internal/nebulaserver/eval"
	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

func (p *planner) lookup(s *ngql.Lookup) (*plan, error) {
	sc, err := p.lookedUp(s.On)
	if err != nil {
		return nil, err
	}
	if err := undefined(s.Where); err != nil {
		return nil, err
	}
	where := p.literalParams(s.Where)
	if where != nil {
		if where, err = p.filter(where, sc); err != nil {
			return nil, err
		}
	}
	if s.Yield != nil {
		for _, c := range s.Yield.Columns {
			if a, ok := c.Expr.(*ngql.Attr); ok && a.X.String() != s.On {
				return nil, graph.Semantic("Schema name error: %s", a.X)
			}
		}
	}
	names, types, err := p.yields(s.Yield, sc.Edge, map[bool]string{true: "VERTEX", false: "EDGE"}[sc.Edge], "unsupport")
	if err != nil {
		return nil, err
	}
	index := p.choose(sc, where)
	if index == nil {
		return nil, graph.Failed("IndexNotFound: No valid index found")
	}
	run := func(r *runner, _ *Table) (*Table, error) {
		space, err := r.space()
		if err != nil {
			return nil, err
		}
		var scopes []*eval.Scope
		for _, e := range space.Entries(index, bounds(where, index)) {
			if row := r.entryScope(space, sc, index, e); row != nil && (where == nil || eval.Eval(where, row) == true) {
				scopes = append(scopes, row)
			}
		}
		return project(*s.Yield, nil, names, types, scopes), nil
	}
	return &plan{names, types, run}, nil
}

// bounds are what a filter that was checked says of the index's first field: rows outside of them do not pass it.
func bounds(where ngql.Expr, i *graph.Index) (b graph.Bounds) {
	c, ok := where.(*ngql.Binary)
	if !ok || len(i.Fields) == 0 {
		return b
	}
	if c.Op == "AND" {
		l, r := bounds(c.L, i), bounds(c.R, i)
		return graph.Bounds{From: cmp.Or(l.From, r.From), To: cmp.Or(l.To, r.To)} // either is a bound
	}
	k, constant := c.R.(*ngql.Const)
	if !constant || property(c.L) != i.Fields[0].Name {
		return b
	}
	n, number := k.Value.(int64)
	switch {
	case !number:
	case c.Op == ">" || c.Op == ">=":
		b.From = n
	case c.Op == "<" || c.Op == "<=":
		b.To = n
	case c.Op == "==":
		b.From, b.To = n, n
	}
	return b
}

func (p *planner) lookedUp(name string) (*graph.Schema, error) {
	for _, edge := range []bool{true, false} {
		if sc, err := p.schema(edge, name); err == nil {
			return sc, nil
		}
	}
	return nil, graph.Semantic("Schema not exist: %s", name)
}

// literalParams replaces parameters by their values, as graphd does before it looks at a filter.
func (p *planner) literalParams(e ngql.Expr) ngql.Expr {
	return ngql.Rewrite(e, func(e ngql.Expr) ngql.Expr {
		if a, ok := e.(*ngql.Attr); ok && evaluable(a) {
			return &ngql.Const{Value: p.constant(a)}
		}
		if s, ok := e.(*ngql.Subscript); ok && evaluable(s) {
			return &ngql.Const{Value: p.constant(s)}
		}
		if prm, ok := e.(*ngql.Param); ok {
			return &ngql.Const{Value: p.c.Params[prm.Name]}
		}
		return nil
	})
}

// filter checks that an index can serve the filter: comparisons of a property with a constant, under AND and OR.
func (p *planner) filter(e ngql.Expr, sc *graph.Schema) (ngql.Expr, error) {
	b, ok := e.(*ngql.Binary)
	if !ok {
		return nil, graph.Semantic("Expression %s not supported yet", e)
	}
	switch b.Op {
	case "AND", "OR":
		l, err := p.filter(b.L, sc)
		if err != nil {
			return nil, err
		}
		r, err := p.filter(b.R, sc)
		return &ngql.Binary{Op: b.Op, L: l, R: r}, err
	case "=~", "CONTAINS", "NOT CONTAINS", "ENDS WITH", "NOT STARTS WITH", "NOT ENDS WITH":
		return nil, graph.Semantic("Expression %s is not supported, please use full-text index as an optimal solution", e)
	case "+", "-", "*", "/", "%", "XOR":
		return nil, graph.Semantic("Expression %s not supported yet", e)
	}
	return p.comparison(b, sc)
}

var mirrored = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}

func (p *planner) comparison(b *ngql.Binary, sc *graph.Schema) (ngql.Expr, error) {
	l, r, op := b.L, b.R, b.Op
	if property(l) == "" {
		l, r, op = r, l, mirrored[op]
	}
	if property(l) == "" || property(r) != "" || op == "" {
		return nil, graph.Semantic("Expression %s not supported yet", b)
	}
	a := l.(*ngql.Attr) // a property is one
	if a.X.String() != sc.Name {
		return nil, graph.Semantic("Schema name error: %s", a.X)
	}
	if _, err := eval.TypeOf(r, p.types()); err != nil {
		return nil, err
	}
	if !evaluable(r) {
		return nil, graph.Semantic("'%s' is not an evaluable expression.", r)
	}
	i := sc.Index(a.Name)
	if i < 0 {
		return nil, graph.Semantic("Invalid column: %s", a.Name)
	}
	v, err := asColumn(p.constant(r), r, sc.Columns[i], op)
	return &ngql.Binary{Op: op, L: l, R: &ngql.Const{Value: v}}, err
}

func property(e ngql.Expr) string {
	if a, ok := e.(*ngql.Attr); ok {
		if _, ok := a.X.(*ngql.Label); ok {
			return a.Name
		}
	}
	return ""
}

// asColumn gives a constant the type of the column it is compared with.
func asColumn(v any, e ngql.Expr, c graph.Column, op string) (any, error) {
	want := c.Type.Value()
	switch x := v.(type) {
	case int64:
		if want == "FLOAT" {
			return float64(x), nil
		}
	case float64:
		if want == "INT" {
			if op == ">=" || op == "<" {
				return int64(math.Ceil(x)), nil
			}
			return int64(math.Floor(x)), nil
		}
	case value.List, value.Set:
		return v, nil
	}
	if value.Type(v) != want {
		if _, ok := e.(*ngql.ListOf); !ok {
			return nil, graph.Semantic("Column type error : %s", c.Name)
		}
	}
	return v, nil
}

// choose takes the index whose first fields the filter names most of; nil: there is no index.
func (p *planner) choose(sc *graph.Schema, where ngql.Expr) *graph.Index {
	named := map[string]bool{}
	ngql.Walk(where, func(e ngql.Expr) { named[property(e)] = true })
	var best *graph.Index
	most := -1
	for _, i := range p.space.Indexes(sc.Edge) {
		if i.On != sc.Name || !p.space.Usable(i) {
			continue
		}
		n := 0
		for n < len(i.Fields) && named[i.Fields[n].Name] {
			n++
		}
		if n > most {
			best, most = i, n
		}
	}
	return best
}

// entryScope is a row as an index has it: what the index does not hold in full comes from the row itself. Nil:
// the entry is left over from a row that is gone.
func (r *runner) entryScope(space *graph.Space, sc *graph.Schema, i *graph.Index, e graph.Entry) *eval.Scope {
	base, ok := space.TagProps(e.Vid, sc)
	if sc.Edge {
		base, ok = space.EdgeProps(e.Vid, e.Dst, e.Rank, sc)
	}
	if !ok {
		return nil
	}
	props := base
	for n, f := range i.Fields {
		if s, text := e.Values[n].(string); text && f.Len > 0 && len(s) >= f.Len || sc.Index(f.Name) < 0 {
			continue
		}
		props[f.Name] = e.Values[n]
	}
	if sc.Edge {
		return r.edgeScope(&value.Edge{Src: e.Vid, Dst: e.Dst, Type: sc.ID, Name: sc.Name, Rank: e.Rank, Props: props})
	}
	return r.vertexScope(&value.Vertex{ID: e.Vid, Tags: []value.Tag{{Name: sc.Name, Props: props}}})
}
