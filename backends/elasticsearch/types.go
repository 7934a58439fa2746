package elasticsearch

import (
	"strings"

	"github.com/outflow-db/outflow/backends"
)

// Limits of the server.
const (
	maxKeyword    = 8191 // characters: a term has 32766 bytes at most, a character up to 4
	maxDimensions = 4096 // of a dense_vector
)

// fieldOf is the mapping of a column by its type. Every value that such a column can hold is kept in
// the document; what Elasticsearch cannot index, such as NaN, infinity or a year beyond 9999, is left out of the
// index alone (ignore_malformed). An array is mapped as its elements are, for a field may have many values.
func fieldOf(c backends.Column) map[string]any {
	if c.Form == backends.FormComposite {
		return unsearched()
	}
	if c.Base == "real[]" {
		return map[string]any{"type": "dense_vector"}
	}
	switch strings.TrimSuffix(c.Base, "[]") {
	case "smallint":
		return number("short")
	case "integer":
		return number("integer")
	case "bigint":
		return number("long")
	case "real":
		return lenient("float")
	case "double precision", "numeric":
		return lenient("double")
	case "boolean":
		return map[string]any{"type": "boolean"}
	case "date", "timestamp without time zone", "timestamp with time zone":
		return lenient("date")
	case "text", "character varying", "citext":
		return map[string]any{"type": "text", "fields": map[string]any{"keyword": keyword()}}
	case "json", "jsonb", "hstore", "record":
		return unsearched()
	default:
		return keyword()
	}
}

// unsearched is the mapping of a value that is any JSON: it is kept as it is. What of it shall be searched is the
// user's to say.
func unsearched() map[string]any { return map[string]any{"type": "object", "enabled": false} }

func number(typ string) map[string]any { return map[string]any{"type": typ} }

func lenient(typ string) map[string]any {
	return map[string]any{"type": typ, "ignore_malformed": true}
}

func keyword() map[string]any { return map[string]any{"type": "keyword", "ignore_above": maxKeyword} }
