// Package busy measures what an engine at work costs the writers that it follows: the rate of single-row transactions
// of eight clients with an engine and without, and how many of them had to wake it. The store costs nothing.
package busy

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/benches/lab"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

const (
	clients = 8
	rounds  = 5
	length  = 5 * time.Second // of a turn
)

// result is a turn.
type result struct {
	rate  float64 // transactions a second
	woken float64 // share of them that sent a notification
}

// Run measures.
func Run(ctx context.Context, l *lab.Lab) ([]lab.Row, error) {
	c, err := setUp(ctx, l)
	if err != nil {
		return nil, err
	}
	var with, without []float64
	var woken []float64
	for i := range l.Size(rounds, 1) {
		alone, err := turn(ctx, l, c.Pool)
		if err != nil {
			return nil, err
		}
		followed, err := followed(ctx, l, c)
		if err != nil {
			return nil, err
		}
		with, without, woken = append(with, followed.rate), append(without, alone.rate), append(woken, followed.woken)
		l.Say("round %d: %.0f/s alone, %.0f/s with an engine, %.3f of them notified", i+1, alone.rate, followed.rate, followed.woken)
	}
	ratios := lab.Ratios(with, without)
	return []lab.Row{
		lab.Fact("busy: single-row transactions with an engine at work against none", lab.Median(ratios), "x").With(lab.Rounds(ratios)),
		lab.Fact("busy: single-row transactions with an engine at work", lab.Median(with), "tx/s"),
		lab.Fact("busy: transactions that had to wake the engine", 100*lab.Median(woken), "%"),
	}, nil
}

func setUp(ctx context.Context, l *lab.Lab) (c jobs.Config, err error) {
	if c.Pool, err = l.Database(ctx, "source", clients+16); err != nil {
		return c, err
	}
	if _, err = c.Pool.Exec(ctx, `create schema bench;
create table bench.items (id bigint generated always as identity primary key, name text not null)`); err != nil {
		return c, fmt.Errorf("making items: %w", err)
	}
	c.Kinds = []outbox.Kind{{Name: "item", Table: "bench.items"}}
	c.Backends = []backends.Config{(&lab.Gauge{}).Config("null")}
	c.Projections = []jobs.Projection{{
		Kind: "item", Backend: "null", Target: "items",
		Query: `select i.id::text as key, i.name from bench.items i where i.id = any($1::text[]::bigint[])`,
	}}
	return c, l.Fill(ctx, c)
}

// followed is a turn with an engine, which first catches up with the turn before.
func followed(ctx context.Context, l *lab.Lab, c jobs.Config) (r result, err error) {
	e, err := l.Start(ctx, c)
	if err != nil {
		return r, err
	}
	if err = lab.CaughtUp(ctx, c.Pool); err == nil {
		r, err = turn(ctx, l, c.Pool)
	}
	return r, errors.Join(err, lab.CaughtUp(ctx, c.Pool), e.Stop())
}

// turn commits single rows with all clients for a while.
func turn(ctx context.Context, l *lab.Lab, pool *pgxpool.Pool) (r result, err error) {
	if err := l.Calm(ctx); err != nil {
		return r, err
	}
	var notified atomic.Int64
	deaf, err := listen(ctx, pool, &notified)
	if err != nil {
		return r, err
	}
	var n atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	begun := time.Now()
	end := begun.Add(l.Span(length, length/10))
	for range clients {
		group.Go(func() error {
			for ; time.Now().Before(end); n.Add(1) {
				if _, err := pool.Exec(ctx, `insert into bench.items (name) values ('an item with a name')`); err != nil {
					return fmt.Errorf("inserting: %w", err)
				}
			}
			return nil
		})
	}
	err = group.Wait()
	r.rate = float64(n.Load()) / time.Since(begun).Seconds()
	deaf()
	r.woken = float64(notified.Load()) / float64(n.Load())
	return r, err
}

// listen counts notifications until the function that it answers is called.
func listen(ctx context.Context, pool *pgxpool.Pool, n *atomic.Int64) (stop func(), err error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	own := conn.Hijack()
	if _, err := own.Exec(ctx, "listen outbox_wake"); err != nil {
		return nil, errors.Join(fmt.Errorf("listen: %w", err), own.Close(ctx))
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := own.WaitForNotification(ctx); err != nil {
				return // it was told to stop
			}
			n.Add(1)
		}
	}()
	return func() {
		cancel()
		<-done
		_ = own.Close(context.WithoutCancel(ctx)) // what it heard is counted
	}, nil
}
