package eval

import (
	"crypto/md5" //nolint:gosec // a function of the server's
	"encoding/hex"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

// call computes a function, or gives what the group has of an aggregate.
func (s *Scope) call(e *ngql.Call) any {
	if e.Aggregate {
		return s.Groups[e]
	}
	name, args := strings.ToLower(e.Name), s.all(e.Args)
	switch name {
	case "coalesce":
		for _, a := range args {
			if a != nil && !value.IsNull(a) {
				return a
			}
		}
		return value.NULL
	case "concat_ws", "nullif", "now", "timestamp", "date", "time", "datetime":
		return s.special(name, args)
	}
	for _, a := range args {
		if value.IsBad(a) {
			return value.BadType
		}
		if value.IsNull(a) {
			return value.NULL
		}
	}
	if slices.Contains(args, nil) {
		return nil
	}
	for _, family := range []func(string, []any) (any, bool){mathFunction, stringFunction, graphFunction, listFunction} {
		if v, ok := family(name, args); ok {
			return v
		}
	}
	return value.BadData
}

// special are functions to which NULL is an argument like others.
func (s *Scope) special(name string, args []any) any {
	var x any
	if len(args) > 0 {
		if x = args[0]; value.IsNull(x) && name != "nullif" && name != "concat_ws" {
			return value.NULL
		}
	}
	switch name {
	case "now":
		return s.Now.Unix()
	case "timestamp":
		return timestampOf(x, s.Now)
	case "nullif":
		if value.Equal(args[0], args[1]) {
			return value.NULL
		}
		return x
	case "concat_ws":
		return concatWith(args)
	}
	return timeFunction(name, x, s.Now)
}

func concatWith(args []any) any {
	sep, ok := args[0].(string)
	if !ok {
		return value.NULL
	}
	var parts []string
	for _, a := range args[1:] {
		if !value.IsNull(a) {
			parts = append(parts, value.Plain(a))
		}
	}
	return strings.Join(parts, sep)
}

var reals = map[string]func(float64) float64{
	"sqrt": math.Sqrt, "cbrt": math.Cbrt, "exp": math.Exp, "exp2": math.Exp2, "log": math.Log, "log2": math.Log2,
	"log10": math.Log10, "sin": math.Sin, "cos": math.Cos, "tan": math.Tan, "asin": math.Asin, "acos": math.Acos,
	"atan": math.Atan, "floor": math.Floor, "ceil": math.Ceil,
	"radians": func(x float64) float64 { return x * math.Pi / 180 },
	"degrees": func(x float64) float64 { return x * 180 / math.Pi },
}

func mathFunction(name string, args []any) (any, bool) {
	if f := reals[name]; f != nil {
		x, ok := value.Float(args[0])
		if !ok {
			return value.BadType, true
		}
		return f(x), true
	}
	switch name {
	case "abs", "sign", "round", "pow", "hypot":
		return numeric(name, args), true
	case "bit_and", "bit_or", "bit_xor":
		return bits(name, args[0], args[1]), true
	case "pi":
		return math.Pi, true
	case "e":
		return math.E, true
	case "rand":
		return rand.Float64(), true
	case "rand32", "rand64":
		return random(args), true
	}
	return nil, false
}

func random(args []any) any {
	from, to := int64(0), int64(math.MaxInt32)
	for i, a := range args {
		n, ok := a.(int64)
		if !ok {
			return value.BadType
		}
		if i == len(args)-1 {
			to = n
		} else {
			from = n
		}
	}
	if to <= from {
		return value.BadData
	}
	return from + rand.Int64N(to-from)
}

func numeric(name string, args []any) any {
	x, ok := value.Float(args[0])
	if !ok {
		return value.BadType
	}
	i, whole := args[0].(int64)
	switch name {
	case "abs":
		if whole {
			return max(i, -i)
		}
		return math.Abs(x)
	case "sign":
		return int64(cmpFloat(x))
	case "round":
		if len(args) == 2 {
			n, ok := args[1].(int64)
			if !ok {
				return value.BadType
			}
			p := math.Pow10(int(n))
			return math.Round(x*p) / p
		}
		return math.Round(x)
	}
	y, ok := value.Float(args[1])
	if !ok {
		return value.BadType
	}
	if name == "hypot" {
		return math.Hypot(x, y)
	}
	if _, w := args[1].(int64); w && whole {
		return int64(math.Pow(x, y))
	}
	return math.Pow(x, y)
}

func cmpFloat(x float64) int {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

func bits(name string, a, b any) any {
	i, ok := a.(int64)
	j, ok2 := b.(int64)
	switch {
	case !ok || !ok2:
		return value.BadType
	case name == "bit_and":
		return i & j
	case name == "bit_or":
		return i | j
	}
	return i ^ j
}

// graphFunction are functions of vertices and edges.
func graphFunction(name string, args []any) (any, bool) {
	if !slices.Contains([]string{
		"id", "tags", "labels", "properties", "type", "typeid", "src", "dst", "rank", "startnode", "endnode", "keys",
		"none_direct_src", "none_direct_dst", "is_edge",
	}, name) {
		return nil, false
	}
	switch x := args[0].(type) {
	case *value.Vertex:
		return ofVertex(name, x), true
	case *value.Edge:
		return ofEdge(name, x), true
	case value.Map:
		switch name {
		case "properties":
			return x, true
		case "keys":
			return sortedKeys(x), true
		}
	}
	if name == "is_edge" {
		return false, true
	}
	return value.BadType, true
}

func ofVertex(name string, v *value.Vertex) any {
	all := value.Map{}
	tags := value.List{}
	for _, t := range v.Tags {
		tags = append(tags, t.Name)
		maps.Copy(all, t.Props)
	}
	switch name {
	case "id":
		return v.ID
	case "tags", "labels":
		slices.SortFunc(tags, value.Compare)
		return tags
	case "properties":
		return all
	case "keys":
		return sortedKeys(all)
	case "is_edge":
		return false
	}
	return value.BadType
}

func sortedKeys(m value.Map) value.List {
	l := value.List{}
	for k := range m {
		l = append(l, k)
	}
	slices.SortFunc(l, value.Compare)
	return l
}

func ofEdge(name string, e *value.Edge) any {
	f := e.Forward()
	switch name {
	case "src":
		return f.Src
	case "dst":
		return f.Dst
	case "none_direct_src":
		return e.Src
	case "none_direct_dst":
		return e.Dst
	case "startnode":
		return &value.Vertex{ID: f.Src}
	case "endnode":
		return &value.Vertex{ID: f.Dst}
	case "rank":
		return e.Rank
	case "type":
		return e.Name
	case "typeid":
		return int64(e.Type)
	case "properties":
		return e.Props
	case "keys":
		return sortedKeys(e.Props)
	case "is_edge":
		return true
	}
	return value.BadType
}

// hash is that of the server: of a number it is the number.
func hash(x any) any {
	switch x := x.(type) {
	case int64:
		return x
	case string:
		return graph.Hash(x)
	case bool:
		if x {
			return int64(1)
		}
		return int64(0)
	}
	return graph.Hash(value.Text(x))
}

func md5Text(s string) string {
	sum := md5.Sum([]byte(s)) //nolint:gosec // a function of the server's
	return hex.EncodeToString(sum[:])
}
