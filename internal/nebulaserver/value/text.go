package value

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vesoft-inc/nebula-go/v3/nebula"
)

// Text shows a value as the server writes it into names of columns and messages: strings in quotes.
func Text(v any) string {
	switch v := v.(type) {
	case nil:
		return "__EMPTY__"
	case Null:
		return nulls[v]
	case string:
		return `"` + v + `"`
	case List:
		return "[" + join(v) + "]"
	case Set:
		return "{" + join(v) + "}"
	case Map:
		return "{" + v.text() + "}"
	case *Vertex:
		return v.text()
	case *Edge:
		return v.text()
	case Geography:
		return v.WKT()
	}
	return Plain(v)
}

// Plain is Text without quotes around a string: what (STRING)x gives.
func Plain(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return float(v)
	case nebula.Date:
		return fmt.Sprintf("%d-%02d-%02d", v.Year, v.Month, v.Day)
	case nebula.Time:
		return fmt.Sprintf("%02d:%02d:%02d.%06d", v.Hour, v.Minute, v.Sec, v.Microsec)
	case nebula.DateTime:
		return fmt.Sprintf("%d-%02d-%02dT%02d:%02d:%02d.%06d", v.Year, v.Month, v.Day, v.Hour, v.Minute, v.Sec, v.Microsec)
	case nebula.Duration:
		return fmt.Sprintf("P%dM%dDT%dS", v.Months, v.Seconds/86400, v.Seconds) // as the server has it
	case nil, Null, List, Set, Map, *Vertex, *Edge, Geography:
		return Text(v)
	}
	return fmt.Sprintf("%T", v)
}

var nulls = map[Null]string{
	NULL: "NULL", NaN: "NaN", BadData: "BAD_DATA", BadType: "BAD_TYPE", Overflow: "ERR_OVERFLOW",
	NoProp: "UNKNOWN_PROP", DivByZero: "DIV_BY_ZERO", OutOfRange: "OUT_OF_RANGE",
}

func float(f float64) string {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if a := math.Abs(f); a != 0 && a < 1e15 && a >= 1e-5 || f == 0 {
		s = strconv.FormatFloat(f, 'f', -1, 64)
	}
	if !strings.ContainsAny(s, ".eIN") {
		s += ".0"
	}
	return s
}

func join(all []any) string {
	parts := make([]string, len(all))
	for i, v := range all {
		parts[i] = Text(v)
	}
	return strings.Join(parts, ",")
}

func keys(m Map) []string { return slices.Sorted(maps.Keys(m)) }

func (m Map) text() string {
	parts := make([]string, 0, len(m))
	for _, k := range keys(m) {
		parts = append(parts, k+":"+Text(m[k]))
	}
	return strings.Join(parts, ",")
}

func (v *Vertex) text() string {
	var b strings.Builder
	b.WriteString("(" + Text(v.ID))
	for _, t := range v.Tags {
		fmt.Fprintf(&b, " :%s{%s}", t.Name, t.Props.text())
	}
	return b.String() + ")"
}

func (e *Edge) text() string {
	f := e.Forward()
	return fmt.Sprintf("[:%s %s->%s @%d {%s}]", f.Name, Text(f.Src), Text(f.Dst), f.Rank, f.Props.text())
}

// Instant is the moment of a date and time, which are kept in UTC.
func Instant(d nebula.DateTime) time.Time {
	return time.Date(int(d.Year), time.Month(d.Month), int(d.Day), int(d.Hour), int(d.Minute), int(d.Sec),
		int(d.Microsec)*1000, time.UTC)
}

// DateTime is a moment as a date and time in UTC.
func DateTime(t time.Time) nebula.DateTime {
	t = t.UTC()
	return nebula.DateTime{
		Year: int16(t.Year()), Month: int8(t.Month()), Day: int8(t.Day()), Hour: int8(t.Hour()), //nolint:gosec // fits
		Minute: int8(t.Minute()), Sec: int8(t.Second()), Microsec: int32(t.Nanosecond() / 1000), //nolint:gosec // fits
	}
}
