// Package memory measures how much memory a worker needs for a hundred writes at once: four backends with 25 lanes
// each, every one with more waiting than a lane may hold, and a store so slow that a write of each lane is under way.
package memory

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/internal/benches/lab"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

const (
	stores = 4
	lanes  = 25 // of each
)

// load is what waits for the worker.
type load struct {
	name    string
	bytes   int // of a record
	records int
}

// Run measures.
func Run(ctx context.Context, l *lab.Lab) ([]lab.Row, error) {
	var rows []lab.Row
	for _, w := range []load{
		{"records of 1 kB", 1 << 10, l.Size(200_000, 2000)},
		{"records of 1 MB", 1 << 20, l.Size(1000, 50)},
	} {
		r, err := w.measure(ctx, l, fmt.Sprintf("source%d", len(rows)))
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// measure lets an engine work the load in a database of its own.
func (w load) measure(ctx context.Context, l *lab.Lab, database string) (r lab.Row, err error) {
	pool, err := l.Database(ctx, database, 2*stores*lanes+8)
	if err != nil {
		return r, err
	}
	g := &lab.Gauge{Concurrency: 1}
	c := config(pool, g)
	if _, err = pool.Exec(ctx, `create schema bench; create table bench.items (id bigint primary key, doc text not null)`); err != nil {
		return r, err
	}
	if err := l.Fill(ctx, c); err != nil {
		return r, err
	}
	if _, err := pool.Exec(ctx, `insert into bench.items select i, repeat('x', $2::int) from generate_series(1, $1::int) i`, w.records, w.bytes); err != nil {
		return r, fmt.Errorf("making items: %w", err)
	}
	debug.SetMemoryLimit(c.Settings.MemoryLimit()) // as the command does
	g.Reset()
	g.Delay = l.Span(time.Second, 100*time.Millisecond)
	return w.watch(ctx, l, c, g)
}

// watch takes the peak of the memory while the engine works for a while.
func (w load) watch(ctx context.Context, l *lab.Lab, c jobs.Config, g *lab.Gauge) (r lab.Row, err error) {
	if err := lab.ResetPeak(); err != nil {
		return r, err
	}
	e, err := l.Start(ctx, c)
	if err != nil {
		return r, err
	}
	working, cancel := context.WithTimeout(ctx, l.Span(20*time.Second, 2*time.Second))
	defer cancel()
	if err := g.Await(working, stores*w.records); err != nil && ctx.Err() != nil {
		return r, errors.Join(err, e.Stop())
	}
	m, err := lab.OwnMemory()
	if err := errors.Join(err, e.Stop()); err != nil {
		return r, err
	}
	_, most := g.Records()
	l.Say("%s: %d MB, %d writes at once", w.name, m.Peak>>20, most)
	return lab.AtMost("memory: worker with 100 lanes, "+w.name, float64(m.Peak)/(1<<20), "MB", 500).
		With(fmt.Sprintf("peak, resident; %d writes at once", most)), nil
}

func config(pool *pgxpool.Pool, g *lab.Gauge) jobs.Config {
	c := jobs.Config{Pool: pool, Kinds: []outbox.Kind{{Name: "item", Table: "bench.items"}}, Settings: jobs.Settings{Lanes: lanes}}
	for i := range stores {
		name := fmt.Sprintf("store%d", i)
		c.Backends = append(c.Backends, g.Config(name))
		c.Projections = append(c.Projections, jobs.Projection{
			Kind: "item", Backend: name, Target: "items",
			Query: `select i.id::text as key, i.doc from bench.items i where i.id = any($1::text[]::bigint[])`,
		})
	}
	return c
}
