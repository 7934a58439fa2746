package postgres

import (
	"slices"
	"sync"
	"testing"

	"github.com/outflow-db/outflow/backends"
)

// Two writers of the same keys, in opposite orders, do not deadlock: rows are locked in the order of keys.
func TestWritersDoNotDeadlock(t *testing.T) {
	t.Parallel()
	f := newFixture(t, backends.Target{Kind: "k", Name: "t", Columns: columns("a")})
	var up []backends.Record
	for _, key := range []string{"a", "m", "z"} {
		up = append(up, record(1, key, map[string]any{"a": ""}))
	}
	f.write(up...)
	tx, err := f.admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "select from readmodel.t where key = 'm' for update"); err != nil {
		t.Fatal(err)
	}
	down := slices.Clone(up)
	slices.Reverse(down)
	var writers sync.WaitGroup
	for _, batch := range [][]backends.Record{up, down} {
		writers.Go(func() {
			if _, err := f.Write(t.Context(), f.target, batch); err != nil {
				t.Error(err)
			}
		})
	}
	for waiting := ""; waiting != "2"; {
		waiting = f.strings("select count(*)::text from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()")[0]
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Error(err)
	}
	writers.Wait()
}
