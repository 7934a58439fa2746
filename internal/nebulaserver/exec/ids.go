package exec

import (
	"github.com/outflow-db/outflow/internal/nebulaserver/eval"
	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

// evaluable tells whether an expression has a value without any row.
func evaluable(e ngql.Expr) bool {
	ok := true
	ngql.Walk(e, func(e ngql.Expr) {
		switch e := e.(type) {
		case *ngql.Label, *ngql.Variable, *ngql.Input, *ngql.EndProp, *ngql.KeyProp, *ngql.Entity, *ngql.Iterate:
			ok = false
		case *ngql.Call:
			ok = ok && !e.Aggregate
		}
	})
	return ok
}

// constant is the value of an evaluable expression.
func (p *planner) constant(e ngql.Expr) any {
	if c, ok := e.(*ngql.Const); ok {
		return c.Value
	}
	return eval.Eval(e, &eval.Scope{Params: p.c.Params, Now: p.c.Store.Now()})
}

// vid is the id that a statement which writes names.
func (p *planner) vid(e ngql.Expr) (any, error) {
	v := p.constant(e)
	if value.Type(v) != p.vidType() {
		return nil, graph.Failed("Wrong vertex id type: %s", e)
	}
	return v, nil
}

// ids are the ids that a statement names: known now, or when there are rows.
func (p *planner) ids(v ngql.Vids, check func(e ngql.Expr, typ string) error) (func(*runner, *Table) []any, error) {
	if v.Ref != nil {
		typ, err := eval.TypeOf(v.Ref, p.types())
		if err != nil {
			return nil, err
		}
		if v.Ref.Var != "" {
			if err := unique(p.vars[v.Ref.Var].names); err != nil {
				return nil, err
			}
		}
		if typ != eval.Any && typ != p.vidType() {
			return nil, check(v.Ref, typ)
		}
		return func(r *runner, in *Table) []any { return r.column(in, v.Ref) }, nil
	}
	all := make([]any, len(v.List))
	for i, e := range v.List {
		if !evaluable(e) {
			return nil, graph.Semantic("`%s' is not an evaluable expression.", e)
		}
		if all[i] = p.constant(e); value.Type(all[i]) != p.vidType() {
			return nil, check(e, value.Type(all[i]))
		}
	}
	return func(*runner, *Table) []any { return all }, nil
}

// column is a column of the input, or of a variable.
func (r *runner) column(in *Table, ref ngql.Expr) []any {
	from := r.source(in, ref)
	if from == nil {
		return nil
	}
	all := make([]any, len(from.Rows))
	for i := range from.Rows {
		all[i] = eval.Eval(ref, r.scope(from, i))
	}
	return all
}

func (p *planner) readID(e ngql.Expr, typ string) error {
	return graph.Semantic("`%s', the vid should be type of %s, but was`%s'", e, p.vidType(), typ)
}

func (p *planner) deleteID(e ngql.Expr, typ string) error {
	if _, ok := e.(*ngql.Input); !ok {
		return graph.Failed("Wrong vertex id type: %s", e)
	}
	return graph.Semantic("The vid `%s' should be type of `%s', but was `%s'", e, p.vidType(), typ)
}

// fits refuses ids that are too long.
func fits(s *graph.Space, ids ...any) error {
	for _, id := range ids {
		if !s.FitsVid(id) {
			return graph.ErrBadVid
		}
	}
	return nil
}

// edgeID is an edge that a statement names.
type edgeID struct {
	src, dst any
	rank     int64
}

// edgeIDs are the edges that a statement names. Those of references are checked when there are rows.
func (p *planner) edgeIDs(keys []ngql.EdgeKey, ref bool) (func(*runner, *Table) ([]edgeID, error), error) {
	if ref {
		return p.edgeRefs(keys[0])
	}
	all := make([]edgeID, len(keys))
	for i, k := range keys {
		for _, e := range []ngql.Expr{k.Src, k.Dst} {
			if !evaluable(e) {
				return nil, graph.Semantic("`%s' is not an evaluable expression.", e)
			}
		}
		var err error
		if all[i].src, err = p.vid(k.Src); err != nil {
			return nil, err
		}
		if all[i].dst, err = p.vid(k.Dst); err != nil {
			return nil, err
		}
		all[i].rank = rankOf(k.Rank)
	}
	return func(*runner, *Table) ([]edgeID, error) { return all, nil }, nil
}

func rankOf(e ngql.Expr) int64 {
	if c, ok := e.(*ngql.Const); ok {
		n, _ := c.Value.(int64) // the parser made it
		return n
	}
	return 0
}

func (p *planner) edgeRefs(k ngql.EdgeKey) (func(*runner, *Table) ([]edgeID, error), error) {
	for _, e := range []ngql.Expr{k.Src, k.Dst, k.Rank} {
		if e == nil {
			continue
		}
		if _, err := eval.TypeOf(e, p.types()); err != nil {
			return nil, err
		}
	}
	want := p.vidType()
	return func(r *runner, in *Table) ([]edgeID, error) {
		from := r.source(in, k.Src)
		if from == nil {
			return nil, nil
		}
		all := make([]edgeID, len(from.Rows))
		for i := range from.Rows {
			sc := r.scope(from, i)
			id := edgeID{src: eval.Eval(k.Src, sc), dst: eval.Eval(k.Dst, sc)}
			for j, v := range []any{id.src, id.dst} {
				if value.Type(v) != want {
					return nil, graph.Failed("Wrong %s type `%s`, value `%s`", []string{"srcId", "dstId"}[j], value.Type(v), value.Text(v))
				}
			}
			if k.Rank != nil {
				v := eval.Eval(k.Rank, sc)
				n, ok := v.(int64)
				if !ok {
					return nil, graph.Failed("Wrong rank type `%s`, value `%s`", value.Type(v), value.Text(v))
				}
				id.rank = n
			}
			all[i] = id
		}
		return all, nil
	}, nil
}
