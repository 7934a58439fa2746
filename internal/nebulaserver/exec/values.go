package exec

import (
	"math"
	"strings"
	"unicode/utf8"

	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

var intLimits = map[string]int64{"int8": math.MaxInt8, "int16": math.MaxInt16, "int32": math.MaxInt32, "int64": math.MaxInt64}

// stored is a value as a column keeps it, or why storaged refuses it.
func stored(v any, c *graph.Column) (any, error) {
	if value.IsNull(v) {
		if c.NotNull {
			return nil, graph.ErrNotNull
		}
		return value.NULL, nil
	}
	switch c.Type.Name {
	case "bool":
		return storedBool(v)
	case "int8", "int16", "int32", "int64", "timestamp":
		return storedInt(v, c.Type.Name)
	case "float", "double":
		return storedFloat(v, c.Type.Name)
	case "string", "fixed_string":
		s, ok := v.(string)
		if !ok {
			return nil, graph.ErrType
		}
		if c.Type.Name == "fixed_string" {
			s = fixed(s, c.Type.Len)
		}
		return s, nil
	}
	return storedOther(v, c.Type)
}

func storedBool(v any) (any, error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case int64:
		return v != 0, nil
	case float64:
		return v != 0, nil
	}
	return nil, graph.ErrType
}

func storedInt(v any, typ string) (any, error) {
	var n int64
	switch v := v.(type) {
	case int64:
		n = v
	case bool:
		if v {
			n = 1
		}
	case float64:
		r := math.Round(v)
		if math.IsNaN(r) || r < math.MinInt64 || r >= math.MaxInt64 {
			return nil, graph.ErrRange
		}
		n = int64(r)
	default:
		return nil, graph.ErrType
	}
	if typ == "timestamp" {
		if _, whole := v.(int64); !whole {
			return nil, graph.ErrType
		}
		if n < 0 || n > math.MaxInt64/1_000_000_000 {
			return nil, graph.ErrRange
		}
		return n, nil
	}
	if limit := intLimits[typ]; n > limit || n < -limit-1 {
		return nil, graph.ErrRange
	}
	return n, nil
}

func storedFloat(v any, typ string) (any, error) {
	f, ok := value.Float(v)
	if !ok {
		return nil, graph.ErrType
	}
	if typ == "float" {
		if math.Abs(f) > math.MaxFloat32 && !math.IsInf(f, 0) {
			return nil, graph.ErrRange
		}
		f = float64(float32(f))
	}
	return f, nil
}

// storedOther is for types that take their own values only, but that dates and datetimes take each other's.
func storedOther(v any, t ngql.ColumnType) (any, error) {
	if d, ok := v.(nebula.Date); ok && t.Name == "datetime" {
		return nebula.DateTime{Year: d.Year, Month: d.Month, Day: d.Day}, nil
	}
	if d, ok := v.(nebula.DateTime); ok && t.Name == "date" {
		return nebula.Date{Year: d.Year, Month: d.Month, Day: d.Day}, nil
	}
	if g, ok := v.(value.Geography); ok && t.Shape != "" && !strings.EqualFold(g.Shape, t.Shape) {
		return nil, graph.ErrType
	}
	if value.Type(v) != t.Value() {
		return nil, graph.ErrType
	}
	return v, nil
}

// fixed cuts a string at a NUL and to at most n bytes, but not inside of a rune.
func fixed(s string, n int) string {
	for i := range len(s) {
		if s[i] == 0 {
			s = s[:i]
			break
		}
	}
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
