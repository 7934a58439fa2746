// Package drain measures how fast an engine empties a backlog into a real store, against a loop that copies the same
// rows by hand: one SELECT of everything, batches of 1000, two writes in flight.
//
// Both write into the same server, each goes first in every other round, and the store has taken the rows once before. The rate is taken between the start of the first write and the end of the last.
package drain

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime/pprof"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/ast"
	"github.com/outflow-db/outflow/backends"
	_ "github.com/outflow-db/outflow/backends/postgres" // the store
	"github.com/outflow-db/outflow/examples/gosource/gosource"
	"github.com/outflow-db/outflow/internal/benches/lab"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// bench is one run.
type bench struct {
	*lab.Lab
	store   lab.Store
	pool    *pgxpool.Pool
	records int
}

// result is one round of a contender.
type result struct {
	rate           float64       // records a second
	write          time.Duration // one write, mean
	flight         float64       // writes under way, mean
	start          time.Duration
	worker, server time.Duration // processor time
	records        int
}

// Run measures the embedded read model, in another database of the same server.
func Run(ctx context.Context, l *lab.Lab) ([]lab.Row, error) {
	store, err := l.ReadModel(ctx, "drain")
	if err != nil {
		return nil, err
	}
	return Into(ctx, l, store)
}

// Into measures a store.
func Into(ctx context.Context, l *lab.Lab, store lab.Store) ([]lab.Row, error) {
	b := &bench{Lab: l, store: store}
	n := l.Size(store.Rounds, 1)
	if err := b.setUp(ctx, n); err != nil {
		return nil, err
	}
	if _, err := b.copied(ctx, "warm", store.Batch, b.records); err != nil { // a store's code is fast when it has run
		return nil, err
	}
	var engine, loop []result
	for i := range n {
		turns := []func() error{b.turn(ctx, i, "engine", b.engine, &engine), b.turn(ctx, i, "loop", b.loop, &loop)}
		for j := range turns {
			if err := turns[(i+j)%2](); err != nil {
				return nil, err
			}
		}
		l.Say("round %d: engine %.0f/s, %.2f writes at once; loop %.0f/s, %.2f", i+1, engine[i].rate, engine[i].flight, loop[i].rate, loop[i].flight)
	}
	single, err := b.single(ctx)
	if err != nil {
		return nil, err
	}
	return rows(store.Bench, engine, loop, single), b.compare(ctx, n)
}

// turn is one round of a contender, on a calm server. In a profile its samples have the label contender.
func (b *bench) turn(ctx context.Context, round int, contender string, run func(context.Context, int) (result, error), into *[]result) func() error {
	return func() (err error) {
		if err := b.Calm(ctx); err != nil {
			return err
		}
		pprof.Do(ctx, pprof.Labels("contender", contender), func(ctx context.Context) {
			var r result
			r, err = run(ctx, round)
			*into = append(*into, r)
		})
		return err
	}
}

// setUp registers a backend for each round and makes the backlog that all of them have.
func (b *bench) setUp(ctx context.Context, rounds int) (err error) {
	if b.pool, err = b.Database(ctx, b.store.Bench, 2*rounds+12); err != nil {
		return err
	}
	if _, err := b.pool.Exec(ctx, `create schema bench; create table bench.vectors (id uuid primary key, vector real[] not null)`); err != nil {
		return fmt.Errorf("making a table: %w", err)
	}
	c := jobs.Config{Pool: b.pool, Kinds: []outbox.Kind{lab.SymbolKind}}
	for i := range rounds {
		c.Backends = append(c.Backends, b.store.Gauge(name("engine", i)).Config(name("engine", i)))
		c.Projections = append(c.Projections, b.store.Projection(name("engine", i)))
	}
	if err := b.Fill(ctx, c); err != nil {
		return err
	}
	files := b.Files(ctx, 0, gosource.Options{NoEmbeddings: true})
	loaded, err := ast.Load(ctx, b.pool, symbolsOnly(files, b.Size(100_000, 1000)), ast.Options{BatchRows: 1000})
	if err != nil {
		return err
	}
	b.records = int(loaded.Symbols.Inserted)
	if b.store.Vectors {
		if err := lab.AddVectors(ctx, b.pool); err != nil {
			return err
		}
	}
	b.Say("%d symbols are waiting, in %d transactions", b.records, loaded.Batches)
	if _, err := b.pool.Exec(ctx, "vacuum analyze"); err != nil {
		return fmt.Errorf("vacuum: %w", err)
	}
	return nil
}

// symbolsOnly leaves out what is not copied, and ends when there are enough symbols.
func symbolsOnly(files iter.Seq2[*ast.SourceFile, error], enough int) iter.Seq2[*ast.SourceFile, error] {
	return func(yield func(*ast.SourceFile, error) bool) {
		n := 0
		for f, err := range files {
			if f != nil {
				f.Relations = nil
				n += len(f.Symbols)
			}
			if !yield(f, err) || n >= enough {
				return
			}
		}
	}
}

func name(contender string, round int) string { return fmt.Sprintf("%s%d", contender, round) }

// engine drains the backlog of the round's backend.
func (b *bench) engine(ctx context.Context, round int) (r result, err error) {
	name := name("engine", round)
	g := b.store.Gauge(name)
	c := jobs.Config{
		Pool: b.pool, Kinds: []outbox.Kind{lab.SymbolKind},
		Backends: []backends.Config{g.Config(name)}, Projections: []jobs.Projection{b.store.Projection(name)},
	}
	m, err := b.begin(g)
	if err != nil {
		return r, err
	}
	e, err := b.Start(ctx, c)
	if err != nil {
		return r, err
	}
	if err = g.Await(ctx, b.records); err == nil {
		r, err = m.end()
	}
	return r, errors.Join(err, e.Stop())
}

// measurement is a contender's round under way.
type measurement struct {
	g     *lab.Gauge
	meter *lab.Meter
	begun time.Time
}

func (b *bench) begin(g *lab.Gauge) (*measurement, error) {
	meter, err := b.Meter()
	return &measurement{g, meter, time.Now()}, err
}

// end takes the rate between the first write and the last.
func (m *measurement) end() (r result, err error) {
	r.worker, r.server, err = m.meter.Read()
	calls := m.g.Calls()
	first, last := calls[0].Start, calls[0].End
	for _, c := range calls {
		r.rate += float64(c.Records)
		r.records += c.Records
		r.flight += c.End.Sub(c.Start).Seconds()
		if c.Start.Before(first) {
			first = c.Start
		}
		if c.End.After(last) {
			last = c.End
		}
	}
	took := last.Sub(first).Seconds()
	r.rate, r.flight = r.rate/took, r.flight/took
	r.start = first.Sub(m.begun)
	r.write = time.Duration(r.flight * took / float64(len(calls)) * float64(time.Second))
	return r, err
}
