package drain

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"golang.org/x/sync/errgroup"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/projection"
)

// singles is how many records are written one by one.
const singles = 2000

// loop copies the rows as one would by hand. What it writes into is prepared before.
func (b *bench) loop(ctx context.Context, round int) (r result, err error) {
	name := name("loop", round)
	return b.copied(ctx, name, b.store.Batch, b.records)
}

// single copies some of the rows one by one.
func (b *bench) single(ctx context.Context) (r result, err error) {
	if err := b.Calm(ctx); err != nil {
		return r, err
	}
	return b.copied(ctx, "single", 1, b.Size(singles, 50))
}

// copied copies so many rows into an instance, in batches of this size.
func (b *bench) copied(ctx context.Context, name string, size, records int) (r result, err error) {
	g := b.store.Gauge(name)
	store, err := g.Open(ctx, name)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	target, layout, err := b.describe(ctx, store)
	if err != nil {
		return r, err
	}
	if err := store.Prepare(ctx, []backends.Target{target}); err != nil {
		return r, err
	}
	m, err := b.begin(g)
	if err != nil {
		return r, err
	}
	if err := b.copy(ctx, copying{store, target, layout, size, records}); err != nil {
		return r, err
	}
	return m.end()
}

// describe is the engine's own description of the projection.
func (b *bench) describe(ctx context.Context, store backends.Backend) (t backends.Target, l backends.Layout, err error) {
	p := b.store.Projection("")
	t = backends.Target{Kind: p.Kind, Name: p.Target, Settings: p.Settings}
	if t.Columns, _, err = projection.Describe(ctx, b.pool, p.Query); err != nil {
		return t, l, err
	}
	l, err = store.Layout(t)
	return t, l, err
}

// copying is a copy of so many records, in batches of a size.
type copying struct {
	store         backends.Backend
	target        backends.Target
	layout        backends.Layout
	size, records int
}

// copy reads everything with one query and writes it with two writers.
func (b *bench) copy(ctx context.Context, c copying) error {
	group, ctx := errgroup.WithContext(ctx)
	batches := make(chan []backends.Record, 1)
	group.Go(func() error {
		defer close(batches)
		return b.read(ctx, c, batches)
	})
	for range 2 {
		group.Go(func() error {
			for batch := range batches {
				if err := write(ctx, c.store, c.target, batch); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// read makes batches of rows.
func (b *bench) read(ctx context.Context, c copying, to chan<- []backends.Record) error {
	rows, err := b.pool.Query(ctx, projection.SQL(b.store.All(), c.layout), projection.Formats(c.layout), []string{})
	if err != nil {
		return fmt.Errorf("reading symbols: %w", err)
	}
	defer rows.Close()
	batch, left := make([]backends.Record, 0, c.size), c.records
	send := func() error {
		select {
		case to <- batch:
			batch = make([]backends.Record, 0, c.size)
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for record, err := range projection.Read(rows, c.layout, 1) {
		if err != nil {
			return fmt.Errorf("reading symbols: %w", err)
		}
		if batch = append(batch, record); len(batch) == c.size {
			if err := send(); err != nil {
				return err
			}
		}
		if left--; left == 0 {
			break
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return send()
}

// write writes a batch and looks at every answer.
func write(ctx context.Context, store backends.Backend, target backends.Target, batch []backends.Record) error {
	results, err := store.Write(ctx, target, batch)
	if err != nil {
		return err
	}
	for i, r := range results {
		if r.Outcome != backends.Applied {
			return fmt.Errorf("record %s was not applied: %w", batch[i].Key, r.Err)
		}
	}
	return nil
}

// compare fails if engine and loop left different records behind.
func (b *bench) compare(ctx context.Context, rounds int) error {
	for i := range rounds {
		var held [2]map[string]backends.Digest
		for j, contender := range []string{"engine", "loop"} {
			store, err := b.store.Gauge(name(contender, i)).Open(ctx, contender)
			if err != nil {
				return err
			}
			target, _, err := b.describe(ctx, store)
			if err != nil {
				return errors.Join(err, store.Close())
			}
			held[j] = map[string]backends.Digest{}
			err = store.Scan(ctx, target, func(page []backends.Entry) error {
				for _, e := range page {
					held[j][e.Key] = e.Digest
				}
				return nil
			})
			if err := errors.Join(err, store.Close()); err != nil {
				return err
			}
		}
		if len(held[0]) != b.records || !maps.Equal(held[0], held[1]) {
			return fmt.Errorf("round %d: the engine left %d records and the loop %d, or others: want the same %d", i+1, len(held[0]), len(held[1]), b.records)
		}
	}
	return nil
}
