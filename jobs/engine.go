package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"golang.org/x/sync/errgroup"

	"github.com/outflow-db/outflow/alerts"
	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/migrations"
	"github.com/outflow-db/outflow/outbox"
)

// maintenance is the queue of jobs that concern no single backend.
const maintenance = "maintenance"

// Engine runs the workers of one process. Any number of processes may run engines on one database.
type Engine struct {
	c       Config
	log     *slog.Logger
	tracer  tracer
	process outbox.Process
	waker   *outbox.Waker
	client  *river.Client[pgx.Tx]
	ended   chan struct{}   // closed when the engine shall stop
	hard    context.Context //nolint:containedctx // ends when work must be dropped
	drop    context.CancelFunc
	running atomic.Bool
	unwell  chan struct{} // wakes the guard: a request failed
	watch   *healthWatch  // how the stores are

	parkedNews atomic.Bool   // something was parked since the keeper last looked
	retrying   chan struct{} // a token for each retry job at work

	room   chan struct{} // a token for each lane that the pool has connections for
	atWork atomic.Int32  // lanes that are worked here right now

	mu     sync.RWMutex
	stores map[string]*store
	paused map[string]string // who paused the backends that are, as last seen by the keeper
}

// New opens the backends and describes their projections. It reaches the database, but the stores need not be up.
// The database must have been migrated, and Setup must have recorded the configuration. The caller closes the engine
// by Run, or by Close if it never runs.
func New(ctx context.Context, c Config) (*Engine, error) {
	c, err := c.checked()
	if err != nil {
		return nil, err
	}
	if err := roomy(c); err != nil {
		return nil, err
	}
	e := &Engine{c: c, log: c.Logger, tracer: newTracer(c.Tracing), process: self(), ended: make(chan struct{}), room: make(chan struct{}, (c.Pool.Config().MaxConns-short)/perLane), retrying: make(chan struct{}, retriesAtOnce), stores: map[string]*store{}, paused: map[string]string{}, unwell: make(chan struct{}, 1)}
	e.hard, e.drop = context.WithCancel(context.WithoutCancel(ctx))
	e.watch = newHealthWatch(e)
	e.waker = outbox.NewWaker(c.Pool, c.Logger)
	if e.client, err = e.river(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	for _, b := range c.Backends {
		s, err := openStore(ctx, c, b)
		if err != nil {
			return nil, errors.Join(err, e.Close())
		}
		e.stores[b.Name] = s
	}
	return e, nil
}

// roomy checks that the pool has connections for everything that holds one for long. The two connections of a process
// that are notified are outside of the pool.
func roomy(c Config) error {
	lanes := 0
	for _, b := range c.Backends {
		lanes += c.settings(b.Name).Lanes
	}
	need, have := perLane*lanes+short, int(c.Pool.Config().MaxConns)
	if have < need {
		return fmt.Errorf("the pool has %d connections at most, but %d backends with %d lanes need %d: set pool_max_conns in the database URL", have, len(c.Backends), lanes, need)
	}
	return nil
}

// The connections that a lane holds, one that reads pages and one that logs what follows from them, and those for short
// statements.
const (
	perLane = 2
	short   = 4
)

// enter waits until the pool has the connections for one more lane, which it may not have when lanes were split after
// the start. Without them lanes would hold one each, and wait for each other's. It is false if the engine or the job
// ends before; else the caller calls leave in the end.
func (e *Engine) enter(ctx context.Context) bool {
	select {
	case e.room <- struct{}{}:
		return true
	case <-e.ended:
	case <-ctx.Done():
	}
	return false
}

func (e *Engine) leave() { <-e.room }

// river makes the client, with a queue for each backend. Every process knows every kind of job, because the leader
// discards stuck jobs of kinds that it does not know.
func (e *Engine) river() (*river.Client[pgx.Tx], error) {
	workers := river.NewWorkers()
	if err := errors.Join(
		river.AddWorkerSafely(workers, &projector{e: e}),
		river.AddWorkerSafely(workers, &pruner{e: e}),
		river.AddWorkerSafely(workers, &verifier{e: e}),
		river.AddWorkerSafely(workers, &rebuildWorker{e: e}),
		river.AddWorkerSafely(workers, &alertWorker{e: e, sender: alerts.NewSender()}),
		river.AddWorkerSafely(workers, &retrier{e: e}),
		river.AddWorkerSafely(workers, &reverter{e: e}),
	); err != nil {
		return nil, fmt.Errorf("adding workers: %w", err)
	}
	queues := map[string]river.QueueConfig{maintenance: {MaxWorkers: 2, FetchCooldown: river.FetchCooldownDefault}}
	for _, b := range e.c.Backends {
		queues[b.Name] = queueConfig()
	}
	poll := 5 * time.Second // the net under River's notifications
	if e.c.Settings.Poll {
		poll = time.Second
	}
	client, err := river.NewClient(riverpgxv5.New(e.c.Pool), &river.Config{
		Schema: migrations.RiverSchema, Workers: workers, Queues: queues, Logger: slog.New(grave{e.log.Handler()}),
		JobTimeout: time.Minute, RescueStuckJobsAfter: 3 * time.Minute, FetchPollInterval: poll,
		FetchCooldown: river.FetchCooldownMin, // in whose time after a notification River sends none, and the job waits for the poll
		PollOnly:      e.c.Settings.Poll, CompletedJobRetentionPeriod: time.Hour, DiscardedJobRetentionPeriod: 30 * 24 * time.Hour,
		ReindexerTimeout: 15 * time.Minute,
		PeriodicJobs: []*river.PeriodicJob{river.NewPeriodicJob(river.PeriodicInterval(time.Minute),
			func() (river.JobArgs, *river.InsertOpts) { return PruneArgs{}, pruneOpts() }, &river.PeriodicJobOpts{RunOnStart: true})},
	})
	if err != nil {
		return nil, fmt.Errorf("making the River client: %w", err)
	}
	return client, nil
}

// queueConfig is that of a backend's queue. A lane has one job at a time, which lasts for seconds.
func queueConfig() river.QueueConfig {
	return river.QueueConfig{MaxWorkers: 32, FetchCooldown: 10 * time.Millisecond}
}

// Run works until ctx ends; then it finishes the pages under way, saves their positions, releases the lanes and
// closes the backends, and returns nil. Requests that stores have not answered within the grace are cut, and their
// records made suspect. What does not end ten seconds after that is left behind: its lanes are taken over when their
// leases expire. Run fails when it cannot start. An engine runs once.
func (e *Engine) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, e.Close()) }()
	base := context.WithoutCancel(ctx)
	if err := e.start(ctx, base); err != nil {
		if ctx.Err() != nil {
			return nil // it was told to end before it had begun
		}
		return err
	}
	helpers, stop := context.WithCancel(base)
	var group errgroup.Group
	if !e.c.Settings.Poll {
		group.Go(func() error { e.waker.Listen(helpers); return nil })
	}
	group.Go(func() error { e.keep(helpers); return nil })
	group.Go(func() error { e.sweep(helpers); return nil })
	group.Go(func() error { e.guard(helpers); return nil })
	group.Go(func() error { e.watch.run(helpers); return nil })
	group.Go(func() error { e.lookForAlerts(helpers); return nil })
	<-ctx.Done()
	err = e.stop(base)
	stop()
	return errors.Join(err, group.Wait())
}

// start checks the database and starts the River client.
func (e *Engine) start(ctx, base context.Context) error {
	if err := migrations.Validate(ctx, e.c.Pool); err != nil {
		return err
	}
	if err := e.settle(ctx); err != nil {
		return err
	}
	for _, s := range e.all() {
		if err := e.ready(ctx, s); err != nil {
			return fmt.Errorf("%w (run Setup with this configuration first)", err)
		}
	}
	if err := e.client.Start(base); err != nil {
		return fmt.Errorf("starting the River client: %w", err)
	}
	e.running.Store(true)
	return nil
}

// ready checks that a store is what the database says, of whose generations there may be others since it was opened.
func (e *Engine) ready(ctx context.Context, s *store) error {
	err := s.agrees(ctx, e.c.Pool)
	if !errors.Is(err, errOutdated) {
		return err
	}
	fresh, err := s.reopened(ctx, e.c)
	if err == nil {
		e.replace(s, fresh)
	}
	return err
}

// Running says whether the engine works: Run has started it, and has not been told to end.
func (e *Engine) Running() bool { return e.running.Load() }

// stop ends the jobs: gently, then not.
func (e *Engine) stop(ctx context.Context) error {
	e.running.Store(false)
	close(e.ended)
	e.waker.Wake()
	gentle, cancel := context.WithTimeout(ctx, e.c.Settings.Grace)
	defer cancel()
	if err := e.client.Stop(gentle); err != nil {
		e.log.WarnContext(ctx, "jobs did not end in time: their requests are cut", "error", err)
		e.drop()
		rough, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if err := e.client.StopAndCancel(rough); err != nil {
			return fmt.Errorf("ending jobs whose requests were cut: %w", err)
		}
	}
	bye, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return outbox.Leave(bye, e.c.Pool, e.process.Owner)
}

// Close closes the backends. It is called by Run.
func (e *Engine) Close() error {
	e.drop()
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	for name, s := range e.stores {
		errs = append(errs, s.backend.Close())
		delete(e.stores, name)
	}
	return errors.Join(errs...)
}

// Add takes a backend in while the engine runs; projections of other backends are ignored. The caller has recorded
// it with Setup.
func (e *Engine) Add(ctx context.Context, b backends.Config, limits Limits, projections []Projection) error {
	c := e.c
	c.Backends, c.Projections, c.Limits = []backends.Config{b}, of(b.Name, projections), map[string]Limits{b.Name: limits}
	if _, err := c.checked(); err != nil {
		return err
	}
	s, err := openStore(ctx, c, b)
	if err != nil {
		return err
	}
	if err := e.admit(ctx, s); err != nil {
		return errors.Join(err, s.backend.Close())
	}
	if err := e.client.Queues().Add(b.Name, queueConfig()); err != nil {
		e.forget(b.Name)
		return errors.Join(fmt.Errorf("adding the queue of backend %s: %w", b.Name, err), s.backend.Close())
	}
	e.waker.Wake()
	return nil
}

// admit makes the store one of the engine's.
func (e *Engine) admit(ctx context.Context, s *store) error {
	if err := s.agrees(ctx, e.c.Pool); err != nil {
		return fmt.Errorf("%w (run Setup with this configuration first)", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stores[s.name] != nil {
		return fmt.Errorf("backend %s runs already", s.name)
	}
	if err := e.roomFor(s); err != nil {
		return err
	}
	e.stores[s.name] = s
	return nil
}

// roomFor is roomy for the engine's stores and one more.
func (e *Engine) roomFor(s *store) error {
	c := e.c
	c.Backends, c.Limits = []backends.Config{s.cfg}, map[string]Limits{s.name: s.limits}
	for name, other := range e.stores {
		c.Backends = append(c.Backends, other.cfg)
		c.Limits[name] = other.limits
	}
	return roomy(c)
}

// forget takes a store out, and answers it if it was there.
func (e *Engine) forget(name string) *store {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.stores[name]
	delete(e.stores, name)
	return s
}

// Remove stops this process's work for a backend, after the page under way, and closes it. The database still has
// it: see Forget.
func (e *Engine) Remove(ctx context.Context, name string) error {
	s := e.forget(name)
	if s == nil {
		return fmt.Errorf("backend %s does not run here", name)
	}
	return e.retire(ctx, s)
}

// retire ends the work for a store that was taken out.
func (e *Engine) retire(ctx context.Context, s *store) error {
	close(s.removed)
	e.waker.Wake()
	err := e.client.Queues().Remove(ctx, s.name)
	if err != nil {
		err = fmt.Errorf("removing the queue of backend %s: %w", s.name, err)
	}
	return errors.Join(err, s.backend.Close())
}

// store is the backend with the name, if it runs here.
func (e *Engine) store(name string) *store {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.stores[name]
}

// runs says whether the backend is worked here.
func (e *Engine) runs(name string) bool { s := e.store(name); return s != nil && !s.outdated.Load() }

// all lists the backends that run here.
func (e *Engine) all() []*store {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return slices.Collect(maps.Values(e.stores))
}

// stopping says whether jobs of the store should end after their page.
func (e *Engine) stopping(s *store) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.paused[s.name] != "" || e.ending(s) || s.down()
}

// within is a context for a job's work: it ends when the job is cancelled by an operator or dropped by the engine,
// but not when River's time for it is over. What a job may do is bounded by the lease. The caller calls release in
// the end.
func (e *Engine) within(job context.Context) (ctx context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(job))
	one := context.AfterFunc(job, func() {
		if errors.Is(context.Cause(job), river.ErrJobCancelledRemotely) {
			cancel(river.ErrJobCancelledRemotely)
		}
	})
	other := context.AfterFunc(e.hard, func() { cancel(errors.New("the engine dropped the job")) })
	return ctx, func() { one(); other(); cancel(nil) }
}
