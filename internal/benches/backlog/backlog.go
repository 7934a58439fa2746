// Package backlog measures whether a million changes that wait are worse than a few: the rate in the last quarter of
// their drain against the first, and the memory of the process over it. The store costs nothing.
//
// Each change is a row of the log of its own, as single-row transactions leave them.
package backlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/benches/lab"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

const sampleEvery = 100 * time.Millisecond

// sample is the memory at a moment.
type sample struct {
	at time.Time
	lab.Memory
}

// Run measures.
func Run(ctx context.Context, l *lab.Lab) ([]lab.Row, error) {
	n := l.Size(1_000_000, 20_000)
	pool, err := l.Database(ctx, "source", 16)
	if err != nil {
		return nil, err
	}
	if err := create(ctx, pool); err != nil {
		return nil, err
	}
	g := &lab.Gauge{}
	c := config(pool, g)
	if err := l.Fill(ctx, c); err != nil {
		return nil, err
	}
	begun := time.Now()
	if err := change(ctx, pool, n); err != nil {
		return nil, err
	}
	l.Say("%d changes made in %v", n, time.Since(begun))
	if err := l.Calm(ctx); err != nil {
		return nil, err
	}
	g.Reset()
	samples, err := drain(ctx, l, c, g, n)
	if err != nil {
		return nil, err
	}
	return rows(g.Calls(), samples, n), nil
}

func config(pool *pgxpool.Pool, g *lab.Gauge) jobs.Config {
	return jobs.Config{
		Pool: pool, Kinds: []outbox.Kind{{Name: "item", Table: "bench.items"}},
		Projections: []jobs.Projection{{
			Kind: "item", Backend: "null", Target: "items",
			Query: `select i.id::text as key, i.name, i.doc from bench.items i where i.id = any($1::text[]::bigint[])`,
		}},
		Backends: []backends.Config{g.Config("null")},
	}
}

// create makes the table, and a procedure that fills it row by row, a thousand to a transaction.
func create(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, `create schema bench;
create table bench.items (id bigint primary key, name text not null, doc text not null);
create procedure bench.fill(n bigint) language plpgsql as $$
begin
  for i in 1..n loop
    insert into bench.items values (i, 'item ' || i, repeat('some words ', 20));
    if i % 1000 = 0 then commit; end if;
  end loop;
end $$`)
	if err != nil {
		return fmt.Errorf("making items: %w", err)
	}
	return nil
}

// change makes n changes.
func change(ctx context.Context, pool *pgxpool.Pool, n int) error {
	if _, err := pool.Exec(ctx, `call bench.fill(`+strconv.Itoa(n)+`)`); err != nil {
		return fmt.Errorf("changing items: %w", err)
	}
	if _, err := pool.Exec(ctx, `vacuum analyze`); err != nil {
		return fmt.Errorf("vacuum: %w", err)
	}
	return nil
}

// drain empties the backlog and watches the memory.
func drain(ctx context.Context, l *lab.Lab, c jobs.Config, g *lab.Gauge, n int) ([]sample, error) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	samples := make(chan []sample, 1)
	failed := make(chan error, 1)
	go func() {
		list, err := watch(watching)
		samples <- list
		failed <- err
	}()
	e, err := l.Start(ctx, c)
	if err != nil {
		return nil, err
	}
	err = errors.Join(g.Await(ctx, n), e.Stop())
	stop()
	return <-samples, errors.Join(err, <-failed)
}

// watch samples the memory until ctx ends.
func watch(ctx context.Context) (list []sample, err error) {
	for ctx.Err() == nil {
		m, err := lab.OwnMemory()
		if err != nil {
			return nil, err
		}
		list = append(list, sample{time.Now(), m})
		_ = lab.Rest(ctx, sampleEvery) // it only fails when ctx ends
	}
	return list, nil
}
