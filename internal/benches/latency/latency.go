// Package latency measures how long a committed change takes until it can be read in the store, at a steady rate of
// single changes, against a writer that commits and then writes to the store itself.
//
// What a store's write has answered can be read. Both contenders take turns of a few seconds; the changes of all turns are put together.
package latency

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	_ "github.com/outflow-db/outflow/backends/postgres" // the store
	"github.com/outflow-db/outflow/internal/benches/lab"
	"github.com/outflow-db/outflow/internal/projection"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

const (
	items  = 10_000                // rows that are there; changes go round among them
	every  = 20 * time.Millisecond // 50 changes a second
	rounds = 4
	length = 5 * time.Second // of a turn
	warmth = time.Second     // of changes before it that do not count
)

// bench is one run.
type bench struct {
	*lab.Lab
	store lab.Store
	pool  *pgxpool.Pool
	next  int // number of the next change

	mu        sync.Mutex
	committed map[string]time.Time
	applied   map[string]time.Time
}

// Run measures the embedded read model, in another database of the same server.
func Run(ctx context.Context, l *lab.Lab) ([]lab.Row, error) {
	store, err := l.ReadModel(ctx, "latency")
	if err != nil {
		return nil, err
	}
	return Into(ctx, l, store)
}

// Into measures a store.
func Into(ctx context.Context, l *lab.Lab, store lab.Store) ([]lab.Row, error) {
	b := &bench{Lab: l, store: store}
	if err := b.setUp(ctx); err != nil {
		return nil, err
	}
	var engine, direct []time.Duration
	for i := range l.Size(rounds, 1) {
		e, err := b.engine(ctx)
		if err != nil {
			return nil, err
		}
		d, err := b.direct(ctx)
		if err != nil {
			return nil, err
		}
		l.Say("round %d: engine %v, direct %v", i+1, lab.Median(e), lab.Median(d))
		engine, direct = append(engine, e...), append(direct, d...)
	}
	return rows(store.Bench, engine, direct), nil
}

// rows reports both distributions.
func rows(bench string, engine, direct []time.Duration) []lab.Row {
	at := func(of []time.Duration, q float64) float64 { return lab.Millis(lab.Quantile(of, q)) }
	return []lab.Row{
		lab.AtMost(bench+": engine against synchronous writer, p50", at(engine, 0.5)/at(direct, 0.5), "x", 1.3),
		lab.AtMost(bench+": engine against synchronous writer, p99", at(engine, 0.99)/at(direct, 0.99), "x", 1.8),
		lab.Fact(bench+": engine, commit to readable, p50", at(engine, 0.5), "ms"),
		lab.Fact(bench+": engine, commit to readable, p99", at(engine, 0.99), "ms"),
		lab.Fact(bench+": synchronous writer, commit to readable, p50", at(direct, 0.5), "ms"),
		lab.Fact(bench+": synchronous writer, commit to readable, p99", at(direct, 0.99), "ms"),
	}
}

const query = `select i.id::text as key, i.name, i.n, i.doc from bench.items i where i.id = any($1::text[]::bigint[])`

func (b *bench) setUp(ctx context.Context) (err error) {
	if b.pool, err = b.Database(ctx, "latency_"+b.store.Bench, 16); err != nil {
		return err
	}
	_, err = b.pool.Exec(ctx, `create schema bench;
create table bench.items (id bigint primary key, name text not null, n int not null, doc text not null);
insert into bench.items select i, 'item ' || i, 0, repeat('the words of item ' || i || ' ', 10) from generate_series(0, `+strconv.Itoa(items-1)+`) i`)
	if err != nil {
		return fmt.Errorf("making items: %w", err)
	}
	return b.Fill(ctx, b.config(b.gauge()))
}

// gauge notes when changes were applied.
func (b *bench) gauge() *lab.Gauge {
	return &lab.Gauge{Behind: b.store.At("latency"), Applied: b.noteApplied}
}

func (b *bench) noteApplied(records []backends.Record, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range records {
		if _, waited := b.committed[r.Key]; waited {
			b.applied[r.Key] = at
		}
	}
}

func (b *bench) config(g *lab.Gauge) jobs.Config {
	return jobs.Config{
		Pool: b.pool, Kinds: []outbox.Kind{{Name: "item", Table: "bench.items"}}, Backends: []backends.Config{g.Config("search")},
		Projections: []jobs.Projection{{Kind: "item", Backend: "search", Target: "items", Query: query, Settings: b.store.Items}},
	}
}

// item is a row as it was changed.
type item struct {
	ID   int64  `json:"-"`
	Name string `json:"name"`
	N    int    `json:"n"`
	Doc  string `json:"doc"`
}

const change = `update bench.items set n = $2, doc = $3 where id = $1`

// change commits the next change. None concerns an item that was changed in the same turn.
func (b *bench) change(ctx context.Context) (item, error) {
	b.next++
	id := b.next % items
	i := item{ID: int64(id), Name: fmt.Sprintf("item %d", id), N: b.next, Doc: fmt.Sprintf("change %d of a document with a few words", b.next)}
	key := strconv.FormatInt(i.ID, 10)
	b.mu.Lock()
	b.committed[key] = time.Time{} // it may be applied before the commit has answered
	b.mu.Unlock()
	_, err := b.pool.Exec(ctx, change, i.ID, i.N, i.Doc)
	if err != nil {
		return i, fmt.Errorf("changing an item: %w", err)
	}
	b.mu.Lock()
	b.committed[key] = time.Now()
	b.mu.Unlock()
	return i, nil
}

// steadily makes changes at the rate and does something after each.
func (b *bench) steadily(ctx context.Context, length time.Duration, then func(item) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for end := time.Now().Add(length); time.Now().Before(end); <-tick.C {
		i, err := b.change(ctx)
		if err != nil {
			return err
		}
		if err := then(i); err != nil {
			return err
		}
	}
	return nil
}

// turn makes changes to warm up, and then those that count.
func (b *bench) turn(ctx context.Context, then func(item) error) error {
	b.forget()
	if err := b.steadily(ctx, b.Span(warmth, warmth/10), then); err != nil {
		return err
	}
	b.forget()
	return b.steadily(ctx, b.Span(length, length/10), then)
}

func (b *bench) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.committed, b.applied = map[string]time.Time{}, map[string]time.Time{}
}

// taken lists how long the changes of the turn took.
func (b *bench) taken() ([]time.Duration, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []time.Duration
	for key, committed := range b.committed {
		applied, ok := b.applied[key]
		if !ok {
			return nil, fmt.Errorf("the change of item %s was never applied", key)
		}
		list = append(list, max(0, applied.Sub(committed)))
	}
	return list, nil
}

// engine is a turn in which an engine applies the changes.
func (b *bench) engine(ctx context.Context) ([]time.Duration, error) {
	e, err := b.Start(ctx, b.config(b.gauge()))
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		lab.CaughtUp(ctx, b.pool),
		b.turn(ctx, func(item) error { return nil }),
		lab.CaughtUp(ctx, b.pool),
		e.Stop(),
	)
	if err != nil {
		return nil, err
	}
	return b.taken()
}

// direct is a turn in which the writer does it, after each commit.
func (b *bench) direct(ctx context.Context) (list []time.Duration, err error) {
	store, err := b.gauge().Open(ctx, "search")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	target := backends.Target{Kind: "item", Name: "items", Settings: b.config(b.gauge()).Projections[0].Settings}
	if target.Columns, _, err = projection.Describe(ctx, b.pool, query); err != nil {
		return nil, err
	}
	err = b.turn(ctx, func(i item) error { return write(ctx, store, target, i) })
	if err != nil {
		return nil, err
	}
	return b.taken()
}

// write writes one item as its writer would, from what it has in hand.
func write(ctx context.Context, store backends.Backend, target backends.Target, i item) error {
	doc, err := json.Marshal(i)
	if err != nil {
		return err
	}
	r := backends.Record{Key: strconv.FormatInt(i.ID, 10), Version: version(), Doc: doc}
	r.Digest = backends.ContentDigest(doc, nil)
	results, err := store.Write(ctx, target, []backends.Record{r})
	if err == nil && results[0].Outcome != backends.Applied {
		err = fmt.Errorf("item %s was not applied: outcome %v: %w", r.Key, results[0].Outcome, results[0].Err)
	}
	return err
}

// version is one that the engine could have given out now.
func version() int64 { return (time.Now().UnixMilli() - 1704067200000) * 4096 }
