package faults_test

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/postgres"
	"github.com/outflow-db/outflow/integration/faults"
	"github.com/outflow-db/outflow/internal/pgserver"
	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// world is a table that an engine projects into a database behind a proxy.
type world struct {
	t      *testing.T
	proxy  *faults.Proxy
	source *pgxpool.Pool
	store  string // the store's address, past the proxy
	c      jobs.Config
	n      int // transactions written
}

// newWorld runs an engine until the end of the test. The store is at the address; empty: a database of its own.
func newWorld(t *testing.T, store string) *world {
	t.Helper()
	if store == "" {
		store = pgtest.URL(t, pgtest.Empty(t))
	}
	u, err := url.Parse(store)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: store, proxy: faults.New(t, u.Host), source: pgtest.New(t)}
	w.exec(`create table item (id int primary key, v text)`)
	u.Host = w.proxy.Addr()
	w.c = jobs.Config{
		Pool: w.source, Kinds: []outbox.Kind{{Name: "item", Table: "item"}},
		Backends: []backends.Config{{Name: "far", Type: postgres.Type, Settings: map[string]any{"url": u.String()}}},
		Projections: []jobs.Projection{{
			Kind: "item", Backend: "far", Target: "items", Query: `select id as key, v from item where id = any($1::text[]::int[])`,
		}},
		Settings: jobs.Settings{
			Lease: 2 * time.Second, Linger: 200 * time.Millisecond, Patience: 2 * time.Second, Request: time.Second,
			Late: 2 * time.Second, PageKeys: 50, BatchRecords: 10,
		},
	}
	w.run()
	return w
}

// run runs the engine until the end of the test.
func (w *world) run() {
	w.t.Helper()
	if err := jobs.Setup(w.t.Context(), w.c); err != nil {
		w.t.Fatal(err)
	}
	e, err := jobs.New(w.t.Context(), w.c)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("the engine ended with: %v", err)
		}
	})
}

func (w *world) exec(sql string) {
	w.t.Helper()
	if _, err := w.source.Exec(w.t.Context(), sql); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// write commits a transaction that inserts, changes and deletes rows, and answers its token.
func (w *world) write() (token string) {
	w.t.Helper()
	w.n++
	err := pgx.BeginFunc(w.t.Context(), w.source, func(tx pgx.Tx) error {
		for _, sql := range []string{
			`insert into item select $1::int * 100 + g, 'new' from generate_series(1, 60) g`,
			`update item set v = 'changed by ' || $1::int where id % 7 = $1::int % 7`,
			`delete from item where id % 31 = $1::int % 31`,
		} {
			if _, err := tx.Exec(w.t.Context(), sql, w.n); err != nil {
				return err
			}
		}
		return tx.QueryRow(w.t.Context(), `select outbox.token()`).Scan(&token)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

func (w *world) wait(token string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	if err := outbox.Wait(ctx, w.source, token); err != nil {
		w.t.Fatal(err)
	}
}

// until waits until a query on the source answers true.
func (w *world) until(sql string) {
	w.t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		var yes bool
		if err := w.source.QueryRow(w.t.Context(), sql).Scan(&yes); err != nil {
			w.t.Fatal(err)
		}
		if yes {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("after a minute still not: %s", sql)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// agrees writes once more, waits, and compares: by jobs.Verify, and by reading both sides.
func (w *world) agrees() {
	w.t.Helper()
	w.wait(w.write())
	report, err := jobs.Verify(w.t.Context(), w.c, jobs.VerifyOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	if got := report.Targets[0]; !report.OK() || got.InFlight != 0 || got.Records == 0 {
		w.t.Fatalf("verify found differences: %+v", got)
	}
	far, err := pgx.Connect(w.t.Context(), w.store)
	if err != nil {
		w.t.Fatal(err)
	}
	defer far.Close(context.WithoutCancel(w.t.Context()))
	want := rows(w.t, w.source, `select id::text, v from item order by id::text collate "C"`)
	got := rows(w.t, far, `select key, body->>'v' from readmodel.items where deleted_at is null order by key collate "C"`)
	if d := cmp.Diff(want, got); d != "" {
		w.t.Fatalf("the store differs (-want +got):\n%s", d)
	}
}

func rows(t *testing.T, db outbox.DB, sql string) [][2]string {
	t.Helper()
	found, err := db.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(found, pgx.RowToStructByPos[struct{ Key, V string }])
	if err != nil {
		t.Fatal(err)
	}
	list := make([][2]string, 0, len(all))
	for _, r := range all {
		list = append(list, [2]string{r.Key, r.V})
	}
	return list
}

// Connections that are slow and cut again and again, after any number of bytes, lose nothing.
func TestEngineCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.wait(w.write())
	w.proxy.SetLatency(time.Millisecond)
	for i := range 20 {
		token := w.write()
		w.proxy.CutAfter(int64(i * 40))
		w.wait(token)
		w.proxy.Cut()
	}
	w.proxy.SetLatency(0)
	w.proxy.CutAfter(-1)
	w.agrees()
}

// Requests into a black hole time out, and their keys are suspect; what arrives late does no harm.
func TestEngineFrozen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.wait(w.write())
	w.proxy.FreezeAt(`insert into "readmodel"."items"`)
	w.write()
	w.until(`select exists (select from outbox.suspects)`)
	w.write()
	w.proxy.Thaw()
	w.agrees()
	w.until(`select not exists (select from outbox.suspects)`)
	w.agrees()
}

// A store that cannot be reached for longer than a job is patient is written to when it is back.
func TestEngineRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.wait(w.write())
	w.proxy.Refuse(true)
	w.proxy.Cut()
	w.write()
	w.until(`select exists (select from river.river_job where kind = 'project' and state in ('retryable', 'scheduled', 'available') and attempt > 0)
	      or exists (select from outbox.backends where paused_by = 'breaker')`)
	w.proxy.Refuse(false)
	w.agrees()
}

// A write that the store has committed, and whose answer is lost, is suspect and sent again.
func TestEngineLostAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.wait(w.write())
	w.proxy.LoseAnswer(`insert into "readmodel"."items"`)
	w.wait(w.write())
	if n := w.proxy.Lost(); n != 1 {
		t.Fatalf("%d answers were lost, want 1", n)
	}
	w.until(`select exists (select from outbox.suspects) or exists (select from outbox.log where headers->>'suspect' = 'true')`)
	w.agrees()
}

// A store that crashes and is restarted, again and again, loses nothing that it has acknowledged.
func TestEngineRestartedStore(t *testing.T) {
	t.Parallel()
	cfg := pgtest.Config()
	cfg.Settings = map[string]string{"max_connections": "20"} // it flushes to disk, as a store does
	server, err := pgserver.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	w := newWorld(t, server.URL("postgres"))
	w.wait(w.write())
	for i := range 3 {
		for range 3 {
			w.write()
		}
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		w.proxy.Cut()
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(fmt.Errorf("restart %d: %w", i+1, err))
		}
	}
	w.agrees()
}
