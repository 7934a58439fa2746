package eval

import (
	"slices"
	"strings"

	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

// Any is the type of what is not known before there are values.
const Any = ""

// Types tells the types of what the names in an expression stand for, as Scope does with values. A name that does
// not exist is an error.
type Types struct {
	Params value.Map
	Input  func(variable, name string) (string, error)
	Label  func(name string) (string, error)
	Prop   func(sym, prop string) (string, error)
	End    func(end, tag, prop string) (string, error)
	Vid    string // type of ids
	bound  map[string]bool
}

// samples stand for all values of a type: what goes wrong with them goes wrong with all.
var samples = map[string]any{
	"BOOL": true, "INT": int64(1), "FLOAT": 1.0, "STRING": "1", "LIST": value.List{}, "SET": value.Set{}, "MAP": value.Map{},
	"DATE": nebula.Date{Year: 2000, Month: 1, Day: 1}, "TIME": nebula.Time{}, "NULL": value.NULL, "VERTEX": &value.Vertex{},
	"DATETIME": nebula.DateTime{Year: 2000, Month: 1, Day: 1}, "DURATION": nebula.Duration{}, "EDGE": &value.Edge{},
	"GEOGRAPHY": value.Geography{},
}

// TypeOf is the type of an expression.
func TypeOf(e ngql.Expr, t *Types) (string, error) {
	switch e := e.(type) {
	case *ngql.Const:
		return typeName(e.Value), nil
	case *ngql.Param:
		return typeName(t.Params[e.Name]), nil
	case *ngql.Label, *ngql.Attr, *ngql.Input, *ngql.EndProp:
		return t.named(e)
	case *ngql.KeyProp:
		if e.Prop == "_src" || e.Prop == "_dst" {
			return t.Vid, nil
		}
		return "INT", nil
	case *ngql.Entity:
		if strings.HasPrefix(e.Name, "EDGE") {
			return "EDGE", nil
		}
		return "VERTEX", nil
	case *ngql.Iterate:
		return t.iterate(e)
	}
	if c, ok := e.(*ngql.Call); ok && slices.Contains(foreign, strings.ToLower(c.Name)) {
		return "", graph.Failed("not interpreted by this server: %s()", c.Name)
	}
	inner := make([]string, 0, 2)
	for _, c := range ngql.Children(e) {
		it, err := TypeOf(c, t)
		if err != nil {
			return "", err
		}
		inner = append(inner, it)
	}
	return t.compound(e, inner)
}

// foreign are functions that graphd knows and this package does not compute.
var foreign = []string{"extract", "json_extract", "st_isvalid", "st_distance"}

func typeName(v any) string {
	if v == nil {
		return Any
	}
	return value.Type(v)
}

func (t *Types) named(e ngql.Expr) (string, error) {
	switch e := e.(type) {
	case *ngql.Label:
		if t.Label != nil && !t.bound[e.Name] {
			return t.Label(e.Name)
		}
	case *ngql.Input:
		if t.Input != nil {
			return t.Input(e.Var, e.Name)
		}
	case *ngql.EndProp:
		if t.End != nil {
			return t.End(e.End, e.Tag, e.Prop)
		}
	case *ngql.Attr:
		l, ok := e.X.(*ngql.Label)
		if ok && t.Prop != nil && !t.bound[l.Name] {
			return t.Prop(l.Name, e.Name)
		}
		if !ok {
			_, err := TypeOf(e.X, t)
			return Any, err
		}
	}
	return Any, nil
}

// iterate binds the variables before it looks inside.
func (t *Types) iterate(e *ngql.Iterate) (string, error) {
	c := *t
	c.bound = map[string]bool{e.Var: true, e.Acc: true}
	for k := range t.bound {
		c.bound[k] = true
	}
	for _, inner := range ngql.Children(e) {
		if _, err := TypeOf(inner, &c); err != nil {
			return "", err
		}
	}
	switch e.Name {
	case "[]":
		return "LIST", nil
	case "reduce":
		return Any, nil
	}
	return "BOOL", nil
}

func (t *Types) compound(e ngql.Expr, inner []string) (string, error) {
	switch e := e.(type) {
	case *ngql.Unary:
		if strings.HasPrefix(e.Op, "IS") {
			return "BOOL", nil
		}
		return sampled(e, inner, func(v []any) any { return unary(e.Op, v[0]) })
	case *ngql.Binary:
		return binaryType(e, inner)
	case *ngql.Cast:
		return e.Type.Value(), nil
	case *ngql.Call:
		return t.callType(e, inner), nil
	case *ngql.ListOf:
		if e.Set {
			return "SET", nil
		}
		return "LIST", nil
	case *ngql.MapOf:
		return "MAP", nil
	}
	return Any, nil
}

func binaryType(e *ngql.Binary, inner []string) (string, error) {
	switch e.Op {
	case "+", "-", "*", "/", "%":
		return sampled(e, inner, func(v []any) any { return arithmetic(e.Op, v[0], v[1]) })
	case "AND", "OR", "XOR":
		return sampled(e, inner, func(v []any) any { return logical(e.Op, v[0], v[1]) })
	}
	return "BOOL", nil
}

// sampled computes with samples; a failure is a type error.
func sampled(e ngql.Expr, inner []string, compute func([]any) any) (string, error) {
	vals := make([]any, len(inner))
	for i, it := range inner {
		if vals[i] = samples[it]; vals[i] == nil {
			return Any, nil
		}
	}
	v := compute(vals)
	if value.IsBad(v) {
		return "", graph.Semantic("Type error `%s'", e)
	}
	return value.Type(v), nil
}

var results = map[string]string{
	"timestamp": "INT", "now": "INT", "date": "DATE", "time": "TIME", "datetime": "DATETIME", "duration": "DURATION",
	"length": "INT", "size": "INT", "hash": "INT", "rank": "INT", "type": "STRING", "typeid": "INT", "tags": "LIST",
	"labels": "LIST", "keys": "LIST", "properties": "MAP", "startnode": "VERTEX", "endnode": "VERTEX", "lower": "STRING",
	"upper": "STRING", "tostring": "STRING", "concat": "STRING", "md5": "STRING", "st_point": "GEOGRAPHY",
	"st_geogfromtext": "GEOGRAPHY", "round": "FLOAT", "floor": "FLOAT", "ceil": "FLOAT", "sqrt": "FLOAT",
}

func (t *Types) callType(e *ngql.Call, inner []string) string {
	name := strings.ToLower(e.Name)
	switch {
	case name == "id" || name == "src" || name == "dst":
		return t.Vid
	case e.Aggregate && name == "count":
		return "INT"
	case e.Aggregate && name == "avg":
		return "FLOAT"
	case e.Aggregate && strings.HasPrefix(name, "collect"):
		return map[bool]string{true: "SET", false: "LIST"}[name == "collect_set"]
	case (e.Aggregate || name == "abs") && len(inner) == 1 && (inner[0] == "INT" || inner[0] == "FLOAT"):
		return inner[0]
	}
	return results[name]
}
