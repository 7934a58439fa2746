package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// broken is a configuration and every problem that must be reported for it.
type broken struct {
	name, text string
	want       []string
}

func (b broken) check(t *testing.T) {
	t.Helper()
	t.Run(b.name, func(t *testing.T) {
		t.Parallel()
		_, err := Parse("c.yaml", []byte(b.text), environment(map[string]string{"DATABASE_URL": "host=x", "WORD": "geheim"}))
		e, ok := errors.AsType[*Error](err)
		if !ok {
			t.Fatalf("got %v, want an *Error", err)
		}
		if diff := cmp.Diff(b.want, strings.Split(e.Error(), "\n")); diff != "" {
			t.Error(diff)
		}
	})
}

// What is not YAML, or not a mapping, is said with its place.
func TestProblemsOfSyntax(t *testing.T) {
	t.Parallel()
	for _, b := range []broken{
		{"tab", "log:\n\tlevel: info", []string{"c.yaml:2:1: not YAML: found character that cannot start any token: indent with spaces, not tabs, and quote what begins with @ or `"}},
		{"unclosed", "log: [", []string{`c.yaml:2:1: not YAML: did not find expected node content`}},
		{"unknown anchor", "log: *x", []string{`c.yaml:1:6: not YAML: unknown anchor 'x' referenced`}},
		{"two documents", "log:\n---\nlog:\n", []string{`c.yaml:3:1: want one document, have a second one`}},
		{"a list", "- log", []string{`c.yaml:1:1: want a mapping, have a list`}},
		{"a text", "log", []string{`c.yaml:1:1: want a mapping, have a single value`}},
		{"key is a list", "[a]: 1", []string{`c.yaml:1:1: want a name, have a list`}},
		{"merge", "log: &l {level: info}\nworker: {<<: *l}", []string{`c.yaml:2:10: worker: want a name, have a merge of mappings`}},
		{"alias", "log: &l {level: info}\nworker: *l", []string{`c.yaml:2:9: worker: want a mapping, have an alias: write the value out`}},
		{"key twice", "log:\nlog:", []string{`c.yaml:2:1: log is there twice, first in line 1`}},
		{"list wanted", "projections: {}", []string{`c.yaml:1:14: projections: want a list, have a mapping`}},
		{"mapping wanted", "kinds: []", []string{`c.yaml:1:8: kinds: want a mapping, have a list`}},
		{"value wanted", "log: {level: [info], format: }", []string{
			`c.yaml:1:14: log.level: want one of debug, info, warn, error, have a list`,
			`c.yaml:1:30: log.format: want one of text, json, have nothing`,
		}},
	} {
		b.check(t)
	}
}

// Unknown fields are refused, with the one that was probably meant.
func TestProblemsOfFields(t *testing.T) {
	t.Parallel()
	for _, b := range []broken{
		{"root", "databse: x", []string{`c.yaml:1:1: unknown field "databse" (did you mean database?): want alerts, backends, console, database, kinds, log, projections, verify, worker`}},
		{"log", "log: {colour: x}", []string{`c.yaml:1:7: log: unknown field "colour": want format, level`}},
		{"kind", "kinds: {a: {table: t, tabel: u}}", []string{`c.yaml:1:23: kinds.a: unknown field "tabel" (did you mean table?): want dependants, history, key, list, per_row, table`}},
		{"backend", "backends: {a: {type: store, setings: 1}}", []string{`c.yaml:1:29: backends.a: unknown field "setings" (did you mean settings?): want settings, type, verify, worker`}},
	} {
		b.check(t)
	}
}

// Values say what was expected and what they are.
func TestProblemsOfValues(t *testing.T) {
	t.Parallel()
	for _, b := range []broken{
		{"level", "log: {level: inf}", []string{`c.yaml:1:14: log.level: want one of debug, info, warn, error, have "inf"`}},
		{"format", "log: {format: xml}", []string{`c.yaml:1:15: log.format: want one of text, json, have "xml"`}},
		{"duration without unit", "worker: {lease: 15}", []string{`c.yaml:1:17: worker.lease: want a time span of at least 1s, such as 10s, have "15"`}},
		{"duration too short", "worker: {slice: 5ms}", []string{`c.yaml:1:17: worker.slice: want a time span of at least 1s, such as 10s, have "5ms"`}},
		{"duration in parts of days", "worker: {retention: 1.5d}", []string{`c.yaml:1:21: worker.retention: want a time span of at least 1m0s, such as 7d, have "1.5d"`}},
		{"duration beyond all", "worker: {retention: 999999999d}", []string{`c.yaml:1:21: worker.retention: want a time span of at least 1m0s, such as 7d, have "999999999d"`}},
		{"count", "worker: {page_keys: 0}", []string{`c.yaml:1:21: worker.page_keys: want a whole number from 1 to 100000, have "0"`}},
		{"size", "worker: {portion_bytes: 4MB}", []string{`c.yaml:1:25: worker.portion_bytes: want a number of bytes of at least 65536, such as 8MiB, have "4MB"`}},
		{"size beyond all", "worker: {portion_bytes: 9999999999999GiB}", []string{`c.yaml:1:25: worker.portion_bytes: want a number of bytes of at least 65536, such as 8MiB, have "9999999999999GiB"`}},
		{"flag", "worker: {poll: 1}", []string{`c.yaml:1:16: worker.poll: want true or false, have "1"`}},
		{"long value", "log: {level: " + strings.Repeat("x", 99) + "}", []string{
			`c.yaml:1:14: log.level: want one of debug, info, warn, error, have "` + strings.Repeat("x", 60) + `..."`,
		}},
		{"database", "database: host=a sslmode=foo", []string{`c.yaml:1:11: database: want a URL such as postgres://user@host:5432/name, or keyword=value pairs: sslmode is invalid`}},
		{"database is a list", "database: [a]", []string{`c.yaml:1:11: database: want a URL such as postgres://user@host:5432/name, or keyword=value pairs, have a list`}},
		{"tag of settings", "backends: {a: {type: store, settings: {n: !!int x}}}", []string{`c.yaml:1:43: backends.a.settings.n: want a value of type !!int`}},
		{"alias in settings", "backends: {a: {type: store, settings: {n: &n 1, m: *n}}}", []string{`c.yaml:1:52: backends.a.settings.m: want a value, have an alias: write the value out`}},
	} {
		b.check(t)
	}
}

// Names are checked, and so is that what they refer to is there.
func TestProblemsOfNames(t *testing.T) {
	t.Parallel()
	for _, b := range []broken{
		{"kind", "kinds: {File: {table: t}}", []string{`c.yaml:1:9: kinds.File: a kind's name has small letters, digits and _, begins with a letter and is up to 63 long`}},
		{"backend", "backends: {a__b: {type: store}}", []string{`c.yaml:1:12: backends.a__b: a backend's name has small letters and digits, with single - or _ between them, and is up to 63 long`}},
		{"type missing", "backends: {a: }", []string{`c.yaml:1:12: backends.a: type is missing: want one of elasticsearch, nebula, postgres, qdrant, store`}},
		{"type unknown", "backends: {a: {type: stor}}", []string{`c.yaml:1:22: backends.a.type: unknown type of backend "stor" (did you mean store?): have elasticsearch, nebula, postgres, qdrant, store`}},
		{"lanes", "worker: {lanes: 257}", []string{`c.yaml:1:17: worker.lanes: want a whole number from 1 to 256, have "257"`}},
		{"column twice", "kinds: {a: {table: t, key: [x, x]}}", []string{`c.yaml:1:32: kinds.a.key[1]: column x is there twice`}},
		{"table missing", "kinds: {a: {key: x}}", []string{`c.yaml:1:9: kinds.a: table is missing, to which key, per_row and history belong`}},
		{"table and list", "kinds: {a: {table: t, list: select 1}}", []string{`c.yaml:1:9: kinds.a: table and list exclude each other: the table has the keys`}},
		{"table empty", "kinds: {a: {table: ' '}}", []string{`c.yaml:1:20: kinds.a.table: want a table such as app.orders, have " "`}},
		{"table twice", "kinds: {a: {table: t}, b: {table: t}}", []string{`c.yaml:1:35: kinds.b.table: table t is that of kind a already`}},
		{"dependant unknown", "kinds: {a: {table: t, dependants: {b: $1}}}", []string{`c.yaml:1:36: kinds.a.dependants.b: unknown kind "b": have a`}},
		{"dependant is itself", "kinds: {a: {table: t, dependants: {a: $1}}}", []string{`c.yaml:1:36: kinds.a.dependants.a: a kind must not depend on itself: a -> a`}},
		{"circle", "kinds:\n  a: {table: t, dependants: {b: $1}}\n  b: {table: u, dependants: {c: $1}}\n  c: {table: v, dependants: {b: $1}}", []string{
			`c.yaml:3:30: kinds.b.dependants.c: a kind must not depend on itself: b -> c -> b`,
			`c.yaml:4:30: kinds.c.dependants.b: a kind must not depend on itself: c -> b -> c`,
		}},
		{"query without keys", "kinds: {a: {table: t, dependants: {b: select 1}}, b: {table: u}}", []string{
			`c.yaml:1:39: kinds.a.dependants.b: the query does not use $1, the keys as text[]`,
		}},
		{"projection empty", "projections: [{}]", []string{
			`c.yaml:1:15: projections[0]: kind is missing`, `c.yaml:1:15: projections[0]: backend is missing`,
			`c.yaml:1:15: projections[0]: target is missing`, `c.yaml:1:15: projections[0]: query is missing`,
		}},
		{"projection is a text", "projections: [x]", []string{`c.yaml:1:15: projections[0]: want a mapping, have a single value`}},
		{"references", "projections: [{kind: k, backend: b, target: t, query: $1}]", []string{
			`c.yaml:1:22: projections[0].kind: unknown kind "k": there is none`,
			`c.yaml:1:34: projections[0].backend: unknown backend "b": there is none`,
		}},
		{"target twice", "kinds: {k: {table: t}}\nbackends: {b: {type: store}}\nprojections:\n- {kind: k, backend: b, target: t, query: $1}\n- {kind: k, backend: b, target: t, query: $1}", []string{
			`c.yaml:5:3: projections[1]: its target is that of the projection in line 4 already`,
		}},
	} {
		b.check(t)
	}
}

// References that cannot be resolved are said, without what others yielded.
func TestProblemsOfReferences(t *testing.T) {
	t.Parallel()
	for _, b := range []broken{
		{"unset", "log: {level: '${NOT_SET}'}", []string{`c.yaml:1:14: log.level: the environment has no NOT_SET`}},
		{"not closed", "log: {level: '${WORD'}", []string{`c.yaml:1:14: log.level: a reference without its closing brace; write $${ for a plain ${`}},
		{"not a name", "log: {level: '${1}'}", []string{`c.yaml:1:14: log.level: want ${NAME}, ${NAME:-default} or ${file:/path} as a reference; write $${ for a plain ${`}},
		{"no such file", "log: {level: '${file:/no/such}'}", []string{`c.yaml:1:14: log.level: ${file:/no/such}: no such file or directory`}},
		{"not a plain file", "log: {level: '${file:/dev/null}'}", []string{`c.yaml:1:14: log.level: ${file:/dev/null}: want a plain file of at most 64 KiB`}},
		{"wrong value", "log: {level: '${WORD}'}", []string{`c.yaml:1:14: log.level: want one of debug, info, warn, error, not what ${WORD} yields`}},
		{"unknown kind", "projections: [{kind: '${WORD}', backend: b, target: t, query: $1}]\nbackends: {b: {type: store}}", []string{
			`c.yaml:1:22: projections[0].kind: unknown kind "${WORD}": there is none`,
		}},
		{"in settings", "backends: {a: {type: store, settings: {x: ['${NOT_SET}'], y: !!int '${WORD}'}}}", []string{
			`c.yaml:1:44: backends.a.settings.x[0]: the environment has no NOT_SET`,
			`c.yaml:1:62: backends.a.settings.y: want a value of type !!int`,
		}},
	} {
		b.check(t)
	}
}

// A variable of the environment that is wrong is named itself.
func TestProblemsOfTheEnvironment(t *testing.T) {
	t.Parallel()
	env := environment(map[string]string{"OUTFLOW_WORKER_LEASE": "soon", "OUTFLOW_DATABASE": "postgres://u:geheim@h:port/x", "OUTFLOW_LOG_LEVEL": "${X}"})
	_, err := Parse("c.yaml", []byte("worker: {lease: 15s}"), env)
	want := []string{
		`OUTFLOW_DATABASE: want a URL such as postgres://user@host:5432/name, or keyword=value pairs: the URL cannot be read; other characters than letters and digits in its password must be percent-encoded`,
		`OUTFLOW_LOG_LEVEL: want one of debug, info, warn, error, have "${X}"`,
		`OUTFLOW_WORKER_LEASE: want a time span of at least 1s, such as 10s, have "soon"`,
	}
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Error(diff)
	}
}

// Without a database anywhere, the problem says where one can be named.
func TestProblemOfNoDatabase(t *testing.T) {
	t.Parallel()
	_, err := Parse("c.yaml", nil, environment(nil))
	const want = "c.yaml: database: is missing: set it in the file, in DATABASE_URL or in OUTFLOW_DATABASE"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A suggestion is made for a slip of the keys, not for another word.
func TestSuggest(t *testing.T) {
	t.Parallel()
	known := []string{"search", "graph", "id"}
	for name, want := range map[string]string{
		"serach": " (did you mean search?)", "grap": " (did you mean graph?)", "vectors": "", "x": "", "": "",
	} {
		if got := suggest(name, known); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
