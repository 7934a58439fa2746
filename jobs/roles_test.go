package jobs_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// as makes a role and answers a pool of it. Both are gone at the end of the test.
func (w *world) as(prefix, grants string) (name string, pool *pgxpool.Pool) {
	w.t.Helper()
	config := w.pool.Config()
	name = prefix + "_" + config.ConnConfig.Database
	exec := func(sql string) {
		if _, err := w.pool.Exec(context.Background(), strings.ReplaceAll(sql, "ROLE", name), pgx.QueryExecModeSimpleProtocol); err != nil {
			w.t.Fatalf("%s: %v", sql, err)
		}
	}
	exec(`create role ROLE login password 'secret'; ` + grants)
	w.t.Cleanup(func() { exec(`drop owned by ROLE; drop role ROLE`) })
	config.ConnConfig.User, config.ConnConfig.Password = name, "secret"
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(w.t.Context()), config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(pool.Close)
	return name, pool
}

// workerRights are those of a role that works, and nothing else.
const workerRights = `select outbox.grant_worker('ROLE'); grant select on item to ROLE`

// An engine does all its work as a role with outbox.grant_worker and SELECT on what its projections read: it sets up
// backends, fills them, follows changes, parks, verifies and repairs, pauses, prunes and leaves.
func TestEngineUnderTheWorkersRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Kinds = append(w.c.Kinds, outbox.Kind{Name: "note"})
	w.exec(rows(100))
	if err := jobs.Setup(t.Context(), jobs.Config{Pool: w.pool, Kinds: w.c.Kinds}); err != nil {
		t.Fatal(err)
	}
	_, w.c.Pool = w.as("worker", workerRights)
	w.start()
	w.applied(`update item set v = 'x' where id < 50`, `delete from item where id > 90`, `select outbox.changed('item', '{1,2,3}')`)
	w.drained()
	w.agrees()
	w.store.set(func(f *fake) { delete(f.targets["items"], "7") })
	if r := w.verify(jobs.VerifyOptions{Repair: true}); r.OK() || r.Targets[0].Missing != 1 {
		t.Errorf("verify found %+v, want one missing record", r.Targets)
	}
	w.drained()
	w.agrees()
	w.enqueue(jobs.PruneArgs{}, "maintenance")
	w.enqueue(jobs.VerifyArgs{Backend: "main"}, "maintenance")
	eventually(t, "the jobs are done", func() bool {
		return value[int](w, `select count(*) from river.river_job where kind in ('prune', 'verify') and state = 'completed'`) >= 2
	})
	if n := value[int](w, `select count(*) from river.river_job where errors is not null`); n > 0 {
		t.Errorf("%d jobs failed: %s", n, value[string](w, `select errors[1]::text from river.river_job where errors is not null limit 1`))
	}
}

// A worker from whom row-level security hides rows deletes nothing: its backend pauses and says what is missing, and
// goes on when the role may see all. A verify refuses too.
func TestHiddenRowsAreNotDeletedRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(rows(10))
	if err := jobs.Setup(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	name, pool := w.as("tenant", workerRights)
	w.c.Pool = pool
	w.start()
	w.drained()
	w.exec(`create policy p on item using (id = 1)`)
	w.exec(`alter table item enable row level security`)
	w.write(`update item set v = 'y'`)
	eventually(t, "the backend pauses", func() bool {
		return strings.Contains(value[string](w, `select coalesce(max(paused), '') from outbox.backends`), "row-level security")
	})
	if n := len(w.store.holds("items")); n != 10 {
		t.Errorf("the store has %d records, want all 10", n)
	}
	if _, err := jobs.Verify(t.Context(), w.c, jobs.VerifyOptions{}); err == nil || !strings.Contains(err.Error(), "row-level security") {
		t.Errorf("verify: got %v, want an error about row-level security", err)
	}
	w.exec(`alter role ` + name + ` bypassrls`)
	if err := outbox.Resume(t.Context(), w.pool, "main"); err != nil {
		t.Fatal(err)
	}
	w.drained()
	w.agrees()
}
