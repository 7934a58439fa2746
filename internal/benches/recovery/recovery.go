// Package recovery measures how soon an engine writes again to a store that comes back after an outage, while changes
// go on being made.
package recovery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/benches/lab"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

const (
	tries  = 5
	outage = 10 * time.Second
	every  = 20 * time.Millisecond // between changes
	items  = 1000
)

// Run measures.
func Run(ctx context.Context, l *lab.Lab) ([]lab.Row, error) {
	g := &lab.Gauge{}
	c, err := setUp(ctx, l, g)
	if err != nil {
		return nil, err
	}
	e, err := l.Start(ctx, c)
	if err != nil {
		return nil, err
	}
	var took []time.Duration
	changing, stop := context.WithCancel(ctx)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return change(changing, c.Pool) })
	group.Go(func() (err error) {
		defer stop()
		took, err = outages(ctx, l, g)
		return err
	})
	if err := errors.Join(group.Wait(), e.Stop()); err != nil {
		return nil, err
	}
	longest := lab.Quantile(took, 1)
	return []lab.Row{
		lab.AtMost("recovery: store is back to first write, p50", lab.Median(took).Seconds(), "s", 5).With(fmt.Sprintf("%d outages of %v", len(took), outage)),
		lab.AtMost("recovery: store is back to first write, longest", longest.Seconds(), "s", 30),
	}, nil
}

func setUp(ctx context.Context, l *lab.Lab, g *lab.Gauge) (c jobs.Config, err error) {
	if c.Pool, err = l.Database(ctx, "source", 16); err != nil {
		return c, err
	}
	if _, err = c.Pool.Exec(ctx, fmt.Sprintf(`create schema bench;
create table bench.items (id bigint primary key, n bigint not null);
insert into bench.items select i, 0 from generate_series(0, %d) i`, items-1)); err != nil {
		return c, fmt.Errorf("making items: %w", err)
	}
	c.Kinds = []outbox.Kind{{Name: "item", Table: "bench.items"}}
	c.Backends = []backends.Config{g.Config("store")}
	c.Projections = []jobs.Projection{{
		Kind: "item", Backend: "store", Target: "items",
		Query: `select i.id::text as key, i.n from bench.items i where i.id = any($1::text[]::bigint[])`,
	}}
	return c, l.Fill(ctx, c)
}

// change makes changes until ctx ends.
func change(ctx context.Context, pool *pgxpool.Pool) error {
	for n := 1; ctx.Err() == nil; n++ {
		_, err := pool.Exec(ctx, `update bench.items set n = $2 where id = $1`, n%items, n)
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("changing an item: %w", err)
		}
		_ = lab.Rest(ctx, every) // it only fails when ctx ends
	}
	return nil
}

// outages breaks the store again and again, and takes how long it is not written to after it is back.
func outages(ctx context.Context, l *lab.Lab, g *lab.Gauge) (took []time.Duration, err error) {
	for i := range l.Size(tries, 1) {
		if err := lab.Rest(ctx, l.Span(time.Second, time.Second)); err != nil {
			return nil, err
		}
		g.Break()
		// The outages differ a little, so that they do not all end at the same point of a pause.
		if err := lab.Rest(ctx, l.Span(outage, time.Second)+time.Duration(i)*173*time.Millisecond); err != nil {
			return nil, err
		}
		select {
		case d := <-g.Mend():
			took = append(took, d)
			l.Say("outage %d: written to again after %v", i+1, d)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return took, nil
}
