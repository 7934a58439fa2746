package jobs_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/postgres"
	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// A table of articles is followed by a read model in PostgreSQL: Setup records what shall be, an engine does it, and
// Verify proves that it was done.
func Example() {
	ctx := context.Background()
	pool, url, done := database() // an application's own, with the migrations applied
	defer done()
	if _, err := pool.Exec(ctx, `create table article (id int primary key, title text, draft boolean not null default false)`); err != nil {
		panic(err)
	}
	config := jobs.Config{
		Pool:     pool,
		Kinds:    []outbox.Kind{{Name: "article", Table: "article"}},
		Backends: []backends.Config{{Name: "search", Type: postgres.Type, Settings: map[string]any{"url": url}}},
		Projections: []jobs.Projection{{
			Kind: "article", Backend: "search", Target: "articles",
			Query:    `select id as key, title from article where id = any($1::text[]::int[]) and not draft`,
			Settings: map[string]any{"text": []string{"title"}},
		}},
	}
	if err := jobs.Setup(ctx, config); err != nil {
		panic(err)
	}
	engine, err := jobs.New(ctx, config)
	if err != nil {
		panic(err)
	}
	running, stop := context.WithCancel(ctx) // in a program: signal.NotifyContext
	ended := make(chan error)
	go func() { ended <- engine.Run(running) }()

	var token string
	if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `insert into article values (1, 'Positions are snapshots', false), (2, 'Keys, not payloads', false), (3, 'Not yet', true)`); err != nil {
			return err
		}
		token, err = outbox.Token(ctx, tx)
		return err
	}); err != nil {
		panic(err)
	}
	if err := outbox.Wait(ctx, pool, token); err != nil {
		panic(err)
	}
	stop()
	if err := <-ended; err != nil {
		panic(err)
	}
	report, err := jobs.Verify(ctx, config, jobs.VerifyOptions{})
	if err != nil {
		panic(err)
	}
	for _, t := range report.Targets {
		fmt.Printf("%s holds %d records of kind %s, and agrees: %t\n", t.Target, t.Records, t.Kind, t.OK())
	}
	// Output: articles holds 2 records of kind article, and agrees: true
}

// database is a migrated database, its address, and how to drop it.
func database() (pool *pgxpool.Pool, url string, done func()) {
	t := &example{}
	pool = pgtest.New(t)
	return pool, pgtest.URL(t, pool), t.end
}

// example is as much of a test as package pgtest needs of one.
type example struct {
	testing.TB
	cleanups []func()
}

func (*example) Helper()                           {}
func (*example) Context() context.Context          { return context.Background() }
func (*example) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (*example) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (*example) Error(args ...any)                 { panic(fmt.Sprint(args...)) }
func (*example) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (e *example) Cleanup(fn func())               { e.cleanups = append(e.cleanups, fn) }

func (e *example) end() {
	for _, fn := range slices.Backward(e.cleanups) {
		fn()
	}
}
