package value

import (
	"strings"

	"github.com/vesoft-inc/nebula-go/v3/nebula"
)

// Null is NULL, or the kind of failure that an expression ended with.
type Null nebula.NullType

// The kinds of NULL.
const (
	NULL       = Null(nebula.NullType___NULL__)
	NaN        = Null(nebula.NullType_NaN)
	BadData    = Null(nebula.NullType_BAD_DATA)
	BadType    = Null(nebula.NullType_BAD_TYPE)
	Overflow   = Null(nebula.NullType_ERR_OVERFLOW)
	NoProp     = Null(nebula.NullType_UNKNOWN_PROP)
	DivByZero  = Null(nebula.NullType_DIV_BY_ZERO)
	OutOfRange = Null(nebula.NullType_OUT_OF_RANGE)
)

// List is an ordered list.
type List []any

// Set is a list without duplicates, in no order.
type Set []any

// Map has string keys.
type Map map[string]any

// Tag is a tag of a vertex with its properties.
type Tag struct {
	Name  string
	Props Map
}

// Vertex is a vertex with the tags that were asked for.
type Vertex struct {
	ID   any
	Tags []Tag
}

// Prop is the property of the first tag that has it.
func (v *Vertex) Prop(name string) (any, bool) {
	for _, t := range v.Tags {
		if p, ok := t.Props[name]; ok {
			return p, true
		}
	}
	return nil, false
}

// Tag finds a tag by name.
func (v *Vertex) Tag(name string) (Tag, bool) {
	for _, t := range v.Tags {
		if t.Name == name {
			return t, true
		}
	}
	return Tag{}, false
}

// Edge is an edge. The type of an edge that was walked against its direction is negative, and Src is where
// the walk came from.
type Edge struct {
	Src, Dst any
	Type     int32
	Name     string
	Rank     int64
	Props    Map
}

// Forward is the edge in the direction it was written in.
func (e *Edge) Forward() *Edge {
	if e.Type >= 0 {
		return e
	}
	f := *e
	f.Src, f.Dst, f.Type = e.Dst, e.Src, -e.Type
	return &f
}

// Type names the type of a value as the server does in its messages.
func Type(v any) string {
	switch v := v.(type) {
	case nil:
		return "__EMPTY__"
	case Null:
		return "NULL"
	case bool:
		return "BOOL"
	case int64:
		return "INT"
	case float64:
		return "FLOAT"
	case string:
		return "STRING"
	case nebula.Date:
		return "DATE"
	case nebula.Time:
		return "TIME"
	case nebula.DateTime:
		return "DATETIME"
	case nebula.Duration:
		return "DURATION"
	case Geography:
		return "GEOGRAPHY"
	case List:
		return "LIST"
	case Set:
		return "SET"
	case Map:
		return "MAP"
	case *Vertex:
		return "VERTEX"
	case *Edge:
		return "EDGE"
	default:
		panic("no value: " + strings.TrimSpace(Text(v)))
	}
}

// IsNull tells NULL, of any kind.
func IsNull(v any) bool {
	_, ok := v.(Null)
	return ok
}

// IsBad tells a NULL that stands for a failure.
func IsBad(v any) bool {
	n, ok := v.(Null)
	return ok && n != NULL
}

// Float is a number as a float.
func Float(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}
