package eval

import (
	"maps"
	"strings"
	"time"

	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

// Scope tells what the names in an expression stand for. Functions that are nil know nothing: what they are asked
// for is EMPTY.
type Scope struct {
	Params value.Map
	Locals value.Map                       // aliases and variables of comprehensions, which go before labels
	Input  func(variable, name string) any // $-.name has no variable
	Label  func(name string) any
	Prop   func(sym, prop string) any // sym.prop, of a tag or an edge
	End    func(end, tag, prop string) any
	Key    func(edge, prop string) any // edge._dst and its kin
	Entity func(name string) any       // VERTEX, EDGE, $^, $$
	Groups map[*ngql.Call]any          // aggregates
	Now    time.Time
}

// with is the scope with another local.
func (s *Scope) with(locals value.Map) *Scope {
	c := *s
	c.Locals = make(value.Map, len(s.Locals)+len(locals))
	maps.Copy(c.Locals, s.Locals)
	maps.Copy(c.Locals, locals)
	return &c
}

// Eval is the value of an expression.
func Eval(e ngql.Expr, s *Scope) any {
	switch e := e.(type) {
	case *ngql.Const:
		return e.Value
	case *ngql.Unary:
		return unary(e.Op, Eval(e.X, s))
	case *ngql.Binary:
		return s.binary(e)
	case *ngql.Cast:
		return Cast(e.Type, Eval(e.X, s))
	case *ngql.Call:
		return s.call(e)
	case *ngql.ListOf:
		if all := s.all(e.Items); e.Set {
			return value.Set(value.Distinct(all))
		} else {
			return value.List(all)
		}
	case *ngql.MapOf:
		m := make(value.Map, len(e.Keys))
		for i, k := range e.Keys {
			m[k] = Eval(e.Values[i], s)
		}
		return m
	case *ngql.Subscript:
		return s.subscript(e)
	case *ngql.Case:
		return s.choose(e)
	case *ngql.Iterate:
		return s.iterate(e)
	}
	return s.named(e)
}

// named asks the statement.
func (s *Scope) named(e ngql.Expr) any {
	switch e := e.(type) {
	case *ngql.Param:
		return s.Params[e.Name]
	case *ngql.Label:
		if v, ok := s.Locals[e.Name]; ok {
			return v
		}
		if s.Label != nil {
			return s.Label(e.Name)
		}
	case *ngql.Attr:
		return s.attribute(e)
	case *ngql.Input:
		if s.Input != nil {
			return s.Input(e.Var, e.Name)
		}
	case *ngql.EndProp:
		if s.End != nil {
			return s.End(e.End, e.Tag, e.Prop)
		}
	case *ngql.KeyProp:
		if s.Key != nil {
			return s.Key(e.Edge, e.Prop)
		}
	case *ngql.Entity:
		if s.Entity != nil {
			return s.Entity(e.Name)
		}
	}
	return nil
}

func (s *Scope) all(es []ngql.Expr) []any {
	out := make([]any, len(es))
	for i, e := range es {
		out[i] = Eval(e, s)
	}
	return out
}

func (s *Scope) attribute(e *ngql.Attr) any {
	if l, ok := e.X.(*ngql.Label); ok {
		if _, bound := s.Locals[l.Name]; !bound && s.Prop != nil {
			return s.Prop(l.Name, e.Name)
		}
	}
	return attributeOf(Eval(e.X, s), e.Name)
}

func attributeOf(x any, name string) any {
	switch x := x.(type) {
	case nil, value.Null:
		return x
	case value.Map:
		if v, ok := x[name]; ok {
			return v
		}
		return value.NoProp
	case *value.Vertex:
		if t, ok := x.Tag(name); ok {
			return t.Props
		}
		if v, ok := x.Prop(name); ok {
			return v
		}
		return value.NULL
	case *value.Edge:
		if v, ok := x.Props[name]; ok {
			return v
		}
		return value.NoProp
	}
	if v, ok := timePart(x, name); ok {
		return v
	}
	return value.BadType
}

func (s *Scope) subscript(e *ngql.Subscript) any {
	x := Eval(e.X, s)
	if value.IsNull(x) {
		return value.NULL
	}
	if e.Range {
		return s.slice(x, e)
	}
	i := Eval(e.I, s)
	if value.IsNull(i) {
		return value.NULL
	}
	switch x := x.(type) {
	case value.List:
		n, ok := i.(int64)
		if !ok {
			return value.BadType
		}
		if n < 0 {
			n += int64(len(x))
		}
		if n < 0 || n >= int64(len(x)) {
			return value.OutOfRange
		}
		return x[n]
	case value.Map, *value.Vertex, *value.Edge:
		if k, ok := i.(string); ok {
			return attributeOf(x, k)
		}
	}
	return value.BadType
}

func (s *Scope) slice(x any, e *ngql.Subscript) any {
	l, ok := x.(value.List)
	if !ok {
		return value.BadType
	}
	at := func(e ngql.Expr, otherwise int64) (int64, any) {
		if e == nil {
			return otherwise, nil
		}
		v := Eval(e, s)
		n, ok := v.(int64)
		if !ok {
			return 0, value.NULL
		}
		if n < 0 {
			n += int64(len(l))
		}
		return min(max(n, 0), int64(len(l))), nil
	}
	from, bad := at(e.I, 0)
	to, bad2 := at(e.To, int64(len(l)))
	if bad != nil || bad2 != nil {
		return value.NULL
	}
	if from >= to {
		return value.List{}
	}
	return l[from:to]
}

func (s *Scope) choose(e *ngql.Case) any {
	var of any
	if e.Of != nil {
		of = Eval(e.Of, s)
	}
	for i, w := range e.When {
		v := Eval(w, s)
		if e.Of != nil && value.Equal(of, v) || e.Of == nil && v == true {
			return Eval(e.Then[i], s)
		}
	}
	if e.Else == nil {
		return value.NULL
	}
	return Eval(e.Else, s)
}

func (s *Scope) iterate(e *ngql.Iterate) any {
	in := Eval(e.In, s)
	if e.Name == "exists" {
		return in != nil && !value.IsNull(in)
	}
	l, ok := in.(value.List)
	if set, isSet := in.(value.Set); isSet {
		l, ok = value.List(set), true
	}
	if !ok {
		if value.IsNull(in) || in == nil {
			return value.NULL
		}
		return value.BadType
	}
	switch e.Name {
	case "reduce":
		acc := Eval(e.Init, s)
		for _, v := range l {
			acc = Eval(e.Out, s.with(value.Map{e.Var: v, e.Acc: acc}))
		}
		return acc
	case "[]":
		out := value.List{}
		for _, v := range l {
			inner := s.with(value.Map{e.Var: v})
			if e.Where != nil && Eval(e.Where, inner) != true {
				continue
			}
			if e.Out != nil {
				v = Eval(e.Out, inner)
			}
			out = append(out, v)
		}
		return out
	}
	return s.quantify(e, l)
}

func (s *Scope) quantify(e *ngql.Iterate, l value.List) any {
	hits := 0
	for _, v := range l {
		if Eval(e.Where, s.with(value.Map{e.Var: v})) == true {
			hits++
		}
	}
	switch strings.ToLower(e.Name) {
	case "all":
		return hits == len(l)
	case "any":
		return hits > 0
	case "single":
		return hits == 1
	}
	return hits == 0
}
