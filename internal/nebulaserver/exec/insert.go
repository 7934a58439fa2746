package exec

import (
	"slices"

	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

// target is a tag or an edge type that rows are inserted into: at has the position among the given values of
// each column, -1 where a row does not give it.
type target struct {
	sc    *graph.Schema
	at    []int
	given int
}

func (p *planner) target(edge bool, t ngql.TagProps) (target, error) {
	sc := p.space.Schema(edge, t.Name)
	switch {
	case sc == nil && edge:
		return target{}, graph.Failed("EdgeNotFound: EdgeName `%s`", t.Name)
	case sc == nil:
		return target{}, graph.Semantic("No schema found for `%s'", t.Name)
	}
	names := t.Props
	if names == nil {
		names = sc.Names()
	}
	for _, n := range names {
		if sc.Index(n) < 0 {
			return target{}, graph.Semantic("Unknown column `%s' in schema", n)
		}
	}
	at := make([]int, len(sc.Columns))
	for i := range sc.Columns {
		at[i] = slices.Index(names, sc.Columns[i].Name)
	}
	return target{sc, at, len(names)}, nil
}

// row makes a row of given values; the error is that of storaged.
func (t *target) row(given []any) (*graph.Row, error) {
	vals := make([]any, len(t.at))
	for i, from := range t.at {
		c := &t.sc.Columns[i]
		if from < 0 {
			v, ok := c.Missing()
			if !ok {
				return nil, graph.Storage("The not null field doesn't have a default value.")
			}
			vals[i] = v
			continue
		}
		v, err := stored(given[from], c)
		if err != nil {
			return nil, err
		}
		vals[i] = v
	}
	return graph.NewRow(t.sc, vals), nil
}

// given evaluates the values of a row.
func (p *planner) given(es []ngql.Expr, want int) ([]any, error) {
	if len(es) != want {
		return nil, graph.Semantic("Column count doesn't match value count.")
	}
	vals := make([]any, len(es))
	for i, e := range es {
		if c, ok := e.(*ngql.Const); ok {
			vals[i] = c.Value
			continue
		}
		if !evaluable(e) {
			return nil, graph.Semantic("Insert wrong value: `%s'.", e)
		}
		if vals[i] = p.constant(e); value.IsBad(vals[i]) || vals[i] == nil {
			return nil, graph.Failed("Wrong value type: %s", e)
		}
	}
	return vals, nil
}

type newVertex struct {
	id   any
	vals []any
}

func (p *planner) insertVertex(s *ngql.InsertVertex) (*plan, error) {
	if len(s.Tags) == 0 {
		return nil, graph.Semantic("Insert vertex is forbidden, please specify the tag")
	}
	targets, want := make([]target, len(s.Tags)), 0
	for i, t := range s.Tags {
		var err error
		if targets[i], err = p.target(false, t); err != nil {
			return nil, err
		}
		want += targets[i].given
	}
	rows := make([]newVertex, len(s.Rows))
	for i, row := range s.Rows {
		vals, err := p.given(row.Values, want)
		if err != nil {
			return nil, err
		}
		if !evaluable(row.ID) {
			return nil, graph.Semantic("Wrong vid expression `%s'", row.ID)
		}
		id, err := p.vid(row.ID)
		if err != nil {
			return nil, err
		}
		rows[i] = newVertex{id, vals}
	}
	return &plan{run: func(r *runner, _ *Table) (*Table, error) {
		space, err := r.space()
		if err != nil {
			return nil, err
		}
		return nil, space.Apply(vertexWrites(space, targets, rows, s))
	}}, nil
}

func vertexWrites(space *graph.Space, targets []target, rows []newVertex, s *ngql.InsertVertex) []graph.Write {
	writes := make([]graph.Write, 0, len(rows)*len(targets))
	for _, row := range rows {
		w := graph.Write{Part: space.Part(row.id), Refused: fits(space, row.id)}
		vals := row.vals
		for i := range targets {
			t := &targets[i]
			made, err := t.row(vals[:t.given])
			vals = vals[t.given:]
			if w.Refused == nil {
				w.Refused = err
			}
			if made != nil {
				w.Do = space.PutTag(row.id, made, s.IfNotExists, s.IgnoreIndex)
			}
			writes = append(writes, w)
		}
	}
	return writes
}

type newEdge struct {
	edgeID
	vals []any
}

func (p *planner) insertEdge(s *ngql.InsertEdge) (*plan, error) {
	t, err := p.target(true, s.Edge)
	if err != nil {
		return nil, err
	}
	rows := make([]newEdge, len(s.Rows))
	for i, row := range s.Rows {
		vals, err := p.given(row.Values, t.given)
		if err != nil {
			return nil, err
		}
		if rows[i], err = p.newEdge(row.Key, vals); err != nil {
			return nil, err
		}
		if err := t.complete(vals); err != nil {
			return nil, err
		}
	}
	return &plan{run: func(r *runner, _ *Table) (*Table, error) {
		space, err := r.space()
		if err != nil {
			return nil, err
		}
		return nil, space.Apply(edgeWrites(space, t, rows, s))
	}}, nil
}

func (p *planner) newEdge(k ngql.EdgeKey, vals []any) (newEdge, error) {
	for i, e := range []ngql.Expr{k.Src, k.Dst} {
		if !evaluable(e) {
			return newEdge{}, graph.Semantic("Wrong %s vid expression `%s'", []string{"src", "dst"}[i], e)
		}
	}
	src, err := p.vid(k.Src)
	if err != nil {
		return newEdge{}, err
	}
	dst, err := p.vid(k.Dst)
	return newEdge{edgeID{src, dst, rankOf(k.Rank)}, vals}, err
}

// complete refuses what graphd itself refuses of an edge, before storaged can.
func (t *target) complete(vals []any) error {
	for i, from := range t.at {
		c := &t.sc.Columns[i]
		if !c.NotNull {
			continue
		}
		if from < 0 && c.Fill == nil {
			return graph.Semantic("The property `%s' is not nullable and has no default value.", c.Name)
		}
		if from >= 0 && value.IsNull(vals[from]) {
			return graph.Semantic("The non-nullable property `%s' could not be NULL.", c.Name)
		}
	}
	return nil
}

func edgeWrites(space *graph.Space, t target, rows []newEdge, s *ngql.InsertEdge) []graph.Write {
	writes := make([]graph.Write, 0, 2*len(rows))
	for _, row := range rows {
		refused := fits(space, row.src, row.dst)
		made, err := t.row(row.vals)
		if refused == nil {
			refused = err
		}
		if refused != nil {
			writes = append(writes, graph.Write{Part: space.Part(row.src), Refused: refused},
				graph.Write{Part: space.Part(row.dst), Refused: refused})
			continue
		}
		writes = append(writes,
			graph.Write{Part: space.Part(row.src), Do: space.PutOut(row.src, row.dst, row.rank, made, s.IfNotExists, s.IgnoreIndex)},
			graph.Write{Part: space.Part(row.dst), Do: space.PutIn(row.src, row.dst, row.rank, made, s.IfNotExists)})
	}
	return writes
}
