package ngql

import (
	"strings"

	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

func (e *Const) String() string { return value.Text(e.Value) }

func (e *Label) String() string { return e.Name }

func (e *Variable) String() string { return "$" + e.Name }

func (e *Param) String() string { return "$" + e.Name }

func (e *Input) String() string {
	if e.Var == "" {
		return "$-." + e.Name
	}
	return "$" + e.Var + "." + e.Name
}

func (e *EndProp) String() string { return e.End + "." + e.Tag + "." + e.Prop }

func (e *KeyProp) String() string { return e.Edge + "." + e.Prop }

func (e *Entity) String() string { return e.Name }

func (e *Attr) String() string { return e.X.String() + "." + e.Name }

func (e *Unary) String() string {
	if strings.HasPrefix(e.Op, "IS") {
		return e.X.String() + " " + e.Op
	}
	return e.Op + "(" + e.X.String() + ")"
}

func (e *Binary) String() string {
	op := e.Op
	if op[0] >= 'A' && op[0] <= 'Z' {
		op = " " + op + " "
	}
	return "(" + e.L.String() + op + e.R.String() + ")"
}

func (e *Cast) String() string { return "(" + strings.ToUpper(e.Type.Value()) + ")" + e.X.String() }

func (e *Call) String() string {
	args := texts(e.Args)
	if e.Distinct {
		args = "distinct " + args
	}
	if e.Aggregate && len(e.Args) == 1 {
		if c, ok := e.Args[0].(*Const); ok && c.Value == "*" {
			args = strings.Replace(args, `"*"`, "*", 1)
		}
	}
	return e.Name + "(" + args + ")"
}

func (e *ListOf) String() string {
	if e.Set {
		return "{" + texts(e.Items) + "}"
	}
	return "[" + texts(e.Items) + "]"
}

func (e *MapOf) String() string {
	parts := make([]string, len(e.Keys))
	for i, k := range e.Keys {
		parts[i] = k + ":" + e.Values[i].String()
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func (e *Subscript) String() string {
	if e.Range {
		return e.X.String() + "[" + optional(e.I) + ".." + optional(e.To) + "]"
	}
	return e.X.String() + "[" + e.I.String() + "]"
}

func (e *Case) String() string {
	if e.Ternary {
		return "(" + e.When[0].String() + " ? " + e.Then[0].String() + " : " + e.Else.String() + ")"
	}
	parts := []string{"CASE"}
	if e.Of != nil {
		parts = append(parts, e.Of.String())
	}
	for i := range e.When {
		parts = append(parts, "WHEN", e.When[i].String(), "THEN", e.Then[i].String())
	}
	if e.Else != nil {
		parts = append(parts, "ELSE", e.Else.String())
	}
	return strings.Join(append(parts, "END"), " ")
}

func (e *Iterate) String() string {
	switch e.Name {
	case "[]":
		s := "[" + e.Var + " IN " + e.In.String()
		if e.Where != nil {
			s += " WHERE " + e.Where.String()
		}
		if e.Out != nil {
			s += " | " + e.Out.String()
		}
		return s + "]"
	case "reduce":
		return "reduce(" + e.Acc + " = " + e.Init.String() + ", " + e.Var + " IN " + e.In.String() + " | " + e.Out.String() + ")"
	case "exists":
		return "exists(" + e.In.String() + ")"
	}
	return e.Name + "(" + e.Var + " IN " + e.In.String() + " WHERE " + e.Where.String() + ")"
}

func texts(all []Expr) string {
	parts := make([]string, len(all))
	for i, e := range all {
		parts[i] = e.String()
	}
	return strings.Join(parts, ",")
}

func optional(e Expr) string {
	if e == nil {
		return ""
	}
	return e.String()
}
