package nebula

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outflow-db/outflow/backends"
)

// Settings have defaults.
func TestOptions(t *testing.T) {
	t.Parallel()
	o, err := readOptions(nil)
	if err != nil || !slices.Equal(o.addresses, []string{DefaultAddress}) || o.user != DefaultUser || o.space != DefaultSpace || o.vid.String() != DefaultVid ||
		o.sessions != DefaultSessions || o.requests != DefaultRequests || o.timeout != DefaultTimeout || o.tls != nil {
		t.Errorf("got %+v, %v", o, err)
	}
	o, err = readOptions(dict{"addresses": []any{"a", "b:7000", "::1", "[::1]:7001"}, "user": "u", "password": "p", "space": "s", "vid": "int64", "timeout": "9s", "tls": dict{}})
	want := []string{"a:9669", "b:7000", "[::1]:9669", "[::1]:7001"}
	if err != nil || !slices.Equal(o.addresses, want) || o.user != "u" || o.password != "p" || o.vid.length != 0 || o.timeout != 9*time.Second || o.tls == nil {
		t.Errorf("got %+v, %v", o, err)
	}
}

// Every problem of the settings is told at once, with its place, and no secret.
func TestBadOptions(t *testing.T) {
	t.Parallel()
	_, err := open(backends.Config{Name: "graph", Settings: dict{
		"addresses": []any{"http://a:6334", "a:b", "a:b:c", "ok:1"}, "password": "top secret", "space": "a.b", "vid": "FIXED_STRING(8)", "sessions": 0, "timeout": "1ms", "typo": 1,
		"tls": dict{"ca": "top secret", "key": "top secret"},
	}})
	if backends.ClassOf(err) != backends.Rejected || strings.Contains(err.Error(), "top secret") {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"addresses[0]", "addresses[1]", "addresses[2]", "space", "vid", "sessions", "timeout", "typo", "tls.ca", "tls.key"} {
		if !strings.Contains(err.Error(), "setting "+want+" ") {
			t.Errorf("%s is missing in: %v", want, err)
		}
	}
	_, err = readOptions(dict{"tls": dict{"certificate": "x", "key": "y"}})
	if err == nil || !strings.Contains(err.Error(), "cannot be used together") {
		t.Errorf("got %v", err)
	}
	for text, ok := range map[string]bool{"INT64": true, "fixed_string(32)": true, "FIXED_STRING(4096)": true, "FIXED_STRING(31)": false, "FIXED_STRING(x)": false, "FIXED_STRING(64": false, "STRING": false, "": false} {
		if _, got := parseVid(text); got != ok {
			t.Errorf("vid %q: %v", text, got)
		}
	}
}

// What cannot be in a target's settings is told with its place.
func TestBadTarget(t *testing.T) {
	t.Parallel()
	b := plainly(t, nil)
	for says, settings := range map[string]dict{
		"setting edge.source ":        {"edge": dict{"target": 1}},
		"setting edge.target ":        {"edge": dict{"source": 0, "target": []any{}}},
		"setting edge.rank ":          {"edge": dict{"source": 0, "target": 1, "rank": "x"}},
		"setting edge.x ":             {"edge": dict{"source": 0, "target": 1, "x": 2}},
		"exclude each other":          {"edge": dict{"source": 0, "target": 0}, "vertex": dict{"id": 0}},
		"leave a column":              {"edge": dict{"source": 0, "target": 2}},
		"setting types.column ":       {"types": dict{"column": 0, "names": "a"}},
		"setting types.names ":        {"vertex": dict{"id": 0}, "types": dict{"column": 1, "names": []any{"a.b", "a.b"}}},
		"both be there":               {"edge": dict{"source": 0, "target": 0}, "types": dict{"column": 0}},
		"setting vertex.id ":          {"vertex": dict{"id": -1}},
		"setting properties.name ":    {"properties": dict{"name": "VARCHAR"}},
		"setting properties.line ":    {"properties": dict{"line": "FIXED_STRING(0)"}},
		"setting properties.other ":   {"properties": dict{"other": "STRING"}},
		"needs how many bytes":        {"indexes": dict{"i": "name"}},
		"has a length":                {"indexes": dict{"i": []any{"line(4)"}}},
		"is no column of the query":   {"indexes": dict{"i": []any{"x"}}},
		"must be a list of columns":   {"indexes": dict{"i": []any{7}}},
		"want another name":           {"indexes": dict{"outflow": "line"}},
		"setting delete_edges is for": {"edge": dict{"source": 0, "target": 0}, "delete_edges": "x"},
		"cannot name an edge type":    {"delete_edges": "a.b"},
		"setting typo ":               {"typo": 1},
	} {
		to := symbols()
		to.Settings = settings
		_, err := b.Layout(to)
		if backends.ClassOf(err) != backends.Rejected || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v", says, err)
		}
	}
	to := symbols()
	to.Columns = append(to.Columns, text4("outflow_key"), text4("a.b"))
	if _, err := b.Layout(to); err == nil || !strings.Contains(err.Error(), "properties.outflow_key") || !strings.Contains(err.Error(), "properties.a.b") {
		t.Errorf("got %v", err)
	}
	for name, call := range map[string]func() error{
		"write":  func() error { _, err := b.Write(t.Context(), to, nil); return err },
		"lookup": func() error { _, err := b.Lookup(t.Context(), to, nil); return err },
		"scan":   func() error { return b.Scan(t.Context(), to, nil) },
		"plan":   func() error { _, err := b.Plan(t.Context(), []backends.Target{to}); return err },
	} {
		if backends.ClassOf(call()) != backends.Rejected {
			t.Errorf("%s takes it", name)
		}
	}
}

// A target's types by their columns.
func TestTypes(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"boolean": "BOOL", "smallint": "INT16", "integer": "INT32", "bigint": "INT64", "oid": "INT64", "real": "FLOAT", "double precision": "DOUBLE",
		"date": "DATE", "time without time zone": "TIME", "timestamp without time zone": "DATETIME", "timestamp with time zone": "DATETIME",
		"text": "STRING", "numeric": "STRING", "jsonb": "STRING", "integer[]": "STRING", "uuid": "STRING", "bytea": "STRING",
	} {
		if got := typeOf(backends.Column{Base: base}); got != want {
			t.Errorf("%s: %s, want %s", base, got, want)
		}
	}
	for _, typ := range slices.Collect(maps.Keys(readers)) {
		if !strings.Contains(typeNames, typ) {
			t.Errorf("%s is not named", typ)
		}
	}
}

// A tag or an edge type is of one target: verify would take the rows of one for those of the other.
func TestSharedType(t *testing.T) {
	t.Parallel()
	b := plainly(t, nil)
	to := symbols()
	to.Settings = dict{"vertex": dict{"id": 0}, "types": dict{"column": 1, "names": "uses"}}
	err := b.Prepare(t.Context(), []backends.Target{calls(), to})
	if backends.ClassOf(err) != backends.Rejected || !strings.Contains(err.Error(), "tag uses is of two targets, relation and symbol") {
		t.Errorf("got %v", err)
	}
}
