package exec

import (
	"strings"

	"github.com/outflow-db/outflow/internal/nebulaserver/eval"
	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

// pure tells whether an expression has the same value whenever it is evaluated.
func pure(e ngql.Expr) bool {
	return !has(e, func(e ngql.Expr) bool {
		c, ok := e.(*ngql.Call)
		if !ok {
			return false
		}
		name := strings.ToLower(c.Name)
		return name == "now" || strings.HasPrefix(name, "rand") ||
			len(c.Args) == 0 && (name == "timestamp" || name == "date" || name == "time" || name == "datetime")
	})
}

// columns checks the definitions of columns as graphd does, and folds their defaults.
func (p *planner) columns(defs []ngql.ColumnDef, alter bool) error {
	for i := range defs {
		d := &defs[i]
		if d.Default != nil {
			if !evaluable(d.Default) {
				return graph.Semantic("Wrong default value expression `%s'", d.Default)
			}
			if err := p.fold(d); err != nil {
				return err
			}
		}
		if alter && d.NotNull && d.Default == nil {
			return graph.Semantic("Column `%s' must have a default value if it's not nullable", d.Name)
		}
	}
	return nil
}

func (p *planner) fold(d *ngql.ColumnDef) error {
	v := p.constant(d.Default)
	switch {
	case v == value.DivByZero:
		return graph.Semantic("Divide by 0")
	case value.IsBad(v):
		return graph.Semantic("Type error `%s'", d.Default)
	case pure(d.Default):
		d.Default = &ngql.Const{Value: v}
	}
	return nil
}

func duplicate(seen map[string]bool, name string) error {
	if seen[name] {
		return graph.Semantic("Duplicate column name `%s'", name)
	}
	seen[name] = true
	return nil
}

// column is a definition as metad keeps it, or why metad refuses it.
func column(st *graph.Store, d ngql.ColumnDef) (graph.Column, error) {
	c := graph.Column{ColumnDef: d}
	if d.Default == nil {
		return c, nil
	}
	scope := func() *eval.Scope { return &eval.Scope{Now: st.Now()} }
	v := eval.Eval(d.Default, scope())
	if !defaultFits(v, d) {
		return c, graph.ErrBadParam
	}
	if s, ok := v.(string); ok && d.Type.Name == "fixed_string" {
		c.Default = &ngql.Const{Value: fixed(s, d.Type.Len)}
	}
	expr := c.Default
	c.Fill = func() any {
		v := eval.Eval(expr, scope())
		if kept, err := stored(v, &graph.Column{ColumnDef: ngql.ColumnDef{Type: d.Type}}); err == nil {
			return kept
		}
		return v
	}
	return c, nil
}

// defaultFits is stricter than storaged: a default has the type of its column.
func defaultFits(v any, d ngql.ColumnDef) bool {
	if value.IsNull(v) {
		return !d.NotNull
	}
	if value.Type(v) != d.Type.Value() {
		return false
	}
	_, err := stored(v, &graph.Column{ColumnDef: ngql.ColumnDef{Type: d.Type}})
	return err == nil
}

func (p *planner) createSchema(s *ngql.CreateSchema) (*plan, error) {
	if p.made[s.Name] {
		return nil, graph.Semantic("Has the same name `%s' in the SequentialSentences", s.Name)
	}
	seen := map[string]bool{}
	for _, d := range s.Columns {
		if err := duplicate(seen, d.Name); err != nil {
			return nil, err
		}
	}
	if err := p.columns(s.Columns, false); err != nil {
		return nil, err
	}
	sc := graph.Schema{Name: s.Name, Edge: s.Edge, Comment: s.Options.Comment}
	for _, d := range s.Columns {
		sc.Columns = append(sc.Columns, graph.Column{ColumnDef: d})
	}
	if err := ttl(&sc, s.Options); err != nil {
		return nil, err
	}
	p.made[s.Name] = true
	return once(func(r *runner) error {
		space, err := r.space()
		if err != nil {
			return err
		}
		for i, d := range s.Columns {
			if sc.Columns[i], err = column(r.c.Store, d); err != nil {
				return err
			}
		}
		return space.Create(sc, s.IfNotExists)
	}), nil
}

// ttl sets the time to live.
func ttl(sc *graph.Schema, o ngql.SchemaOptions) error {
	if o.TTLDuration != nil {
		sc.TTLDuration = *o.TTLDuration
	}
	if o.TTLCol != nil {
		sc.TTLCol = *o.TTLCol
	}
	if sc.TTLCol == "" {
		if sc.TTLDuration != 0 {
			return graph.Failed("Implicit ttl_col not support")
		}
		return nil
	}
	i := sc.Index(sc.TTLCol)
	if i < 0 {
		return graph.Failed("Ttl column name not exist in columns")
	}
	if t := sc.Columns[i].Type.Name; t != "int64" && t != "timestamp" {
		return graph.Failed("Ttl column type illegal")
	}
	return nil
}

func (p *planner) alterSchema(s *ngql.AlterSchema) (*plan, error) {
	seen := map[string]bool{}
	for _, it := range s.Items {
		for _, d := range it.Columns {
			if err := duplicate(seen, d.Name); err != nil {
				return nil, err
			}
		}
		if err := p.columns(it.Columns, it.Op != "DROP"); err != nil {
			return nil, err
		}
	}
	return once(func(r *runner) error {
		space, err := r.space()
		if err != nil {
			return err
		}
		return space.Alter(s.Edge, s.Name, func(sc *graph.Schema) error {
			return alter(r.c.Store, sc, s, space.IndexedLocked(s.Edge, s.Name))
		})
	}), nil
}

func alter(st *graph.Store, sc *graph.Schema, s *ngql.AlterSchema, indexed map[string]bool) error {
	for _, it := range s.Items {
		for _, d := range it.Columns {
			if err := alterColumn(st, sc, it.Op, d, indexed); err != nil {
				return err
			}
		}
	}
	if s.Options.Comment != nil {
		sc.Comment = s.Options.Comment
	}
	return alterTTL(sc, s.Options, len(indexed) > 0)
}

// alterTTL is metad's way to set the time to live, which has other words than graphd's.
func alterTTL(sc *graph.Schema, o ngql.SchemaOptions, indexed bool) error {
	if o.TTLCol != nil && *o.TTLCol != "" && o.TTLDuration != nil && *o.TTLDuration > 0 && indexed {
		return graph.ErrUnsupport
	}
	if o.TTLDuration != nil {
		sc.TTLDuration = *o.TTLDuration
	}
	if o.TTLCol != nil {
		if sc.TTLCol = *o.TTLCol; sc.TTLCol == "" {
			sc.TTLDuration = 0
			return nil
		}
		i := sc.Index(sc.TTLCol)
		switch {
		case i < 0 && sc.Edge:
			return graph.ErrNoEdgeProp
		case i < 0:
			return graph.ErrNoTagProp
		case sc.Columns[i].Type.Name != "int64" && sc.Columns[i].Type.Name != "timestamp":
			return graph.ErrUnsupport
		}
	}
	if sc.TTLDuration != 0 && sc.TTLCol == "" {
		return graph.ErrUnsupport
	}
	return nil
}

func alterColumn(st *graph.Store, sc *graph.Schema, op string, d ngql.ColumnDef, indexed map[string]bool) error {
	i := sc.Index(d.Name)
	switch {
	case op == "ADD" && i >= 0:
		return graph.ErrExisted
	case op == "ADD" && sc.Gone[d.Name]:
		return graph.ErrHistory
	case op != "ADD" && i < 0 && sc.Edge:
		return graph.ErrNoEdgeProp
	case op != "ADD" && i < 0:
		return graph.ErrNoTagProp
	case op != "ADD" && indexed[d.Name]:
		return graph.ErrHasIndex
	case op == "CHANGE" && sc.TTLCol == d.Name:
		return graph.ErrUnsupport
	case op == "DROP":
		if sc.TTLCol == d.Name {
			sc.TTLCol, sc.TTLDuration = "", 0
		}
		sc.Columns = append(sc.Columns[:i:i], sc.Columns[i+1:]...)
		sc.Gone[d.Name] = true
		return nil
	}
	c, err := column(st, d)
	if err != nil {
		return err
	}
	if op == "ADD" {
		sc.Columns = append(sc.Columns, c)
	} else {
		sc.Columns[i] = c
	}
	return nil
}
