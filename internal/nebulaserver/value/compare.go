package value

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/vesoft-inc/nebula-go/v3/nebula"
)

// Equal tells whether two values are the same for DISTINCT, GROUP BY and IN: numbers compare by value, and
// NULL is the same as NULL.
func Equal(a, b any) bool { return Compare(a, b) == 0 }

// Compare orders any two values for ORDER BY: by type first where types differ, and EMPTY and NULL last, as
// the server sorts.
func Compare(a, b any) int {
	if x, ok := Float(a); ok {
		if y, ok := Float(b); ok {
			return compareNumbers(a, b, x, y)
		}
	}
	if d := cmp.Compare(rank(a), rank(b)); d != 0 {
		return d
	}
	switch a := a.(type) {
	case Null:
		return cmp.Compare(a, b.(Null))
	case bool:
		return cmp.Compare(digit(a), digit(b.(bool)))
	case string:
		return cmp.Compare(a, b.(string))
	case List:
		return slices.CompareFunc(a, b.(List), Compare)
	case Set:
		return slices.CompareFunc(sorted(a), sorted(b.(Set)), Compare)
	case Map:
		return compareMaps(a, b.(Map))
	case *Vertex:
		return Compare(a.ID, b.(*Vertex).ID)
	case *Edge:
		return compareEdges(a.Forward(), b.(*Edge).Forward())
	case Geography:
		return cmp.Compare(a.WKT(), b.(Geography).WKT())
	}
	return compareTimes(a, b)
}

func compareNumbers(a, b any, x, y float64) int {
	if i, ok := a.(int64); ok {
		if j, ok := b.(int64); ok {
			return cmp.Compare(i, j)
		}
	}
	if math.Abs(x-y) < 1e-8 { // the server's tolerance
		return 0
	}
	return cmp.Compare(x, y)
}

func compareTimes(a, b any) int {
	switch a := a.(type) {
	case nebula.Date:
		b := b.(nebula.Date)
		return cmp.Or(cmp.Compare(a.Year, b.Year), cmp.Compare(a.Month, b.Month), cmp.Compare(a.Day, b.Day))
	case nebula.Time:
		b := b.(nebula.Time)
		return cmp.Or(cmp.Compare(a.Hour, b.Hour), cmp.Compare(a.Minute, b.Minute), cmp.Compare(a.Sec, b.Sec),
			cmp.Compare(a.Microsec, b.Microsec))
	case nebula.DateTime:
		return Instant(a).Compare(Instant(b.(nebula.DateTime)))
	case nebula.Duration:
		b := b.(nebula.Duration)
		return cmp.Or(cmp.Compare(a.Months, b.Months), cmp.Compare(a.Seconds, b.Seconds),
			cmp.Compare(a.Microseconds, b.Microseconds))
	}
	return 0
}

func compareMaps(a, b Map) int {
	ka, kb := keys(a), keys(b)
	if d := slices.Compare(ka, kb); d != 0 {
		return d
	}
	for _, k := range ka {
		if d := Compare(a[k], b[k]); d != 0 {
			return d
		}
	}
	return 0
}

func compareEdges(a, b *Edge) int {
	return cmp.Or(Compare(a.Src, b.Src), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Rank, b.Rank), Compare(a.Dst, b.Dst))
}

func rank(v any) int {
	switch v.(type) {
	case bool:
		return 1
	case int64, float64:
		return 2
	case string:
		return 3
	case nebula.Date, nebula.Time, nebula.DateTime, nebula.Duration:
		return 4 + slices.Index([]string{"DATE", "TIME", "DATETIME", "DURATION"}, Type(v))
	case *Vertex:
		return 8
	case *Edge:
		return 9
	case List:
		return 10
	case Set:
		return 11
	case Map:
		return 12
	case Geography:
		return 13
	case Null:
		return 14
	}
	return 15
}

func digit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func sorted(s []any) []any {
	s = slices.Clone(s)
	slices.SortFunc(s, Compare)
	return s
}

// Distinct drops the values that came before, keeping the order.
func Distinct(all []any) []any {
	seen, out := map[string]bool{}, make([]any, 0, len(all))
	for _, v := range all {
		if k := Key(v); !seen[k] {
			seen[k] = true
			out = append(out, v)
		}
	}
	return out
}

// Key is the same for equal values, and for them alone.
func Key(v any) string {
	if f, ok := v.(float64); ok && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		v = int64(f)
	}
	if d, ok := v.(nebula.Duration); ok { // whose text leaves something out
		return fmt.Sprint("DURATION", d.Months, d.Seconds, d.Microseconds)
	}
	return Type(v) + Text(v)
}
