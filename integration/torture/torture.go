package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/postgres"
	"github.com/outflow-db/outflow/internal/projection"
	"github.com/outflow-db/outflow/jobs"
)

// options say what to run.
type options struct {
	Source   string        // address of a migrated database, used for nothing else
	Remote   string        // address of an empty one
	Search   string        // address of Elasticsearch; empty: it takes no part
	Prefix   string        // of the names of what is made in it
	Duration time.Duration // of the writing
	Round    time.Duration // of the writing between two comparisons
	Seed     uint64
	Writers  int
	Workers  int
	Listen   bool
	Dir      string    // for the workers' logs
	Out      io.Writer // what happens
}

// parentName is the name of the parent's own connections.
const parentName = "torture"

// torture is one run.
type torture struct {
	o       options
	links   links
	pool    *pgxpool.Pool
	far     *pgxpool.Pool // to the other database
	store   *store
	relay   *relay // nil: no Elasticsearch takes part
	fleet   *fleet
	writers []*writer
	open    *standing
	direct  map[string]backends.Backend // to which old requests are sent again
	targets map[string]backends.Target  // by backend and kind
	probed  int
	behind  atomic.Int64 // keys that the slowest lane has not yet applied, as last seen

	mu        sync.Mutex
	counts    map[string]int
	failures  []error
	latencies []time.Duration
}

// run does everything, and answers every difference and everything that should not have happened.
func run(ctx context.Context, o options) (err error) {
	t := newTorture(o)
	defer func() { err = errors.Join(err, t.close(context.WithoutCancel(ctx))) }()
	if err := t.prepare(ctx); err != nil {
		return fmt.Errorf("preparing: %w", err)
	}
	begun := time.Now()
	rounds := max(1, int(o.Duration/o.Round))
	for n := range rounds {
		if err := t.round(ctx, n); err != nil {
			return fmt.Errorf("round %d: %w", n+1, err)
		}
		if t.failed() {
			break
		}
		t.say("round %d of %d: everything equal after %v", n+1, rounds, time.Since(begun).Round(time.Second))
	}
	if !t.failed() {
		if err := t.finish(ctx); err != nil {
			return fmt.Errorf("finishing: %w", err)
		}
	}
	t.summarise()
	return errors.Join(t.failures...)
}

func newTorture(o options) *torture {
	t := &torture{o: o, counts: map[string]int{}, direct: map[string]backends.Backend{}, targets: map[string]backends.Target{}}
	t.fleet = newFleet(t, o.Workers)
	return t
}

// prepare makes the tables, sets the engine up and opens what stays open.
func (t *torture) prepare(ctx context.Context) (err error) {
	if t.store, err = newStore(t); err != nil {
		return err
	}
	t.links = links{Source: t.o.Source, Remote: t.o.Remote, Store: t.store.url, Listen: t.o.Listen, Prefix: t.o.Prefix}
	if t.o.Search != "" {
		if t.relay, err = newRelay(t); err != nil {
			return err
		}
		t.links.Search = t.relay.url
	}
	if t.pool, err = t.links.connect(ctx, parentName, 20); err != nil {
		return err
	}
	if t.far, err = pgxpool.New(ctx, t.o.Remote); err != nil {
		return err
	}
	if _, err := t.pool.Exec(ctx, schemaSQL, pgx.QueryExecModeSimpleProtocol); err != nil {
		return fmt.Errorf("making the tables: %w", err)
	}
	if err := t.setup(ctx); err != nil {
		return err
	}
	if err := t.describe(ctx); err != nil {
		return err
	}
	var version int
	if err := t.pool.QueryRow(ctx, `select current_setting('server_version_num')::int / 10000`).Scan(&version); err != nil {
		return err
	}
	for n := range t.o.Writers {
		t.writers = append(t.writers, newWriter(t, n, version))
	}
	if t.open, err = t.begin(ctx); err != nil || t.relay == nil {
		return err
	}
	if err := t.fleet.revive(); err != nil {
		return err
	}
	return t.settle(ctx) // the indices are there before anything goes wrong
}

// setup records the configuration: one backend with one lane, the others with several.
func (t *torture) setup(ctx context.Context) error {
	c := t.config()
	c.Settings.Lanes = 1
	c.Backends, c.Limits = c.Backends[len(c.Backends)-1:], nil
	c.Projections = c.Projections[len(c.Projections)-1:]
	if err := jobs.Setup(ctx, c); err != nil {
		return err
	}
	return jobs.Setup(ctx, t.config())
}

// config is the parent's own configuration of the engine.
func (t *torture) config() jobs.Config {
	return t.links.config(t.pool, parentName, slog.New(slog.DiscardHandler))
}

// describe makes the targets for requests that are sent again.
func (t *torture) describe(ctx context.Context) error {
	for name, address := range map[string]string{local: t.o.Source, remote: t.o.Remote} {
		b, err := backends.Open(ctx, backends.Config{Name: name, Type: postgres.Type, Settings: map[string]any{"url": address}})
		if err != nil {
			return err
		}
		t.direct[name] = b
		for _, p := range projections() {
			columns, _, err := projection.Describe(ctx, t.pool, p.query)
			if err != nil {
				return err
			}
			t.targets[name+" "+p.kind] = backends.Target{Kind: p.kind, Name: p.kind, Columns: columns, Settings: p.settings[name]}
		}
	}
	return nil
}

// resend writes an old request to its backend, which must take it or call it stale.
func (t *torture) resend(ctx context.Context, backend string, in writeRequest) error {
	results, err := backends.WriteBisected(ctx, t.direct[backend], t.targets[backend+" "+in.Kind], in.Records)
	for _, r := range results {
		if r.Outcome == backends.Stale {
			t.count("old records that were stale", 1)
		}
	}
	return err
}

// round lets everything happen for a while, and then compares.
func (t *torture) round(ctx context.Context, n int) error {
	if err := t.fleet.revive(); err != nil {
		return err
	}
	t.store.setCalm(false)
	if err := t.open.more(ctx, n); err != nil {
		return err
	}
	writing, stop := context.WithCancel(ctx)
	defer stop()
	var group sync.WaitGroup
	for _, w := range t.writers {
		group.Go(func() { w.run(writing) })
	}
	group.Go(func() { t.probe(writing) })
	group.Go(func() { t.disturb(writing, t.random(2000+uint64(n))) }) //nolint:gosec // a small number
	group.Go(func() { t.prune(writing) })
	group.Go(func() { t.rewrite(writing, t.random(3000+uint64(n))) }) //nolint:gosec // a small number
	group.Go(func() { t.judge(writing) })
	group.Go(func() { t.watch(writing) })
	over := time.After(t.o.Round)
	kill := n%2 == 0
	if !kill || t.o.Duration < 2*t.o.Round {
		t.longSleep(writing)
	}
	select {
	case <-over:
	case <-ctx.Done():
	}
	stop()
	t.store.setCalm(true) // nobody else is killed, and who was is replaced
	if err := t.fleet.revive(); err != nil {
		return err
	}
	group.Wait()
	return t.check(ctx, kill)
}

// random is a stream of random numbers of its own.
func (t *torture) random(stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(t.o.Seed, stream))
}

func (t *torture) count(name string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[name] += n
}

// fail notes what should not have happened.
func (t *torture) fail(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	t.say("FAILURE: %v", err)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = append(t.failures, err)
}

func (t *torture) failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.failures) > 0
}

func (t *torture) say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = fmt.Fprintf(t.o.Out, format+"\n", args...) // there is nobody else to tell
}

// summarise tells what happened.
func (t *torture) summarise() {
	slices.Sort(t.latencies)
	if n := len(t.latencies); n > 0 {
		t.say("%d probes were delivered to all backends while the long transaction was open: half within %v, 99 of 100 within %v, all within %v",
			n, t.latencies[n/2].Round(time.Millisecond), t.latencies[n*99/100].Round(time.Millisecond), t.latencies[n-1].Round(time.Millisecond))
	}
	counts := t.counted()
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		t.say("%8d %s", counts[name], name)
	}
}

// counted is what was counted until now.
func (t *torture) counted() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.counts)
}

// close ends the processes and closes the connections.
func (t *torture) close(ctx context.Context) error {
	var errs []error
	t.fleet.close()
	for _, w := range t.writers {
		errs = append(errs, w.close(ctx))
	}
	if t.open != nil {
		errs = append(errs, t.open.close(ctx))
	}
	for _, b := range t.direct {
		errs = append(errs, b.Close())
	}
	for _, pool := range []*pgxpool.Pool{t.pool, t.far} {
		if pool != nil {
			pool.Close()
		}
	}
	if t.store != nil {
		errs = append(errs, t.store.close(ctx))
	}
	if t.relay != nil {
		errs = append(errs, t.relay.close(ctx))
	}
	return errors.Join(errs...)
}
