package eval

import (
	"strings"

	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

var oneString = map[string]func(string) any{
	"lower": func(s string) any { return strings.ToLower(s) }, "tolower": func(s string) any { return strings.ToLower(s) },
	"upper": func(s string) any { return strings.ToUpper(s) }, "toupper": func(s string) any { return strings.ToUpper(s) },
	"length": func(s string) any { return int64(len(s)) },
	"trim":   func(s string) any { return strings.TrimSpace(s) }, "ltrim": func(s string) any { return strings.TrimLeft(s, " \t\r\n") },
	"rtrim": func(s string) any { return strings.TrimRight(s, " \t\r\n") },
	"md5":   func(s string) any { return md5Text(s) },
	"st_geogfromtext": func(s string) any {
		g, err := value.ParseWKT(s)
		if err != nil {
			return value.BadData
		}
		return g
	},
}

func stringFunction(name string, args []any) (any, bool) {
	if f := oneString[name]; f != nil {
		s, ok := args[0].(string)
		if !ok {
			return value.BadType, true
		}
		return f(s), true
	}
	switch name {
	case "strcasecmp", "split", "replace":
		return textual(name, args), true
	case "left", "right", "substr", "substring":
		return cut(name, args), true
	case "lpad", "rpad":
		return pad(name, args), true
	case "concat":
		var out strings.Builder
		for _, a := range args {
			out.WriteString(value.Plain(a))
		}
		return out.String(), true
	case "tostring":
		return value.Plain(args[0]), true
	case "tointeger":
		return toInt(args[0]), true
	case "tofloat":
		return toFloat(args[0]), true
	case "toboolean":
		return toBool(args[0]), true
	case "hash":
		return hash(args[0]), true
	case "duration":
		return durationOf(args[0]), true
	}
	return geoFunction(name, args)
}

func geoFunction(name string, args []any) (any, bool) {
	switch name {
	case "st_point":
		x, ok := value.Float(args[0])
		y, ok2 := value.Float(args[1])
		if !ok || !ok2 {
			return value.BadType, true
		}
		return value.Geography{Shape: "POINT", Rings: [][][2]float64{{{x, y}}}}, true
	case "st_astext":
		if g, ok := args[0].(value.Geography); ok {
			return g.WKT(), true
		}
		return value.BadType, true
	}
	return nil, false
}

func textual(name string, args []any) any {
	parts := make([]string, len(args))
	for i, a := range args {
		s, ok := a.(string)
		if !ok {
			return value.BadType
		}
		parts[i] = s
	}
	switch name {
	case "strcasecmp":
		return int64(strings.Compare(strings.ToLower(parts[0]), strings.ToLower(parts[1])))
	case "replace":
		return strings.ReplaceAll(parts[0], parts[1], parts[2])
	}
	out := value.List{}
	for p := range strings.SplitSeq(parts[0], parts[1]) {
		out = append(out, p)
	}
	return out
}

// cut takes bytes, as the server does.
func cut(name string, args []any) any {
	s, ok := args[0].(string)
	if !ok {
		return value.BadType
	}
	n := make([]int, len(args)-1)
	for i, a := range args[1:] {
		v, ok := a.(int64)
		if !ok {
			return value.BadType
		}
		if v < 0 {
			return value.BadData
		}
		n[i] = int(min(v, int64(len(s))))
	}
	switch {
	case name == "left":
		return s[:n[0]]
	case name == "right":
		return s[len(s)-n[0]:]
	case len(n) == 1:
		return s[n[0]:]
	}
	return s[n[0]:min(n[0]+n[1], len(s))]
}

const maxPad = 1 << 20

func pad(name string, args []any) any {
	s, ok := args[0].(string)
	n, ok2 := args[1].(int64)
	with, ok3 := args[2].(string)
	if !ok || !ok2 || !ok3 {
		return value.BadType
	}
	if n < 0 || n > maxPad || with == "" {
		return value.BadData
	}
	if int(n) <= len(s) {
		return s[:n]
	}
	fill := strings.Repeat(with, int(n)/len(with)+1)[:int(n)-len(s)]
	if name == "lpad" {
		return fill + s
	}
	return s + fill
}
