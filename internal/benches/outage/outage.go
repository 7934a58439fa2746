// Package outage measures what an hour of one store's outage costs: the other store's latency, memory and the size of
// PostgreSQL meanwhile, and how fast the store catches up while the load goes on.
//
// The hour is compressed: a minute at sixty times the rate of an application that makes 20 changes a second, of a working
// set of records that change again and again, most of them a small part of it, as records do. What catching up costs
// depends on how many records there are, not on how often they changed, so that the compression changes nothing but the
// sizes of what is waited for. Both stores are the embedded read model, behind gauges, in another database of the server.
package outage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	_ "github.com/outflow-db/outflow/backends/postgres" // the stores
	"github.com/outflow-db/outflow/internal/benches/lab"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

const (
	items   = 5000             // records of the working set
	hour    = 60 * time.Second // of load, sixty times as fast
	calm    = 20 * time.Second // with both stores up, before and after
	warmth  = 3 * time.Second
	perTx   = 12                    // records of a transaction
	between = 10 * time.Millisecond // transactions: with perTx 1200 changes a second
)

// bench is one run.
type bench struct {
	*lab.Lab
	pool     *pgxpool.Pool
	up, down *lab.Gauge
	load     load
	probes   probes
}

// found is what was measured.
type found struct {
	calm, broken sizes         // of PostgreSQL, by the growth in each phase
	missed       int64         // changes that the store missed
	catchUp      time.Duration // until it had all of them
	written      int           // records that were written for that
	outage       time.Duration
	memory       int64 // most, from the beginning of the outage to the end of catching up
}

// Run measures.
func Run(ctx context.Context, l *lab.Lab) ([]lab.Row, error) {
	b := &bench{Lab: l}
	c, err := b.setUp(ctx)
	if err != nil {
		return nil, err
	}
	e, err := l.Start(ctx, c)
	if err != nil {
		return nil, err
	}
	var f found
	loading, stop := context.WithCancel(ctx)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.load.run(loading, b.pool) })
	group.Go(func() error { return b.probes.run(loading, b.pool) })
	group.Go(func() (err error) {
		defer stop()
		f, err = b.phases(ctx)
		return err
	})
	if err := errors.Join(group.Wait(), lab.CaughtUp(ctxless(ctx), b.pool), e.Stop()); err != nil {
		return nil, err
	}
	return b.rows(f)
}

// ctxless is for what is done after the group, whose context has ended, has done its work.
func ctxless(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

func (b *bench) setUp(ctx context.Context) (c jobs.Config, err error) {
	store, err := b.ReadModel(ctx, "outage")
	if err != nil {
		return c, err
	}
	if c.Pool, err = b.Database(ctx, "source", 24); err != nil {
		return c, err
	}
	b.pool = c.Pool
	b.up = &lab.Gauge{Behind: store.At("up"), Applied: b.probes.applied}
	b.down = &lab.Gauge{Behind: store.At("down")}
	if _, err = c.Pool.Exec(ctx, fmt.Sprintf(`create schema bench;
create table bench.items (id bigint primary key, n bigint not null, doc text not null) with (fillfactor = 50);
insert into bench.items select i, 0, repeat('the words of item ' || i || ' ', 10) from generate_series(-%d, %d) i where i <> 0`, probeItems, items)); err != nil {
		return c, fmt.Errorf("making items: %w", err)
	}
	c.Kinds = []outbox.Kind{{Name: "item", Table: "bench.items"}}
	for name, g := range map[string]*lab.Gauge{"up": b.up, "down": b.down} {
		c.Backends = append(c.Backends, g.Config(name))
		c.Projections = append(c.Projections, jobs.Projection{
			Kind: "item", Backend: name, Target: "items",
			Query: `select i.id::text as key, i.n, i.doc from bench.items i where i.id = any($1::text[]::bigint[])`,
		})
	}
	return c, b.Fill(ctx, c)
}

// phases breaks one of the stores while the load goes on.
func (b *bench) phases(ctx context.Context) (f found, err error) {
	if err := lab.Rest(ctx, b.Span(warmth, warmth/10)); err != nil {
		return f, err
	}
	if f.calm, err = b.growth(ctx, bothUp, b.Span(calm, calm/10)); err != nil {
		return f, err
	}
	if err := lab.ResetPeak(); err != nil {
		return f, err
	}
	b.down.Break()
	began, before := time.Now(), b.load.changes.Load()
	if f.broken, err = b.growth(ctx, oneDown, b.Span(hour, hour/10)); err != nil {
		return f, err
	}
	f.outage, f.missed = time.Since(began), b.load.changes.Load()-before
	if err := b.catchUp(ctx, &f); err != nil {
		return f, err
	}
	m, err := lab.OwnMemory()
	if err != nil {
		return f, err
	}
	f.memory = m.Peak
	_, err = b.growth(ctx, bothUp, b.Span(calm, calm/10))
	return f, err
}

// catchUp mends the store and waits until it has all that was committed before.
func (b *bench) catchUp(ctx context.Context, f *found) error {
	b.probes.now(catchingUp)
	at, err := outbox.Now(ctx, b.pool)
	if err != nil {
		return err
	}
	b.down.Reset()
	begun := time.Now()
	b.down.Mend()
	for passed := false; !passed; {
		if passed, err = outbox.Passed(ctx, b.pool, "down", at); err != nil {
			return err
		}
		if err := lab.Rest(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	f.catchUp = time.Since(begun)
	f.written, _ = b.down.Records()
	b.Say("an outage of %v, %d changes missed, caught up in %v with %d records", f.outage, f.missed, f.catchUp, f.written)
	return nil
}

// growth is by how much PostgreSQL grows in a phase.
func (b *bench) growth(ctx context.Context, p phase, length time.Duration) (s sizes, err error) {
	b.probes.now(p)
	before, err := b.sizes(ctx)
	if err != nil {
		return s, err
	}
	if err := lab.Rest(ctx, length); err != nil {
		return s, err
	}
	after, err := b.sizes(ctx)
	return after.minus(before), err
}
