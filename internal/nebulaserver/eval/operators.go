package eval

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

func unary(op string, x any) any {
	switch op {
	case "IS NULL":
		return value.IsNull(x)
	case "IS NOT NULL":
		return !value.IsNull(x)
	case "IS EMPTY":
		return x == nil
	case "IS NOT EMPTY":
		return x != nil
	}
	if x == nil || value.IsNull(x) {
		return x
	}
	switch x := x.(type) {
	case bool:
		if op == "!" {
			return !x
		}
	case int64:
		if op == "-" {
			if x == math.MinInt64 {
				return value.Overflow
			}
			return -x
		}
		if op == "+" {
			return x
		}
	case float64:
		if op == "-" {
			return -x
		}
		if op == "+" {
			return x
		}
	}
	return value.BadType
}

func (s *Scope) binary(e *ngql.Binary) any {
	l, r := Eval(e.L, s), Eval(e.R, s)
	switch e.Op {
	case "AND", "OR", "XOR":
		return logical(e.Op, l, r)
	case "+", "-", "*", "/", "%":
		return arithmetic(e.Op, l, r)
	case "==", "!=", "<", "<=", ">", ">=":
		return compare(e.Op, l, r)
	case "IN", "NOT IN":
		return negate(strings.HasPrefix(e.Op, "NOT"), contains(r, l))
	}
	return negate(strings.HasPrefix(e.Op, "NOT"), match(strings.TrimPrefix(e.Op, "NOT "), l, r))
}

func negate(not bool, v any) any {
	if b, ok := v.(bool); ok && not {
		return !b
	}
	return v
}

func logical(op string, l, r any) any {
	for _, v := range []any{l, r} {
		if _, ok := v.(bool); !ok && v != nil && !value.IsNull(v) {
			return value.BadType
		}
	}
	lb, lok := l.(bool)
	rb, rok := r.(bool)
	switch {
	case op == "AND" && (lok && !lb || rok && !rb):
		return false
	case op == "OR" && (lb || rb):
		return true
	case !lok && value.IsBad(l), !lok && rok:
		return l
	case !rok:
		return r
	case op == "AND":
		return lb && rb
	case op == "OR":
		return lb || rb
	}
	return lb != rb
}

func arithmetic(op string, l, r any) any {
	switch {
	case value.IsBad(l):
		return l
	case value.IsBad(r):
		return r
	case value.IsNull(l) || value.IsNull(r):
		return value.NULL
	case l == nil || r == nil:
		return nil
	}
	if i, ok := l.(int64); ok {
		if j, ok := r.(int64); ok {
			return integers(op, i, j)
		}
	}
	if x, ok := value.Float(l); ok {
		if y, ok := value.Float(r); ok {
			return floats(op, x, y, r)
		}
	}
	if op == "+" {
		if v := concat(l, r); v != nil {
			return v
		}
	}
	return times(op, l, r)
}

func integers(op string, i, j int64) any {
	switch op {
	case "+":
		if s := i + j; (s > i) == (j > 0) {
			return s
		}
		return value.Overflow
	case "-":
		if d := i - j; (d < i) == (j > 0) {
			return d
		}
		return value.Overflow
	case "*":
		if i == 0 || j == 0 {
			return int64(0)
		}
		if p := i * j; p/j == i && (i != -1 || j != math.MinInt64) && (j != -1 || i != math.MinInt64) {
			return p
		}
		return value.Overflow
	}
	if j == 0 {
		return value.DivByZero
	}
	if i == math.MinInt64 && j == -1 {
		return value.Overflow
	}
	if op == "/" {
		return i / j
	}
	return i % j
}

func floats(op string, x, y float64, r any) any {
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	}
	if _, whole := r.(int64); whole && y == 0 {
		return value.DivByZero
	}
	if op == "/" {
		return x / y
	}
	return math.Mod(x, y)
}

// concat joins lists, and strings with what has a text; nil: neither.
func concat(l, r any) any {
	if list, ok := l.(value.List); ok {
		if more, ok := r.(value.List); ok {
			return append(slices.Clip(list), more...)
		}
		return append(slices.Clip(list), r)
	}
	_, ls := l.(string)
	_, rs := r.(string)
	if !ls && !rs {
		return nil
	}
	for _, v := range []any{l, r} {
		switch v.(type) {
		case value.List, value.Set, value.Map, *value.Vertex, *value.Edge, value.Geography:
			return nil
		}
	}
	return value.Plain(l) + value.Plain(r)
}

func compare(op string, l, r any) any {
	switch {
	case value.IsNull(l) || value.IsNull(r):
		return value.NULL
	case l == nil || r == nil:
		switch op {
		case "==":
			return l == nil && r == nil
		case "!=":
			return l != nil || r != nil
		}
		return nil
	}
	_, ln := value.Float(l)
	_, rn := value.Float(r)
	same := ln && rn || value.Type(l) == value.Type(r)
	switch {
	case op == "==":
		return same && value.Compare(l, r) == 0
	case op == "!=":
		return !same || value.Compare(l, r) != 0
	case !same:
		return value.BadType
	}
	d := value.Compare(l, r)
	return op == "<" && d < 0 || op == "<=" && d <= 0 || op == ">" && d > 0 || op == ">=" && d >= 0
}

func contains(in, v any) any {
	var all []any
	switch in := in.(type) {
	case value.List:
		all = in
	case value.Set:
		all = in
	case value.Map:
		k, ok := v.(string)
		_, has := in[k]
		return ok && has
	case nil, value.Null:
		return in
	default:
		return value.BadType
	}
	if value.IsNull(v) {
		return value.NULL
	}
	unknown := false
	for _, w := range all {
		if value.IsNull(w) {
			unknown = true
		} else if value.Equal(v, w) {
			return true
		}
	}
	if unknown {
		return value.NULL
	}
	return false
}

func match(op string, l, r any) any {
	if value.IsNull(l) || value.IsNull(r) {
		return value.NULL
	}
	x, ok := l.(string)
	y, ok2 := r.(string)
	if !ok || !ok2 {
		return value.BadType
	}
	switch op {
	case "CONTAINS":
		return strings.Contains(x, y)
	case "STARTS WITH":
		return strings.HasPrefix(x, y)
	case "ENDS WITH":
		return strings.HasSuffix(x, y)
	}
	re, err := regexp.Compile(`\A(?:` + y + `)\z`)
	if err != nil {
		return value.BadData
	}
	return re.MatchString(x)
}

// Cast is (type)x.
func Cast(t ngql.ColumnType, x any) any {
	if x == nil || value.IsNull(x) {
		return value.NULL
	}
	switch t.Value() {
	case "STRING":
		switch x.(type) {
		case value.List, value.Set, value.Map, *value.Vertex, *value.Edge:
			return value.BadType
		}
		return value.Plain(x)
	case "INT":
		return toInt(x)
	case "FLOAT":
		return toFloat(x)
	case "BOOL":
		return toBool(x)
	}
	return value.BadType
}

func toInt(x any) any {
	switch x := x.(type) {
	case int64:
		return x
	case float64:
		return int64(x)
	case bool:
		return value.BadType
	case string:
		if n, err := strconv.ParseInt(strings.TrimSpace(x), 10, 64); err == nil {
			return n
		}
		if f, ok := toFloat(x).(float64); ok {
			return int64(f)
		}
		return value.NULL
	}
	return value.BadType
}

func toFloat(x any) any {
	if f, ok := value.Float(x); ok {
		return f
	}
	if s, ok := x.(string); ok {
		if f, err := strconv.ParseFloat(strings.TrimSpace(s), 64); err == nil {
			return f
		}
		return value.NULL
	}
	return value.BadType
}

func toBool(x any) any {
	switch x := x.(type) {
	case bool:
		return x
	case string:
		switch strings.ToLower(x) {
		case "true":
			return true
		case "false":
			return false
		}
		return value.NULL
	}
	return value.BadType
}

// times adds days or durations to dates and times.
func times(op string, l, r any) any {
	sign := 1
	if op == "-" {
		sign = -1
	} else if op != "+" {
		return value.BadType
	}
	d, ok := r.(nebula.Duration)
	if n, whole := r.(int64); whole {
		if _, isDate := l.(nebula.Date); isDate {
			d, ok = nebula.Duration{Seconds: n * 86400}, true
		}
	}
	if !ok {
		return value.BadType
	}
	return shift(l, d, sign)
}
