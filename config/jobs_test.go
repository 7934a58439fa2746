package config

import (
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// The engine gets everything that the file says.
func TestJobs(t *testing.T) {
	t.Parallel()
	c := parse(t, `
worker: {lanes: 3, poll: true}
kinds:
  file: {table: app.files, key: [a, b], per_row: true, dependants: {note: select $1}}
  note: 
  word: {list: select key from app.words}
backends: {search: {type: store, settings: {x: 1}}}
projections: [{kind: file, backend: search, target: files, query: $1, settings: {y: 2}}]
`, someDatabase)
	logger := slog.New(slog.DiscardHandler)
	want := jobs.Config{
		Kinds:       []outbox.Kind{{Name: "file", Table: "app.files", Key: []string{"a", "b"}, PerRow: true, Dependants: map[string]string{"note": "select $1"}}, {Name: "note"}, {Name: "word", List: "select key from app.words"}},
		Backends:    []backends.Config{{Name: "search", Type: "store", Settings: map[string]any{"x": 1}}},
		Projections: []jobs.Projection{{Kind: "file", Backend: "search", Target: "files", Query: "$1", Settings: map[string]any{"y": 2}}},
		Settings:    jobs.Settings{Lanes: 3, Poll: true},
		Logger:      logger,
	}
	if diff := cmp.Diff(want, c.Jobs(nil, logger), cmpopts.EquateComparable(logger)); diff != "" {
		t.Error(diff)
	}
}

// A read model is in the database of the truth unless its url says otherwise.
func TestReadModelIsInTheSameDatabase(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config Config
		want   any
	}{
		{Config{Database: "postgres://h/d", Backends: []Backend{{Type: "postgres"}}}, "postgres://h/d"},
		{Config{Backends: []Backend{{Type: "postgres"}}}, "application_name=outflow"},
		{Config{Database: "postgres://h/d", Backends: []Backend{{Type: "postgres", Settings: map[string]any{"url": "x"}}}}, "x"},
		{Config{Database: "postgres://h/d", Backends: []Backend{{Type: "store"}}}, nil},
	} {
		if got := c.config.Jobs(nil, nil).Backends[0].Settings["url"]; got != c.want {
			t.Errorf("got %v, want %v", got, c.want)
		}
	}
}
