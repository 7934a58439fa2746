package exec

import (
	"slices"

	"github.com/outflow-db/outflow/internal/nebulaserver/eval"
	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

// schema is a tag or an edge type; the error is that of a statement that reads.
func (p *planner) schema(edge bool, name string) (*graph.Schema, error) {
	if sc := p.space.Schema(edge, name); sc != nil {
		return sc, nil
	}
	if edge {
		return nil, graph.Failed("EdgeNotFound: EdgeName `%s`", name)
	}
	return nil, graph.Failed("TagNotFound: TagName `%s`", name)
}

// propType is the type of sym.prop, or that there is none.
func (p *planner) propType(edge bool, text, sym, prop string) (string, error) {
	sc, err := p.schema(edge, sym)
	if err != nil {
		return "", err
	}
	i := sc.Index(prop)
	if i < 0 {
		return "", graph.Semantic("`%s', not found the property `%s'.", text, prop)
	}
	return sc.Columns[i].Type.Value(), nil
}

// propTypes are types for a statement where sym.prop is a property of a tag or of an edge type.
func (p *planner) propTypes(edge bool) *eval.Types {
	t := p.types()
	t.Prop = func(sym, prop string) (string, error) { return p.propType(edge, sym+"."+prop, sym, prop) }
	t.End = func(end, tag, prop string) (string, error) { return p.propType(false, end+"."+tag+"."+prop, tag, prop) }
	return t
}

// yields checks the YIELD of FETCH and LOOKUP: no column may have the other kind of entity, nor ends or input. The two
// have a word for it that differs.
func (p *planner) yields(y *ngql.Yield, edge bool, foreign, unsupported string) (names, types []string, err error) {
	if y == nil {
		return nil, nil, graph.Semantic("Missing yield clause.")
	}
	for _, c := range y.Columns {
		if has(c.Expr, func(e ngql.Expr) bool {
			n, ok := e.(*ngql.Entity)
			return ok && (n.Name == foreign || n.Name == "PATH")
		}) {
			return nil, nil, graph.Semantic("illegal yield clauses `%s'", c)
		}
	}
	if names, types, err = outputs(y.Columns, p.propTypes(edge)); err != nil {
		return nil, nil, err
	}
	for _, c := range y.Columns {
		switch {
		case has(c.Expr, isInput):
			return nil, nil, graph.Semantic("%s input/variable property expression in yield.", unsupported)
		case has(c.Expr, func(e ngql.Expr) bool { _, ok := e.(*ngql.EndProp); return ok }):
			return nil, nil, graph.Semantic("%s src/dst property expression in yield.", unsupported)
		}
	}
	return names, types, nil
}

func has(e ngql.Expr, is func(ngql.Expr) bool) bool {
	found := false
	ngql.Walk(e, func(e ngql.Expr) { found = found || is(e) })
	return found
}

func (p *planner) fetchVertex(s *ngql.FetchVertex) (*plan, error) {
	var tags []*graph.Schema
	for _, n := range s.Tags {
		sc, err := p.schema(false, n)
		if err != nil {
			return nil, err
		}
		tags = append(tags, sc)
	}
	if s.Tags == nil {
		tags = p.space.Schemas(false)
	}
	ids, err := p.ids(s.Vids, p.readID)
	if err != nil {
		return nil, err
	}
	names, types, err := p.yields(s.Yield, false, "EDGE", "unsupported")
	if err != nil {
		return nil, err
	}
	if other := foreignSym(s.Yield, tags); other != "" {
		return nil, graph.Semantic("Mismatched tag `%s'", other)
	}
	run := func(r *runner, in *Table) (*Table, error) {
		space, err := r.space()
		if err != nil {
			return nil, err
		}
		var scopes []*eval.Scope
		for _, id := range ids(r, in) {
			if err := fits(space, id); err != nil {
				return nil, err
			}
			if v := space.Vertex(id, tags); v != nil {
				scopes = append(scopes, r.vertexScope(v))
			}
		}
		return project(*s.Yield, nil, names, types, scopes), nil
	}
	return &plan{names, types, run}, nil
}

// foreignSym is the first name of a tag or an edge in columns that is none of those fetched; empty: there is none.
func foreignSym(y *ngql.Yield, fetched []*graph.Schema) (other string) {
	for _, c := range y.Columns {
		ngql.Walk(c.Expr, func(e ngql.Expr) {
			sym := "*"
			switch e := e.(type) {
			case *ngql.Attr:
				if l, ok := e.X.(*ngql.Label); ok {
					sym = l.Name
				}
			case *ngql.KeyProp:
				sym = e.Edge
			}
			if sym != "*" && other == "" && !slices.ContainsFunc(fetched, func(sc *graph.Schema) bool { return sc.Name == sym }) {
				other = sym
			}
		})
	}
	return other
}

func (r *runner) vertexScope(v *value.Vertex) *eval.Scope {
	return &eval.Scope{
		Params: r.c.Params, Now: r.c.Store.Now(),
		Prop: func(sym, prop string) any {
			if t, ok := v.Tag(sym); ok {
				return t.Props[prop]
			}
			return nil
		},
		Entity: func(string) any { return v },
	}
}

func (r *runner) edgeScope(e *value.Edge) *eval.Scope {
	return &eval.Scope{
		Params: r.c.Params, Now: r.c.Store.Now(),
		Prop: func(sym, prop string) any {
			if sym == e.Name {
				return e.Props[prop]
			}
			return nil
		},
		Key:    func(sym, prop string) any { return keyOf(e, sym, prop) },
		Entity: func(string) any { return e },
	}
}

func keyOf(e *value.Edge, sym, prop string) any {
	if sym != "*" && sym != e.Name {
		return nil
	}
	switch prop {
	case "_src":
		return e.Src
	case "_dst":
		return e.Dst
	case "_rank":
		return e.Rank
	}
	return int64(e.Type)
}

func (p *planner) fetchEdge(s *ngql.FetchEdge) (*plan, error) {
	sc, err := p.schema(true, s.Edge)
	if err != nil {
		return nil, err
	}
	ids, err := p.edgeIDs(s.Keys, s.Ref)
	if err != nil {
		return nil, err
	}
	names, types, err := p.yields(s.Yield, true, "VERTEX", "unsupported")
	if err != nil {
		return nil, err
	}
	if other := foreignSym(s.Yield, []*graph.Schema{sc}); other != "" {
		return nil, graph.Semantic("should use edge name `%s'", s.Edge)
	}
	run := func(r *runner, in *Table) (*Table, error) {
		space, err := r.space()
		if err != nil {
			return nil, err
		}
		keys, err := ids(r, in)
		if err != nil {
			return nil, err
		}
		var scopes []*eval.Scope
		for _, k := range keys {
			if err := fits(space, k.src, k.dst); err != nil {
				return nil, err
			}
			if props, ok := space.EdgeProps(k.src, k.dst, k.rank, sc); ok {
				e := &value.Edge{Src: k.src, Dst: k.dst, Type: sc.ID, Name: sc.Name, Rank: k.rank, Props: props}
				scopes = append(scopes, r.edgeScope(e))
			}
		}
		return project(*s.Yield, nil, names, types, scopes), nil
	}
	return &plan{names, types, run}, nil
}
