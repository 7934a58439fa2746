package exec

import (
	"slices"

	"github.com/outflow-db/outflow/internal/nebulaserver/eval"
	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

// outputs are the names and types of columns.
func outputs(cols []ngql.Column, t *eval.Types) (names, types []string, err error) {
	for _, c := range cols {
		if err := undefined(c.Expr); err != nil {
			return nil, nil, err
		}
		typ, err := eval.TypeOf(c.Expr, t)
		if err != nil {
			return nil, nil, err
		}
		names, types = append(names, c.Name()), append(types, typ)
	}
	return names, types, nil
}

// scope is what an expression sees of a row of the input.
func (r *runner) scope(in *Table, row int) *eval.Scope {
	s := &eval.Scope{Params: r.c.Params, Now: r.c.Store.Now()}
	s.Input = func(variable, name string) any {
		t := in
		if variable != "" {
			t = r.vars[variable]
		}
		if t == nil || row >= len(t.Rows) {
			return nil
		}
		if i := slices.Index(t.Names, name); i >= 0 {
			return t.Rows[row][i]
		}
		return nil
	}
	return s
}

// source is the table that expressions refer to: the variable's that is among them, or the input.
func (r *runner) source(in *Table, es ...ngql.Expr) *Table {
	for _, e := range es {
		ngql.Walk(e, func(e ngql.Expr) {
			if i, ok := e.(*ngql.Input); ok && i.Var != "" && r.vars[i.Var] != nil {
				in = r.vars[i.Var]
			}
		})
	}
	return in
}

// aggregates are the aggregates in columns.
func aggregates(cols []ngql.Column) []*ngql.Call {
	var all []*ngql.Call
	for _, c := range cols {
		ngql.Walk(c.Expr, func(e ngql.Expr) {
			if a, ok := e.(*ngql.Call); ok && a.Aggregate {
				all = append(all, a)
			}
		})
	}
	return all
}

// project computes columns for each scope, or for each group of them if there are aggregates or keys. Without
// keys the columns that have no aggregate are the keys.
func project(y ngql.Yield, keys []ngql.Column, names, types []string, scopes []*eval.Scope) *Table {
	t := &Table{Names: names, Types: types}
	aggs := aggregates(y.Columns)
	if len(aggs) == 0 && keys == nil {
		for _, s := range scopes {
			t.Rows = append(t.Rows, cells(y.Columns, s))
		}
	} else {
		if keys == nil {
			for _, c := range y.Columns {
				if len(aggregates([]ngql.Column{c})) == 0 {
					keys = append(keys, c)
				}
			}
		}
		for _, g := range groups(keys, scopes) {
			t.Rows = append(t.Rows, cells(y.Columns, aggregated(aggs, g)))
		}
	}
	if y.Distinct {
		t.Rows = distinct(t.Rows)
	}
	return t
}

func cells(cols []ngql.Column, s *eval.Scope) []any {
	row := make([]any, len(cols))
	for i, c := range cols {
		row[i] = eval.Eval(c.Expr, s)
	}
	return row
}

func rowKey(row []any) string { return value.Key(value.List(row)) }

func distinct(rows [][]any) [][]any {
	seen, out := map[string]bool{}, [][]any{}
	for _, row := range rows {
		if k := rowKey(row); !seen[k] {
			seen[k] = true
			out = append(out, row)
		}
	}
	return out
}

func groups(keys []ngql.Column, scopes []*eval.Scope) [][]*eval.Scope {
	if len(keys) == 0 {
		return [][]*eval.Scope{scopes}
	}
	at, out := map[string]int{}, [][]*eval.Scope{}
	for _, s := range scopes {
		k := rowKey(cells(keys, s))
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], s)
	}
	return out
}

func aggregated(aggs []*ngql.Call, group []*eval.Scope) *eval.Scope {
	s := &eval.Scope{}
	if len(group) > 0 {
		c := *group[0]
		s = &c
	}
	s.Groups = map[*ngql.Call]any{}
	for _, a := range aggs {
		vals := make([]any, len(group))
		for i, g := range group {
			vals[i] = eval.Eval(a.Args[0], g)
		}
		s.Groups[a] = eval.Aggregate(a.Name, a.Distinct, vals)
	}
	return s
}

func (p *planner) yieldStmt(s *ngql.YieldStmt) (*plan, error) {
	t := p.types()
	t.Prop = func(sym, prop string) (string, error) {
		return "", graph.Semantic("Not supported expression `%s.%s' for props deduction.", sym, prop)
	}
	if err := boolean(s.Where, t, "boolean"); err != nil {
		return nil, err
	}
	s.Yield.Columns = p.star(s.Yield.Columns)
	names, types, err := outputs(s.Yield.Columns, t)
	if err != nil {
		return nil, err
	}
	exprs := []ngql.Expr{s.Where}
	for _, c := range s.Yield.Columns {
		exprs = append(exprs, c.Expr)
	}
	refers, err := p.inputs(exprs, "yield")
	if err != nil {
		return nil, err
	}
	run := func(r *runner, in *Table) (*Table, error) {
		n, from := 1, r.source(in, exprs...)
		if from != nil && (refers || in != nil) {
			n = len(from.Rows)
		}
		var scopes []*eval.Scope
		for i := range n {
			sc := r.scope(from, i)
			if s.Where == nil || eval.Eval(s.Where, sc) == true {
				scopes = append(scopes, sc)
			}
		}
		return project(s.Yield, nil, names, types, scopes), nil
	}
	return &plan{names, types, run}, nil
}

// inputs tells whether expressions look at the input or at a variable. They may look at one of them only, and at
// nothing of the graph.
func (p *planner) inputs(exprs []ngql.Expr, what string) (bool, error) {
	vars, foreign := map[string]bool{}, false
	for _, e := range exprs {
		ngql.Walk(e, func(e ngql.Expr) {
			switch e := e.(type) {
			case *ngql.Input:
				vars[e.Var] = true
			case *ngql.EndProp, *ngql.KeyProp:
				foreign = true
			}
		})
	}
	switch {
	case foreign:
		return false, graph.Semantic("Only support input and variable in %s sentence.", what)
	case vars[""] && len(vars) > 1:
		return false, graph.Semantic("Not support both input and variable.")
	case len(vars) > 1:
		return false, graph.Semantic("Only one variable allowed to use.")
	}
	return len(vars) > 0, nil
}

// star replaces $-.* and $var.* by all columns.
func (p *planner) star(cols []ngql.Column) []ngql.Column {
	var all []ngql.Column
	for _, c := range cols {
		in, ok := c.Expr.(*ngql.Input)
		from := p.in
		if ok && in.Var != "" {
			from = p.vars[in.Var]
		}
		if !ok || in.Name != "*" || from == nil {
			all = append(all, c)
			continue
		}
		for _, n := range from.names {
			all = append(all, ngql.Column{Expr: &ngql.Input{Var: in.Var, Name: n}})
		}
	}
	return all
}

// groupable checks that keys are made of the input, and other columns of keys.
func groupable(s *ngql.GroupBy) error {
	keys := map[string]bool{}
	for _, k := range s.Keys {
		_, set := k.Expr.(*ngql.ListOf)
		if set || len(aggregates([]ngql.Column{k})) > 0 || !has(k.Expr, isInput) {
			return graph.Semantic("Group `%s' invalid", k.Expr)
		}
		keys[k.Expr.String()] = true
	}
	for _, c := range s.Yield.Columns {
		of := has(c.Expr, func(e ngql.Expr) bool { return keys[e.String()] })
		if !of && !evaluable(c.Expr) && len(aggregates([]ngql.Column{c})) == 0 {
			return graph.Semantic("Yield non-agg expression `%s' must be functionally dependent on items in GROUP BY clause", c.Expr)
		}
	}
	return nil
}

func isInput(e ngql.Expr) bool {
	_, ok := e.(*ngql.Input)
	return ok
}

func (p *planner) groupBy(s *ngql.GroupBy) (*plan, error) {
	t := p.types()
	if err := groupable(s); err != nil {
		return nil, err
	}
	if _, _, err := outputs(s.Keys, t); err != nil {
		return nil, err
	}
	names, types, err := outputs(s.Yield.Columns, t)
	if err != nil {
		return nil, err
	}
	run := func(r *runner, in *Table) (*Table, error) {
		return project(s.Yield, s.Keys, names, types, r.scopes(in)), nil
	}
	return &plan{names, types, run}, nil
}

func (r *runner) scopes(in *Table) []*eval.Scope {
	if in == nil {
		return nil
	}
	scopes := make([]*eval.Scope, len(in.Rows))
	for i := range in.Rows {
		scopes[i] = r.scope(in, i)
	}
	return scopes
}

func (p *planner) orderBy(s *ngql.OrderBy) (*plan, error) {
	if p.in == nil {
		return &plan{run: func(*runner, *Table) (*Table, error) { return &Table{}, nil }}, nil
	}
	for i, f := range s.Factors {
		if l, ok := f.Expr.(*ngql.Label); ok {
			s.Factors[i].Expr = &ngql.Input{Name: l.Name}
		}
		if _, err := eval.TypeOf(s.Factors[i].Expr, p.types()); err != nil {
			return nil, err
		}
	}
	run := func(r *runner, in *Table) (*Table, error) {
		return &Table{in.Names, in.Types, sorted(in.Rows, r.scopes(in), s.Factors)}, nil
	}
	return &plan{p.in.names, p.in.types, run}, nil
}

// sorted orders rows by factors that are evaluated in the scope of each.
func sorted(rows [][]any, scopes []*eval.Scope, factors []ngql.Factor) [][]any {
	type keyed struct{ row, keys []any }
	all := make([]keyed, len(rows))
	for i, row := range rows {
		all[i].row = row
		for _, f := range factors {
			all[i].keys = append(all[i].keys, eval.Eval(f.Expr, scopes[i]))
		}
	}
	slices.SortStableFunc(all, func(a, b keyed) int {
		for i, f := range factors {
			if d := value.Compare(a.keys[i], b.keys[i]); d != 0 {
				if f.Desc {
					return -d
				}
				return d
			}
		}
		return 0
	})
	out := make([][]any, len(all))
	for i, k := range all {
		out[i] = k.row
	}
	return out
}

func (p *planner) limit(s *ngql.Limit) (*plan, error) {
	pl := &plan{}
	if p.in != nil {
		pl.names, pl.types = p.in.names, p.in.types
	}
	pl.run = func(_ *runner, in *Table) (*Table, error) {
		if in == nil {
			return &Table{}, nil
		}
		return &Table{in.Names, in.Types, window(in.Rows, s.Offset, s.Count)}, nil
	}
	return pl, nil
}

// window cuts rows; a negative count means all.
func window(rows [][]any, offset, count int64) [][]any {
	n := int64(len(rows))
	offset = min(offset, n)
	if count < 0 || count > n-offset {
		count = n - offset
	}
	return rows[offset : offset+count]
}

func (p *planner) unwind(s *ngql.Unwind) (*plan, error) {
	if _, err := eval.TypeOf(s.Expr, p.types()); err != nil {
		return nil, err
	}
	names := []string{s.Alias}
	run := func(r *runner, in *Table) (*Table, error) {
		t := &Table{Names: names, Types: []string{eval.Any}}
		scopes := r.scopes(r.source(in, s.Expr))
		if scopes == nil {
			scopes = []*eval.Scope{r.scope(nil, 0)}
		}
		for _, sc := range scopes {
			switch v := eval.Eval(s.Expr, sc).(type) {
			case value.List:
				for _, x := range v {
					t.Rows = append(t.Rows, []any{x})
				}
			case nil, value.Null:
			default:
				t.Rows = append(t.Rows, []any{v})
			}
		}
		return t, nil
	}
	return &plan{names, []string{eval.Any}, run}, nil
}

func (p *planner) setOp(s *ngql.SetOp) (*plan, error) {
	left, err := p.plan(s.Left)
	if err != nil {
		return nil, err
	}
	right, err := p.plan(s.Right)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(left.names, right.names) {
		return nil, graph.Semantic("different column names to UNION/INTERSECT/MINUS are not supported")
	}
	run := func(r *runner, in *Table) (*Table, error) {
		l, err := left.run(r, in)
		if err != nil {
			return nil, err
		}
		rt, err := right.run(r, in)
		if err != nil {
			return nil, err
		}
		return &Table{left.names, left.types, combine(s.Op, l.Rows, rt.Rows)}, nil
	}
	return &plan{left.names, left.types, run}, nil
}

func combine(op string, l, r [][]any) [][]any {
	switch op {
	case "UNION ALL":
		return append(slices.Clone(l), r...)
	case "UNION":
		return distinct(append(slices.Clone(l), r...))
	}
	has := map[string]bool{}
	for _, row := range r {
		has[rowKey(row)] = true
	}
	var out [][]any
	for _, row := range l {
		if has[rowKey(row)] == (op == "INTERSECT") {
			out = append(out, row)
		}
	}
	return out
}
