package config

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outflow-db/outflow/alerts"
	"github.com/outflow-db/outflow/jobs"
)

const whole = `
database: postgres://app@db/app
log: {level: warn, format: json}
worker:
  lanes: 4
  page_keys: 500
  portion_bytes: 4MiB
  memory_bytes: 64MiB
  batch_records: 100
  batch_bytes: 1048576
  lease: 10s
  slice: 1m30s
  linger: 1s
  patience: 2s
  request: 3s
  save_every: 100ms
  retention: 7d
  zombie: 1h
  late: 1m
  poll: true
  refuse_copy: true
  retry_first: 2m
  retry_most: 1h
  park_limit: none
kinds:
  file:
    table: app.files
    key: path
    dependants:
      symbol: select id from app.symbols where file = any($1)
  symbol:
    table: app.symbols
    key: [file, name]
    per_row: true
backends:
  search:
    type: store
    settings:
      addresses: [http://one, http://two]
      pool: 8
      ratio: 0.5
      tls: true
      nothing: null
      nested: {deep: "1"}
projections:
  - kind: file
    backend: search
    target: files
    query: select path as key from app.files where path = any($1)
    settings: {shards: 2}
alerts:
  clear: 2m
  group: 10s
  remind: 1d
  runbook: https://wiki/runbook
  failing: 3m
  degraded: 1h
  lag: 10m
  parked: 5
  refusals: 20
  absent: 2m
  log_bytes: 1GiB
  disk_bytes: 100GiB
  transaction: 1h
  horizon: 2h
  off: [log-large, lag-high]
  webhooks:
    - url: https://hooks/one
    - {name: chat, url: http://hooks/two, format: slack, secret: s, headers: {Authorization: Bearer x}}
`

// Every field of the file arrives, typed, in the order of the file.
func TestParseWhole(t *testing.T) {
	t.Parallel()
	want := &Config{
		Name:     "outflow.yaml",
		Database: "postgres://app@db/app",
		Log:      Log{Level: slog.LevelWarn, Format: "json"},
		Worker: jobs.Settings{
			Lanes: 4, PageKeys: 500, PortionBytes: 4 << 20, MemoryBytes: 64 << 20, BatchRecords: 100, BatchBytes: 1 << 20,
			Lease: 10 * time.Second, Slice: 90 * time.Second, Linger: time.Second, Patience: 2 * time.Second,
			Request: 3 * time.Second, SaveEvery: 100 * time.Millisecond, Retention: 7 * 24 * time.Hour,
			Zombie: time.Hour, Late: time.Minute, Poll: true, RefuseCopy: true,
			RetryFirst: 2 * time.Minute, RetryMost: time.Hour, ParkLimit: jobs.NoParkLimit,
		},
		Kinds: []Kind{
			{
				Name: "file", Table: "app.files", Key: []string{"path"}, Line: 26,
				Dependants: map[string]string{"symbol": "select id from app.symbols where file = any($1)"},
			},
			{Name: "symbol", Table: "app.symbols", Key: []string{"file", "name"}, PerRow: true, Line: 31},
		},
		Backends: []Backend{{Name: "search", Type: "store", Line: 36, Settings: map[string]any{
			"addresses": []any{"http://one", "http://two"}, "pool": 8, "ratio": 0.5, "tls": true, "nothing": nil,
			"nested": map[string]any{"deep": "1"},
		}}},
		Projections: []Projection{{
			Kind: "file", Backend: "search", Target: "files", Line: 46,
			Query: "select path as key from app.files where path = any($1)", Settings: map[string]any{"shards": 2},
		}},
		Alerts: alerts.Settings{
			Clear: 2 * time.Minute, Group: 10 * time.Second, Remind: 24 * time.Hour, Runbook: "https://wiki/runbook", Failing: 3 * time.Minute,
			Degraded: time.Hour, Lag: 10 * time.Minute, Parked: 5, Refusals: 20, Absent: 2 * time.Minute, LogBytes: 1 << 30, DiskBytes: 100 << 30,
			Transaction: time.Hour, Horizon: 2 * time.Hour, Off: []string{"log-large", "lag-high"},
			Webhooks: []alerts.Webhook{
				{Name: "webhook-1", URL: "https://hooks/one"},
				{Name: "chat", URL: "http://hooks/two", Format: "slack", Secret: "s", Headers: map[string]string{"Authorization": "Bearer x"}},
			},
		},
	}
	if diff := cmp.Diff(want, parse(t, whole, environment(nil))); diff != "" {
		t.Error(diff)
	}
}

// An empty file is a configuration: everything has a default, and the database comes from the environment.
func TestParseEmpty(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "# nothing\n", "kinds:\nbackends:\nprojections:\nlog:\nworker:\n"} {
		want := &Config{Name: "outflow.yaml", Database: "postgres://localhost/app", Log: Log{Format: "text"}}
		if diff := cmp.Diff(want, parse(t, text, someDatabase)); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

// A backend without settings has none, but not nil.
func TestParseBackendDefaults(t *testing.T) {
	t.Parallel()
	c := parse(t, "backends: {a: {type: store}}", someDatabase)
	if diff := cmp.Diff([]Backend{{Name: "a", Type: "store", Settings: map[string]any{}, Line: 1}}, c.Backends); diff != "" {
		t.Error(diff)
	}
}

// A kind without a table is one of outbox.records: nothing else needs to be said of it.
func TestParseKindWithoutTable(t *testing.T) {
	t.Parallel()
	c := parse(t, `
kinds: {note: }
backends: {b: {type: store}}
projections: [{kind: note, backend: b, target: notes, query: $1}]
`, someDatabase)
	if diff := cmp.Diff([]Kind{{Name: "note", Line: 2}}, c.Kinds); diff != "" {
		t.Error(diff)
	}
}

// A single key column may stand without a list, and dependants may form a diamond.
func TestParseDiamondOfDependants(t *testing.T) {
	t.Parallel()
	parse(t, `
kinds:
  a: {table: a, dependants: {b: select $1, c: select $1}}
  b: {table: b, dependants: {d: select $1}}
  c: {table: c, dependants: {d: select $1}}
  d: {table: d}
`, someDatabase)
}

// The environment's variables stand in for the file's values, even for wrong ones and for absent parts.
func TestOverrides(t *testing.T) {
	t.Parallel()
	env := environment(map[string]string{
		"OUTFLOW_DATABASE": "postgres://other/app", "OUTFLOW_LOG_LEVEL": "debug", "OUTFLOW_LOG_FORMAT": "json",
		"OUTFLOW_WORKER_LEASE": "3s", "OUTFLOW_WORKER_PAGE_KEYS": "7", "OUTFLOW_WORKER_PORTION_BYTES": "1MiB",
		"OUTFLOW_WORKER_POLL": "true", "OUTFLOW_WORKER_SLICE": "", "OUTFLOW_WORKER_RETENTION": "1h",
	})
	want := &Config{
		Name: "outflow.yaml", Database: "postgres://other/app", Log: Log{Level: slog.LevelDebug, Format: "json"},
		Worker: jobs.Settings{Lease: 3 * time.Second, Slice: 5 * time.Second, PageKeys: 7, PortionBytes: 1 << 20, Poll: true, Retention: time.Hour},
	}
	text := "database: ${UNSET}\nworker: {lease: nonsense, slice: 5s, poll: false}"
	if diff := cmp.Diff(want, parse(t, text, env)); diff != "" {
		t.Error(diff)
	}
}

// The database is the override, else the file's, else DATABASE_URL, else what psql's variables say.
func TestDatabaseComesFromTheFirstThatNamesIt(t *testing.T) {
	t.Parallel()
	all := map[string]string{"OUTFLOW_DATABASE": "host=override", "DATABASE_URL": "host=url", "PGHOST": "pg"}
	got := []string{}
	for _, gone := range []string{"", "OUTFLOW_DATABASE", "DATABASE_URL"} {
		delete(all, gone)
		file := "database: host=file"
		if gone == "DATABASE_URL" {
			file = ""
		}
		got = append(got, parse(t, file, environment(all)).Database)
	}
	all["DATABASE_URL"] = "host=url"
	got = append(got, parse(t, "", environment(all)).Database)
	if diff := cmp.Diff([]string{"host=override", "host=file", "", "host=url"}, got); diff != "" {
		t.Error(diff)
	}
}

// Load reads a file; a relative secret is beside it.
func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "url"), "postgres://u:p@db/app\r\n")
	path := filepath.Join(dir, "outflow.yaml")
	write(t, path, "database: ${file:url}")
	c, err := Load(path, environment(nil))
	if err != nil {
		t.Fatal(err)
	}
	if c.Database != "postgres://u:p@db/app" || c.Name != path {
		t.Errorf("got %+v", *c)
	}
}

// A file that is not there, is a folder, or is huge is an error that names it.
func TestLoadErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	huge := filepath.Join(dir, "huge.yaml")
	write(t, huge, strings.Repeat("#", maxFile+1))
	for path, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): "no such file or directory",
		dir:                             "is a directory",
		huge:                            "the file is larger than 4 MiB",
	} {
		_, err := Load(path, nil)
		if err == nil || err.Error() != path+": "+want {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
