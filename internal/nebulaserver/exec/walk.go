package exec

import (
	"slices"

	"github.com/outflow-db/outflow/internal/nebulaserver/eval"
	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

// walk is a GO that was checked.
type walk struct {
	*ngql.Go
	edges  []*graph.Schema
	tags   []*graph.Schema
	limits []int64
	joined bool // WHERE or YIELD look at the input
}

func (p *planner) goStmt(s *ngql.Go) (*plan, error) {
	w := &walk{Go: s}
	if s.From > s.To {
		return nil, graph.Semantic("`%d TO %d STEPS', upper bound steps should be greater than lower bound.", s.From, s.To)
	}
	ids, err := p.ids(s.Vids, p.readID)
	if err != nil {
		return nil, err
	}
	if w.edges, err = p.over(s.Over); err != nil {
		return nil, err
	}
	w.tags = p.space.Schemas(false)
	names, types, err := p.goClauses(s, w)
	if err != nil {
		return nil, err
	}
	if w.limits, err = p.truncate(s); err != nil {
		return nil, err
	}
	run := func(r *runner, in *Table) (*Table, error) {
		space, err := r.space()
		if err != nil {
			return nil, err
		}
		roots := ids(r, in)
		if err := fits(space, roots...); err != nil {
			return nil, err
		}
		var scopes []*eval.Scope
		if s.Vids.Ref != nil {
			in = r.source(in, s.Vids.Ref)
		}
		w.each(space, roots, func(e *value.Edge, row int) {
			sc := w.scope(r, space, e, in, row)
			if s.Where == nil || eval.Eval(s.Where, sc) == true {
				scopes = append(scopes, sc)
			}
		})
		return project(*s.Yield, nil, names, types, scopes), nil
	}
	return &plan{names, types, run}, nil
}

func (p *planner) over(names []string) ([]*graph.Schema, error) {
	if names == nil {
		all := p.space.Schemas(true)
		if len(all) == 0 {
			return nil, graph.Semantic("No edge type found in space `%s'", p.chosen)
		}
		return all, nil
	}
	var all []*graph.Schema
	for _, n := range names {
		if p.space.Schema(true, n) == nil {
			return nil, graph.Semantic("%s not found in space [%s].", n, p.chosen)
		}
		all = append(all, p.space.Schema(true, n))
	}
	return all, nil
}

// goClauses checks WHERE and YIELD, and that what they say of the input is what FROM refers to.
func (p *planner) goClauses(s *ngql.Go, w *walk) (names, types []string, err error) {
	t := p.propTypes(true)
	if err := boolean(s.Where, t, "boolean"); err != nil {
		return nil, nil, err
	}
	if s.Yield == nil {
		return nil, nil, graph.Semantic("Missing yield clause.")
	}
	for _, c := range s.Yield.Columns {
		if has(c.Expr, func(e ngql.Expr) bool { n, ok := e.(*ngql.Entity); return ok && n.Name == "VERTEX" }) {
			return nil, nil, graph.Semantic("`%s' is not support in go sentence.", c)
		}
	}
	if names, types, err = outputs(s.Yield.Columns, t); err != nil {
		return nil, nil, err
	}
	exprs := []ngql.Expr{s.Where}
	for _, c := range s.Yield.Columns {
		exprs = append(exprs, c.Expr)
	}
	for _, e := range exprs {
		ngql.Walk(e, func(e ngql.Expr) {
			if err == nil {
				err = w.allowed(e)
			}
		})
	}
	return names, types, err
}

// allowed checks one name in WHERE or YIELD.
func (w *walk) allowed(e ngql.Expr) error {
	sym := ""
	switch e := e.(type) {
	case *ngql.Input:
		w.joined = true
		ref := w.Vids.Ref
		switch {
		case e.Var == "" && (ref == nil || ref.Var != ""):
			return graph.Semantic("$- must be referred in FROM before used in WHERE or YIELD")
		case e.Var != "" && (ref == nil || ref.Var != e.Var):
			return graph.Semantic("A variable must be referred in FROM before used in WHERE or YIELD")
		}
	case *ngql.KeyProp:
		sym = e.Edge
	case *ngql.Attr:
		if l, ok := e.X.(*ngql.Label); ok {
			sym = l.Name
		}
	}
	if sym != "" && sym != "*" && !slices.ContainsFunc(w.edges, func(sc *graph.Schema) bool { return sc.Name == sym }) {
		return graph.Semantic("edge should be declared first in over clause.")
	}
	return nil
}

func (p *planner) truncate(s *ngql.Go) ([]int64, error) {
	if s.Truncate == nil {
		return nil, nil
	}
	l, ok := p.constant(s.Truncate).(value.List)
	if !ok {
		return nil, graph.Semantic("`%s' type must be LIST.", s.Truncate)
	}
	if int64(len(l)) != s.To {
		return nil, graph.Semantic("`%s' length must be equal to GO step size %d.", s.Truncate, s.To)
	}
	var all []int64
	for _, v := range l {
		n, ok := v.(int64)
		if !ok {
			return nil, graph.Semantic("Limit/Sample element type must be Integer.")
		}
		if n < 0 {
			return nil, graph.Semantic("Limit/Sample element must be nonnegative.")
		}
		all = append(all, n)
	}
	return all, nil
}

// each visits the edges of the steps that were asked for, with the row of the input that the walk began at.
func (w *walk) each(space *graph.Space, roots []any, visit func(e *value.Edge, row int)) {
	if !w.joined {
		w.from(space, value.Distinct(roots), func(e *value.Edge) { visit(e, 0) })
		return
	}
	for row, root := range roots {
		w.from(space, []any{root}, func(e *value.Edge) { visit(e, row) })
	}
}

func (w *walk) from(space *graph.Space, frontier []any, visit func(*value.Edge)) {
	for step := int64(1); step <= w.To && len(frontier) > 0; step++ {
		var next []any
		n := int64(0)
		for _, vid := range frontier {
			for _, e := range w.neighbours(space, vid) {
				if w.limits != nil && n >= w.limits[step-1] {
					break
				}
				n++
				if step >= w.From {
					visit(e)
				}
				next = append(next, e.Dst)
			}
		}
		frontier = value.Distinct(next)
	}
}

func (w *walk) neighbours(space *graph.Space, vid any) []*value.Edge {
	switch w.Direction {
	case "REVERSELY":
		return space.Edges(vid, w.edges, true)
	case "BIDIRECT":
		return append(space.Edges(vid, w.edges, false), space.Edges(vid, w.edges, true)...)
	}
	return space.Edges(vid, w.edges, false)
}

func (w *walk) scope(r *runner, space *graph.Space, e *value.Edge, in *Table, row int) *eval.Scope {
	sc := r.edgeScope(e)
	sc.Input = r.scope(in, row).Input
	at := func(end string) any {
		if end == "$^" {
			return e.Src
		}
		return e.Dst
	}
	sc.End = func(end, tag, prop string) any {
		for _, t := range w.tags {
			if t.Name == tag {
				m, _ := space.TagProps(at(end), t) // a vertex without the tag has nothing
				return m[prop]
			}
		}
		return nil
	}
	sc.Entity = func(name string) any {
		if name == "EDGE" {
			return e
		}
		if v := space.Vertex(at(name), w.tags); v != nil {
			return v
		}
		return &value.Vertex{ID: at(name)}
	}
	return sc
}
