package config

import (
	"encoding/json"
	"strings"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
)

// SchemaID names the schema of the file.
const SchemaID = "https://github.com/outflow-db/outflow/config/outflow.schema.json"

// object is a part of a JSON Schema.
type object = map[string]any

// Schema is the JSON Schema (draft 2020-12) of the configuration file, for editors: the fields, their forms and what
// they mean, with the settings of the types of backends that are registered. What needs more than the form, such as a kind that does not exist, only Load finds.
func Schema() []byte {
	return schemaFor(backends.Types())
}

// schemaFor is the schema for a program that knows these types of backends.
func schemaFor(types []string) []byte {
	text, err := json.MarshalIndent(schema(types), "", "  ")
	if err != nil {
		panic(err) // it is made of maps and texts
	}
	return append(text, '\n')
}

// reference is what a value may be instead of its own form: a text with a reference.
var reference = object{"type": "string", "pattern": `\$\{`}

// or is a value of the form, or a reference that yields one.
func or(about string, form object) object {
	return object{"description": about, "anyOf": []any{form, reference}}
}

func some(about string) object {
	return object{"description": about, "type": "string", "pattern": `\S`}
}

func oneOf(about string, words ...string) object { return or(about, object{"enum": words}) }

func yesOrNo(about string) object { return or(about, object{"type": "boolean"}) }

func wholeNumber(about string, most int) object {
	return or(about, object{"type": "integer", "minimum": 1, "maximum": most})
}

func numberOrNone(about string, most int) object {
	return or(about, object{"anyOf": []any{object{"type": "integer", "minimum": 1, "maximum": most}, object{"const": "none"}}})
}

func byteCount(about string) object {
	return or(about, object{"type": []string{"integer", "string"}, "pattern": `^[0-9]+ *([KMG]iB)?$`, "minimum": 65536})
}

func timeSpan(about string) object {
	return or(about, object{"type": "string", "pattern": `^([0-9]+d|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))*)$`})
}

// fields is a mapping of these fields and no others; nothing is an empty one.
func mapping(about string, properties object, required ...string) object {
	o := object{"description": about, "type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		o["type"], o["required"] = "object", required
	}
	return o
}

// named is a mapping from names of a form.
func named(about, form string, of object) object {
	return object{
		"description": about, "type": []string{"object", "null"}, "additionalProperties": of,
		"propertyNames": object{"pattern": form, "maxLength": 63},
	}
}

func schema(types []string) object {
	root := mapping("The configuration of Outflow: see docs/configuration.md.", object{
		"database": object{"description": "PostgreSQL, which holds the truth: a URL, or keyword=value pairs.", "type": "string"},
		"log": mapping("How the program logs.", object{
			"level":  oneOf("What is logged.", "debug", "info", "warn", "error"),
			"format": oneOf("The form of a line.", "text", "json"),
		}),
		"worker":      workerSchema(),
		"console":     consoleSchema(),
		"alerts":      alertsSchema(),
		"verify":      scheduleSchema("When backends are verified without being asked to. Default: never."),
		"kinds":       named("Classes of records, and the tables that hold them.", kindName.String(), kindSchema()),
		"backends":    named("The stores that follow the database.", backendName.String(), storeSchema(types)),
		"projections": object{"description": "What goes where.", "type": []string{"array", "null"}, "items": projectionSchema(types)},
	})
	root["$schema"], root["$id"], root["title"] = "https://json-schema.org/draft/2020-12/schema", SchemaID, "outflow.yaml"
	return root
}

func workerSchema() object {
	return mapping("How the workers work. What is left out has its default.", object{
		"lanes":         wholeNumber("Ranges of keys that are written side by side, of backends added from now on. Default: 1.", 256),
		"page_keys":     wholeNumber("Keys of a page, about. Default: 4000.", 100_000),
		"portion_bytes": byteCount("Bytes of records that a lane reads before it writes them. Default: 8MiB."),
		"memory_bytes":  byteCount("Bytes of records that all lanes of a process hold together."),
		"batch_records": wholeNumber("Records of a request, unless the backend takes fewer. Default: what suits the backend, 1000 for most and 2000 for Elasticsearch.", 100_000),
		"batch_bytes":   byteCount("Bytes of a request, unless the backend takes fewer. Default: 4MiB."),
		"lease":         timeSpan("After which a dead worker's lane is free. Default: 10s."),
		"slice":         timeSpan("After which a job makes room for others. Default: 10s."),
		"linger":        timeSpan("How long a job waits for more before it ends. Default: 2s."),
		"patience":      timeSpan("How long a job retries a failing store before River retries it. Default: 15s."),
		"request":       timeSpan("Time for one request to a store. Default: 30s."),
		"save_every":    timeSpan("Positions are saved this often at most; below half the lease. Default: 200ms."),
		"retention":     timeSpan("Applied rows of the log are kept this long. Default: 7d."),
		"audit":         timeSpan("What was applied when, and events, are kept this long. Default: the retention."),
		"history":       timeSpan("Previous rows of kinds with history are kept this long. Default: 7d."),
		"zombie":        timeSpan("How long a worker whose end nobody saw may still write. Default: 24h."),
		"late":          timeSpan("How long a request may still arrive after its sender gave up. Default: 15m."),
		"poll":          yesOrNo("True: no LISTEN, for PgBouncer in transaction mode and PREPARE TRANSACTION."),
		"refuse_copy":   yesOrNo("True: fail in a copy of the database instead of feeding the same stores."),
		"retry_first":   timeSpan("After which what is parked is tried again first; it doubles each time in vain. Default: 1m."),
		"retry_most":    timeSpan("The longest such pause. Default: 6h."),
		"park_limit":    numberOrNone("A backend pauses when it refused so many records for one reason within ten minutes, and more than it took. Default: 1000.", parkLimitMost),
	})
}

func limitsSchema() object {
	return mapping("How this backend is written, where it differs from worker.", object{
		"lanes":         wholeNumber("Ranges of keys that are written side by side, when it is added.", 256),
		"batch_records": wholeNumber("Records of a request, unless the backend takes fewer.", 100_000),
		"batch_bytes":   byteCount("Bytes of a request, unless the backend takes fewer."),
		"patience":      timeSpan("How long a job retries the store before River retries it."),
		"request":       timeSpan("Time for one request to the store."),
		"in_turn":       yesOrNo("True: fresh changes wait for their turn when the backend is far behind. Default: false."),
		"rate":          wholeNumber("Records a second that a process writes at most. Default: any number.", 100_000_000),
		"park_limit":    numberOrNone("It pauses when it refused so many records for one reason within ten minutes, and more than it took.", parkLimitMost),
	})
}

func scheduleSchema(about string) object {
	clock := func(about string) object {
		return or(about, object{"type": "string", "pattern": `^([01][0-9]|2[0-3]):[0-5][0-9]$`})
	}
	return mapping(about, object{
		"every":    timeSpan("How often."),
		"from":     clock("When its window opens, such as 02:00. Default: it is always open."),
		"to":       clock("When its window closes; may be after midnight."),
		"zone":     some("The time zone of from and to, such as Europe/Berlin. Default: UTC."),
		"repair":   yesOrNo("True: what differs is put into the log again. Default: false."),
		"deep":     yesOrNo("True: compare what the store really holds. Default: false."),
		"dangling": yesOrNo("True: look for edges whose ends are missing; deep does so as well. Default: false."),
		"rate":     or("Records per second. Default: 10000.", object{"type": "integer", "minimum": jobs.LeastRate}),
	})
}

func consoleSchema() object {
	return mapping("Where workers are watched.", object{
		"listen":   some("host:port such as 127.0.0.1:8317, or off."),
		"user":     some("The name that is asked for; goes with password."),
		"password": some("The password of the user."),
		"token":    some("A bearer token that is let in as well."),
	})
}

func kindSchema() object {
	column := some("A column.")
	kind := mapping("A class of records.", object{
		"table":   some("The table whose changes are logged, such as app.orders."),
		"list":    some("Without a table: a query that yields every key, in one text column named key."),
		"key":     object{"description": "The columns that identify a record. Default: the primary key.", "anyOf": []any{column, object{"type": "array", "items": column, "uniqueItems": true}}},
		"per_row": yesOrNo("True: row triggers, for tables that logical replication writes."),
		"history": yesOrNo("True: previous rows are kept, so that transactions can be reverted."),
		"dependants": object{
			"description": "Kinds whose records change when this kind's do: for each a query from changed keys, $1, to its keys.",
			"type":        []string{"object", "null"}, "additionalProperties": sql("From changed keys, $1 as text[], to keys of the dependant."),
		},
	})
	kind["dependentRequired"] = object{"key": []string{"table"}, "per_row": []string{"table"}, "history": []string{"table"}}
	kind["not"] = object{"type": "object", "required": []string{"table", "list"}}
	return kind
}

func storeSchema(types []string) object {
	store := mapping("A store.", object{
		"type":     some("A registered type: this program knows " + strings.Join(types, ", ") + "."),
		"settings": settingsSchema("What the type asks for: addresses, credentials, limits."),
		"worker":   limitsSchema(),
		"verify": object{"anyOf": []any{
			scheduleSchema("When this backend is verified, where that differs from what holds for all."),
			object{"const": "off", "description": "Never."},
			object{"const": false, "description": "Never."},
		}},
	}, "type")
	if all := settingsOfTypes(types); len(all) > 0 {
		store["allOf"] = all
	}
	return store
}

func projectionSchema(types []string) object {
	return mapping("A query and a target that turn one kind into one backend's records.", object{
		"kind":     some("From this kind."),
		"backend":  some("Into this backend."),
		"target":   some("An index, a collection, a tag, a table."),
		"query":    sql("Yields a column key and any others for the keys in $1, text[]; a key without a row is deleted."),
		"settings": targetSchema(types),
	}, "kind", "backend", "target", "query")
}

func sql(about string) object {
	return object{"description": about, "type": "string", "pattern": `\$1|\$\{`}
}

func settingsSchema(about string) object {
	return object{"description": about, "type": []string{"object", "null"}}
}
