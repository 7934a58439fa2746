package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/migrations"
	"github.com/outflow-db/outflow/outbox"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// world is a database with a watched table, a fake store that follows it, and engines.
type world struct {
	t     *testing.T
	pool  *pgxpool.Pool
	store *fake
	c     jobs.Config
}

// newWorld makes a table item(id, v), watched as kind item and projected into target items of backend main.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, pool: pgtest.New(t), store: newFake(t)}
	w.exec(`create table item (id int primary key, v text)`)
	w.c = jobs.Config{
		Pool: w.pool, Kinds: []outbox.Kind{{Name: "item", Table: "item"}},
		Backends:    []backends.Config{w.store.config(t, "main")},
		Projections: []jobs.Projection{{Kind: "item", Backend: "main", Target: "items", Query: itemQuery}},
		Settings:    jobs.Settings{Lease: 2 * time.Second, Linger: 200 * time.Millisecond, Patience: time.Second},
	}
	return w
}

const itemQuery = `select id as key, v from item where id = any($1::text[]::int[])`

// start sets the configuration up and runs an engine until the test ends, or until the answer is called.
func (w *world) start() (e *jobs.Engine, stop func()) {
	w.t.Helper()
	if err := jobs.Setup(w.t.Context(), w.c); err != nil {
		w.t.Fatal(err)
	}
	return w.run()
}

func (w *world) run() (e *jobs.Engine, stop func()) {
	w.t.Helper()
	e, err := jobs.New(w.t.Context(), w.c)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("the engine ended with: %v", err)
		}
	}
	w.t.Cleanup(stop)
	return e, stop
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.pool.Exec(context.WithoutCancel(w.t.Context()), sql, args...); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// write runs statements in one transaction and answers its token.
func (w *world) write(sql ...string) string {
	w.t.Helper()
	ctx := w.t.Context()
	tx, err := w.pool.Begin(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range sql {
		if _, err := tx.Exec(ctx, s); err != nil {
			w.t.Fatalf("%s: %v", s, err)
		}
	}
	var token string
	err = tx.QueryRow(ctx, `select coalesce(outbox.token(), '')`).Scan(&token)
	if err := errors.Join(err, tx.Commit(ctx)); err != nil {
		w.t.Fatal(err)
	}
	return token
}

// applied writes, and waits until all backends have it.
func (w *world) applied(sql ...string) {
	w.t.Helper()
	w.wait(w.write(sql...))
}

func (w *world) wait(token string, names ...string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	if err := outbox.Wait(ctx, w.pool, token, names...); err != nil {
		w.t.Fatal(err)
	}
}

// drained waits until the log has nothing for any backend.
func (w *world) drained() {
	w.t.Helper()
	eventually(w.t, "the log is drained", func() bool { return value[int](w, `select coalesce(sum(rows), 0)::int from outbox.lag`) == 0 })
}

func value[T any](w *world, sql string, args ...any) T {
	w.t.Helper()
	var v T
	if err := w.pool.QueryRow(context.WithoutCancel(w.t.Context()), sql, args...).Scan(&v); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// agrees checks that target items holds exactly the table's rows, by the test's own comparison.
func (w *world) agrees() {
	w.t.Helper()
	rows, err := w.pool.Query(w.t.Context(), `select id, jsonb_build_object('v', v)::text from item`)
	if err != nil {
		w.t.Fatal(err)
	}
	want := map[string]string{}
	for rows.Next() {
		var id int
		var doc string
		if err := rows.Scan(&id, &doc); err != nil {
			w.t.Fatal(err)
		}
		want[strconv.Itoa(id)] = doc
	}
	if rows.Err() != nil {
		w.t.Fatal(rows.Err())
	}
	if diff := cmp.Diff(want, w.store.holds("items")); diff != "" {
		w.t.Errorf("the store differs from the table (-want +got):\n%s", diff)
	}
}

// river is a client that inserts and changes jobs, as an operator does.
func (w *world) river() *river.Client[pgx.Tx] {
	w.t.Helper()
	client, err := river.NewClient(riverpgxv5.New(w.pool), &river.Config{Schema: migrations.RiverSchema, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	return client
}

// enqueue inserts a job.
func (w *world) enqueue(args river.JobArgs, queue string) {
	w.t.Helper()
	if _, err := w.river().Insert(w.t.Context(), args, &river.InsertOpts{Queue: queue}); err != nil {
		w.t.Fatal(err)
	}
}

// verify compares everything by jobs.Verify.
func (w *world) verify(o jobs.VerifyOptions) *jobs.Report {
	w.t.Helper()
	r, err := jobs.Verify(w.t.Context(), w.c, o)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func rows(n int) string {
	return fmt.Sprintf(`insert into item select g, 'v' || g from generate_series(1, %d) g`, n)
}
