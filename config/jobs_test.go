package config

import (
	"log/slog"
	"testing"
	"time"

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

// A backend is verified as the file says for all, where it does not say otherwise itself; wherever in the file that
// stands.
func TestVerify(t *testing.T) {
	t.Parallel()
	c := parse(t, `
backends:
  plain: {type: store}
  own: {type: store, verify: {every: 7d, deep: true, dangling: true}, worker: {lanes: 2}}
  never: {type: store, verify: off}
verify: {every: 24h, from: 02:00, to: "05:30", zone: Europe/Berlin, repair: true, rate: 20000}
`, someDatabase)
	all := jobs.Schedule{Every: 24 * time.Hour, From: 120, To: 330, Zone: "Europe/Berlin", Repair: true, Rate: 20_000}
	own := all
	own.Every, own.Deep, own.Dangling = 7*24*time.Hour, true, true
	want := map[string]jobs.Limits{"plain": {Verify: all}, "own": {Lanes: 2, Verify: own}}
	if diff := cmp.Diff(want, c.Jobs(nil, nil).Limits); diff != "" {
		t.Error(diff)
	}
	c = parse(t, `backends: {plain: {type: store}}`, environment(map[string]string{"DATABASE_URL": "host=x", "OUTFLOW_VERIFY_EVERY": "1h"}))
	if got := c.Jobs(nil, nil).Limits["plain"].Verify; got != (jobs.Schedule{Every: time.Hour}) {
		t.Errorf("by the environment: %+v", got)
	}
}
