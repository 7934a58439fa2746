package eval

import (
	"math"
	"strings"

	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

// Aggregate computes an aggregate over the values of a group. count(*) is given a value for every row.
func Aggregate(name string, distinct bool, all []any) any {
	vals := make([]any, 0, len(all))
	for _, v := range all {
		if v != nil && !value.IsNull(v) {
			vals = append(vals, v)
		}
	}
	if distinct {
		vals = value.Distinct(vals)
	}
	switch name = strings.ToLower(name); name {
	case "count":
		return int64(len(vals))
	case "collect":
		return value.List(vals)
	case "collect_set":
		return value.Set(value.Distinct(vals))
	case "max", "min":
		return extreme(name == "max", vals)
	case "bit_and", "bit_or", "bit_xor":
		return foldBits(name, vals)
	}
	return statistic(name, vals)
}

func extreme(largest bool, vals []any) any {
	var best any = value.NULL
	for i, v := range vals {
		if d := value.Compare(v, best); i == 0 || largest && d > 0 || !largest && d < 0 {
			best = v
		}
	}
	return best
}

func foldBits(name string, vals []any) any {
	var acc any = value.NULL
	for i, v := range vals {
		if i == 0 {
			acc = v
			continue
		}
		acc = bits(name, acc, v)
	}
	return acc
}

func statistic(name string, vals []any) any {
	var sum any = int64(0)
	var squares, total float64
	for _, v := range vals {
		f, ok := value.Float(v)
		if !ok {
			return value.BadType
		}
		sum = arithmetic("+", sum, v)
		total += f
		squares += f * f
	}
	n := float64(len(vals))
	switch {
	case name == "sum":
		return sum
	case n == 0:
		return value.NULL
	case name == "avg":
		return total / n
	}
	return math.Sqrt(math.Max(squares/n-(total/n)*(total/n), 0))
}
