package ngql

import "strings"

// functions has how many arguments each function takes: the fewest and the most, -1 for any number.
var functions = map[string][2]int{
	"abs": {1, 1}, "floor": {1, 1}, "ceil": {1, 1}, "round": {1, 2}, "sqrt": {1, 1}, "cbrt": {1, 1}, "hypot": {2, 2},
	"pow": {2, 2}, "exp": {1, 1}, "exp2": {1, 1}, "log": {1, 1}, "log2": {1, 1}, "log10": {1, 1}, "sin": {1, 1},
	"cos": {1, 1}, "tan": {1, 1}, "asin": {1, 1}, "acos": {1, 1}, "atan": {1, 1}, "rand": {0, 0}, "rand32": {0, 2},
	"rand64": {0, 2}, "bit_and": {2, 2}, "bit_or": {2, 2}, "bit_xor": {2, 2}, "pi": {0, 0}, "e": {0, 0}, "radians": {1, 1},
	"degrees": {1, 1}, "sign": {1, 1},
	"now": {0, 0}, "timestamp": {0, 1}, "date": {0, 1}, "time": {0, 1}, "datetime": {0, 1}, "duration": {1, 1},
	"strcasecmp": {2, 2}, "lower": {1, 1}, "tolower": {1, 1}, "upper": {1, 1}, "toupper": {1, 1}, "length": {1, 1},
	"size": {1, 1}, "trim": {1, 1}, "ltrim": {1, 1}, "rtrim": {1, 1}, "left": {2, 2}, "right": {2, 2}, "lpad": {3, 3},
	"rpad": {3, 3}, "substr": {2, 3}, "substring": {2, 3}, "replace": {3, 3}, "reverse": {1, 1}, "split": {2, 2},
	"concat": {1, -1}, "concat_ws": {2, -1}, "tostring": {1, 1}, "tointeger": {1, 1}, "tofloat": {1, 1}, "toboolean": {1, 1},
	"toset": {1, 1}, "hash": {1, 1}, "md5": {1, 1}, "extract": {2, 2}, "json_extract": {1, 1},
	"id": {1, 1}, "tags": {1, 1}, "labels": {1, 1}, "properties": {1, 1}, "type": {1, 1}, "typeid": {1, 1}, "src": {1, 1},
	"dst": {1, 1}, "rank": {1, 1}, "startnode": {1, 1}, "endnode": {1, 1}, "keys": {1, 1}, "none_direct_src": {1, 1},
	"none_direct_dst": {1, 1}, "head": {1, 1}, "last": {1, 1}, "tail": {1, 1}, "range": {2, 3}, "coalesce": {1, -1},
	"is_edge": {1, 1}, "udf_is_in": {2, -1}, "nullif": {2, 2},
	"st_point": {2, 2}, "st_geogfromtext": {1, 1}, "st_astext": {1, 1}, "st_isvalid": {1, 1}, "st_distance": {2, 2},
}

// Function tells whether there is a function of this name, in any case, for this many arguments.
func Function(name string, args int) bool {
	n, ok := functions[strings.ToLower(name)]
	return ok && args >= n[0] && (n[1] < 0 || args <= n[1])
}
