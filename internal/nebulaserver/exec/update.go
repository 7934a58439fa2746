package exec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/outflow-db/outflow/internal/nebulaserver/eval"
	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

// change is an UPDATE or UPSERT that was checked. Properties in its expressions are $^.tag.prop or edge.prop.
type change struct {
	*ngql.Update
	sc   *graph.Schema
	vid  any
	edge edgeID
}

func (p *planner) update(s *ngql.Update) (*plan, error) {
	ch := &change{Update: s}
	if !s.Edge {
		var err error
		if ch.vid, err = p.vid(s.ID); err != nil {
			return nil, err
		}
	}
	names, types, err := p.changes(ch)
	if err != nil {
		return nil, err
	}
	if s.Edge {
		for _, e := range []struct {
			to   *any
			from ngql.Expr
		}{{&ch.edge.src, s.Key.Src}, {&ch.edge.dst, s.Key.Dst}} {
			if *e.to, err = p.vid(e.from); err != nil {
				return nil, err
			}
		}
		ch.edge.rank = rankOf(s.Key.Rank)
	}
	run := func(r *runner, _ *Table) (*Table, error) {
		row, err := ch.apply(r)
		if err != nil || s.Yield == nil {
			return nil, err
		}
		for _, c := range s.Yield.Columns {
			if has(c.Expr, ch.unknown) {
				return nil, graph.Storage("Invalid Update col or yield col.")
			}
		}
		return &Table{names, types, [][]any{cells(s.Yield.Columns, ch.scope(r, row))}}, nil
	}
	return &plan{names, types, run}, nil
}

// changes checks SET, WHEN and YIELD in graphd's order, and rewrites their names.
func (p *planner) changes(ch *change) (names, types []string, err error) {
	s := ch.Update
	var syms []string
	for i, it := range s.Items {
		sym := s.Name
		if it.Sym != "" {
			sym = it.Sym
		}
		if !slices.Contains(syms, sym) {
			syms = append(syms, sym)
		}
		if s.Items[i].Value, err = p.symbolic(it.Value, sym, s.Edge); err != nil {
			return nil, nil, err
		}
	}
	if len(syms) != 1 {
		slices.Reverse(syms)
		return nil, nil, graph.Semantic("Multi schema name: %s", strings.Join(syms, ","))
	}
	s.Name = syms[0]
	t := p.changeTypes(s.Edge)
	if s.When != nil {
		if s.When, err = p.symbolic(s.When, s.Name, s.Edge); err != nil {
			return nil, nil, err
		}
	}
	if ch.sc = p.space.Schema(s.Edge, s.Name); ch.sc == nil {
		return nil, nil, graph.Semantic("No schema found for `%s'", s.Name)
	}
	if err := boolean(s.When, t, "Boolean"); err != nil {
		return nil, nil, err
	}
	if s.Yield == nil {
		return nil, nil, nil
	}
	cols := make([]ngql.Column, len(s.Yield.Columns))
	for i, c := range s.Yield.Columns {
		names, types = append(names, c.Name()), append(types, eval.Any)
		if cols[i].Expr, err = p.symbolic(c.Expr, s.Name, s.Edge); err != nil {
			return nil, nil, err
		}
	}
	s.Yield = &ngql.Yield{Columns: cols}
	return names, types, nil
}

func (p *planner) changeTypes(edge bool) *eval.Types {
	t := p.propTypes(edge)
	if !edge {
		t.Prop = nil
	}
	return t
}

// symbolic writes bare names out, and refuses what UPDATE cannot look at.
func (p *planner) symbolic(e ngql.Expr, sym string, edge bool) (ngql.Expr, error) {
	wrong := has(e, func(e ngql.Expr) bool {
		switch e := e.(type) {
		case *ngql.Variable, *ngql.Input, *ngql.KeyProp, *ngql.Entity:
			return true
		case *ngql.EndProp:
			return edge || e.End == "$$"
		case *ngql.Attr:
			_, label := e.X.(*ngql.Label)
			return label && !edge
		}
		return false
	})
	if wrong {
		return nil, graph.Semantic("Has wrong expr in `%s'", e)
	}
	return ngql.Rewrite(e, func(e ngql.Expr) ngql.Expr {
		switch e := e.(type) {
		case *ngql.Label:
			if edge {
				return &ngql.Attr{X: &ngql.Label{Name: sym}, Name: e.Name}
			}
			return &ngql.EndProp{End: "$^", Tag: sym, Prop: e.Name}
		case *ngql.Attr:
			if _, label := e.X.(*ngql.Label); label {
				return e
			}
		}
		return nil
	}), nil
}

// scope sees the row as it is while the items are worked on.
func (ch *change) scope(r *runner, row value.Map) *eval.Scope {
	return &eval.Scope{
		Params: r.c.Params, Now: r.c.Store.Now(),
		Prop: func(_, prop string) any { return row[prop] },
		End:  func(_, _, prop string) any { return row[prop] },
	}
}

// apply changes the row and returns it as it is then; a row that WHEN keeps from change comes back as it was.
func (ch *change) apply(r *runner) (value.Map, error) {
	space, err := r.space()
	if err != nil {
		return nil, err
	}
	if err := ch.fits(space); err != nil {
		return nil, err
	}
	release, ok := space.Hold(fmt.Sprint(ch.sc.ID, value.Key(ch.vid), value.Key(ch.edge.src), ch.edge.rank, value.Key(ch.edge.dst)))
	if !ok {
		return nil, graph.ErrConflict
	}
	defer release()
	row, found := ch.read(space)
	switch {
	case !found && !ch.Insertable:
		return nil, graph.ErrNoKey
	case !found:
		if row, err = ch.fresh(); err != nil {
			return nil, err
		}
	case ch.When != nil && eval.Eval(ch.When, ch.scope(r, row)) != true:
		return row, nil
	}
	if err := ch.set(r, row); err != nil {
		return nil, err
	}
	vals := make([]any, len(ch.sc.Columns))
	for i := range ch.sc.Columns {
		vals[i] = row[ch.sc.Columns[i].Name]
	}
	return row, space.Apply(ch.writes(space, graph.NewRow(ch.sc, vals)))
}

func (ch *change) fits(space *graph.Space) error {
	if ch.Edge {
		return fits(space, ch.edge.src, ch.edge.dst)
	}
	return fits(space, ch.vid)
}

func (ch *change) read(space *graph.Space) (value.Map, bool) {
	if ch.Edge {
		return space.EdgeProps(ch.edge.src, ch.edge.dst, ch.edge.rank, ch.sc)
	}
	return space.TagProps(ch.vid, ch.sc)
}

func (ch *change) writes(space *graph.Space, row *graph.Row) []graph.Write {
	if !ch.Edge {
		return []graph.Write{{Part: space.Part(ch.vid), Do: space.PutTag(ch.vid, row, false, false)}}
	}
	k := ch.edge
	return []graph.Write{
		{Part: space.Part(k.src), Do: space.PutOut(k.src, k.dst, k.rank, row, false, false)},
		{Part: space.Part(k.dst), Do: space.PutIn(k.src, k.dst, k.rank, row, false)},
	}
}

// fresh is the row that UPSERT begins with where there is none: defaults and NULLs. What can be neither must be
// set, and not be looked at.
func (ch *change) fresh() (value.Map, error) {
	row := value.Map{}
	for i := range ch.sc.Columns {
		c := &ch.sc.Columns[i]
		v, ok := c.Missing()
		if !ok && !ch.sets(c.Name) {
			return nil, graph.ErrBadField
		}
		row[c.Name] = v
	}
	return row, nil
}

// sets tells whether SET gives the property before any item looks at it.
func (ch *change) sets(prop string) bool {
	for _, it := range ch.Items {
		if has(it.Value, func(e ngql.Expr) bool {
			switch e := e.(type) {
			case *ngql.EndProp:
				return e.Prop == prop
			case *ngql.Attr:
				return e.Name == prop
			}
			return false
		}) {
			return false
		}
		if it.Prop == prop {
			return true
		}
	}
	return false
}

// unknown tells a property that the schema does not have.
func (ch *change) unknown(e ngql.Expr) bool {
	switch e := e.(type) {
	case *ngql.EndProp:
		return ch.sc.Index(e.Prop) < 0
	case *ngql.Attr:
		_, label := e.X.(*ngql.Label)
		return label && ch.sc.Index(e.Name) < 0
	}
	return false
}

// set works on the items from first to last; each sees what those before have made.
func (ch *change) set(r *runner, row value.Map) error {
	for _, it := range ch.Items {
		i := ch.sc.Index(it.Prop)
		if i < 0 || has(it.Value, ch.unknown) {
			if ch.Edge {
				return graph.Storage("Edge prop not found.")
			}
			return graph.Storage("Tag prop not found.")
		}
		v := eval.Eval(it.Value, ch.scope(r, row))
		if value.IsBad(v) || v == nil {
			return graph.ErrBadData
		}
		kept, err := stored(v, &ch.sc.Columns[i])
		if err != nil {
			if err == graph.ErrType { //nolint:errorlint // never wrapped
				err = graph.ErrBadData
			}
			return err
		}
		row[it.Prop] = kept
	}
	return nil
}
