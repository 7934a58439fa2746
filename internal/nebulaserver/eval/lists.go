package eval

import (
	"slices"

	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

func listFunction(name string, args []any) (any, bool) {
	switch name {
	case "size":
		return size(args[0]), true
	case "range":
		return span(args), true
	case "reverse":
		return reversed(args[0]), true
	case "udf_is_in":
		return slices.ContainsFunc(args[1:], func(a any) bool { return value.Equal(args[0], a) }), true
	case "toset":
		if l, ok := args[0].(value.List); ok {
			return value.Set(value.Distinct(l)), true
		}
		return value.BadType, true
	case "head", "last", "tail":
		l, ok := args[0].(value.List)
		if !ok {
			return value.BadType, true
		}
		return end(name, l), true
	}
	return nil, false
}

func size(x any) any {
	switch x := x.(type) {
	case string:
		return int64(len(x))
	case value.List:
		return int64(len(x))
	case value.Set:
		return int64(len(x))
	case value.Map:
		return int64(len(x))
	}
	return value.BadType
}

func end(name string, l value.List) any {
	switch {
	case name == "tail" && len(l) == 0:
		return value.List{}
	case name == "tail":
		return l[1:]
	case len(l) == 0:
		return value.NULL
	case name == "head":
		return l[0]
	}
	return l[len(l)-1]
}

func reversed(x any) any {
	switch x := x.(type) {
	case string:
		b := []byte(x)
		slices.Reverse(b)
		return string(b)
	case value.List:
		l := slices.Clone(x)
		slices.Reverse(l)
		return l
	}
	return value.BadType
}

const maxRange = 1 << 20

func span(args []any) any {
	n := [3]int64{2: 1}
	for i, a := range args {
		v, ok := a.(int64)
		if !ok {
			return value.BadType
		}
		n[i] = v
	}
	if n[2] == 0 {
		return value.BadData
	}
	out := value.List{}
	for i := n[0]; (n[2] > 0 && i <= n[1] || n[2] < 0 && i >= n[1]) && len(out) < maxRange; i += n[2] {
		out = append(out, i)
	}
	return out
}
