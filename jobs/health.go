package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/outflow-db/outflow/alerts"
	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/health"
	"github.com/outflow-db/outflow/outbox"
)

// healthWatch sees how the stores of an engine are: it counts what is asked of them, probes them, and makes known what it
// finds. Nothing that it does holds work up.
type healthWatch struct {
	e     *Engine
	tasks sync.WaitGroup // probes under way

	mu     sync.RWMutex
	stores map[string]*watched

	growths map[string]alerts.Growth // of the lags, as last sampled
	grownAt time.Time
	told    string // why the last thing could not be made known
}

// watched is one store. Only meter and probe are used by others than the loop.
type watched struct {
	meter     health.Meter
	probe     probe
	tracker   health.Tracker
	usual     time.Duration
	published health.State
	reason    string
	at        time.Time // when it was published
}

// probe is the last one of a store, and the one that is under way.
type probe struct {
	mu    sync.Mutex
	began time.Time // of the one that is under way; zero: none
	last  health.Probe
	at    time.Time // when the last one began
}

func newHealthWatch(e *Engine) *healthWatch { return &healthWatch{e: e, stores: map[string]*watched{}} }

// of is what is known of a store.
func (w *healthWatch) of(name string) *watched {
	w.mu.RLock()
	one := w.stores[name]
	w.mu.RUnlock()
	if one != nil {
		return one
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stores[name] == nil {
		w.stores[name] = &watched{}
	}
	return w.stores[name]
}

// meter counts what is asked of a store.
func (w *healthWatch) meter(name string) *health.Meter { return &w.of(name).meter }

// run looks again and again until ctx ends, and then takes back what it made known. A probe that does not end by then
// is left behind after a while: it changes nothing any more.
func (w *healthWatch) run(ctx context.Context) {
	w.look(ctx, time.Now())                                             // which begins to probe
	_ = every(ctx, w.e.c.Health.Look, func(ctx context.Context) error { // it never fails
		w.look(ctx, time.Now())
		return nil
	})
	ended := make(chan struct{})
	go func() { w.tasks.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(w.e.c.Health.Late):
	}
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := health.Withdraw(bye, w.e.c.Pool, w.e.process.Owner, ""); err != nil {
		w.e.log.DebugContext(ctx, "the health of the backends stays published", "error", err)
	}
}

// look looks at every store once.
func (w *healthWatch) look(ctx context.Context, now time.Time) {
	w.forget(ctx)
	w.grow(ctx, now)
	for _, s := range w.e.all() {
		one := w.of(s.name)
		by := w.e.pausedBy(s)
		paused := by != "" && by != outbox.ByBreaker // a store that nobody reaches is not paused, but down
		if !paused && one.due(now, w.e.c.Health) {
			w.ask(ctx, s, one, now)
		}
		window, recent := one.meter.Look()
		p, known := one.answer(now, w.e.c.Health)
		if !known && !paused && window.Requests == 0 {
			continue // the first probe is under way
		}
		o := health.Observation{
			Paused: paused, Counts: window, Recent: recent, Usual: one.usual, Probe: p, Quick: w.e.c.Health.Quick, Endpoints: endpointsOf(s.failover),
			Lag: w.growths[s.name].Lag, Growing: w.growths[s.name].Growing,
		}
		was := one.tracker.State
		one.tracker = one.tracker.Next(now, o)
		one.usual = health.Usual(one.usual, &window, one.tracker.State)
		if one.tracker.State != was && was != "" {
			w.e.log.InfoContext(ctx, "the health of a backend has changed", "backend", s.name, "state", one.tracker.State, "was", was, "reason", one.tracker.Reason)
		}
		w.publish(ctx, s.name, one, o, now)
	}
}

// forget takes back what was made known of stores that do not run here any more.
func (w *healthWatch) forget(ctx context.Context) {
	w.mu.Lock()
	var gone []string
	for name := range w.stores {
		if w.e.store(name) == nil {
			gone = append(gone, name)
			delete(w.stores, name)
		}
	}
	w.mu.Unlock()
	for _, name := range gone {
		w.failed(ctx, health.Withdraw(ctx, w.e.c.Pool, w.e.process.Owner, name))
	}
}

// grow finds out now and then whether the lags grow.
func (w *healthWatch) grow(ctx context.Context, now time.Time) {
	if now.Sub(w.grownAt) < w.e.c.Alerts.Sample {
		return
	}
	w.grownAt = now
	growths, err := alerts.Growths(ctx, w.e.c.Pool)
	if err == nil {
		w.growths = growths
	}
	w.failed(ctx, err)
}

// due says whether the store should be probed: none is under way, and it is some time since the last one.
func (one *watched) due(now time.Time, pace health.Pace) bool {
	one.probe.mu.Lock()
	defer one.probe.mu.Unlock()
	every := pace.Probe
	if one.tracker.State != health.Healthy {
		every = 0
	}
	return one.probe.began.IsZero() && (one.probe.at.IsZero() || now.Sub(one.probe.at) >= every)
}

// answer is what the last probe says, or that the one under way is late. known is false before the first.
func (one *watched) answer(now time.Time, pace health.Pace) (p health.Probe, known bool) {
	one.probe.mu.Lock()
	defer one.probe.mu.Unlock()
	if began := one.probe.began; !began.IsZero() && now.Sub(began) > pace.Late {
		return health.Probe{Done: true, Took: now.Sub(began), Err: late(pace)}, true
	}
	return one.probe.last, one.probe.last.Done
}

func late(pace health.Pace) string { return fmt.Sprintf("no answer within %s", pace.Late) }

// ask probes the store, beside everything else.
func (w *healthWatch) ask(ctx context.Context, s *store, one *watched, now time.Time) {
	pace := w.e.c.Health
	one.probe.mu.Lock()
	one.probe.began, one.probe.at = now, now
	one.probe.mu.Unlock()
	w.tasks.Go(func() {
		limited, cancel := context.WithTimeout(ctx, pace.Late)
		defer cancel()
		began := time.Now()
		err := s.backend.Health(limited)
		p := health.Probe{Done: true, Took: time.Since(began)}
		switch {
		case err == nil:
		case errors.Is(limited.Err(), context.DeadlineExceeded):
			p.Err = late(pace)
		default:
			p.Err = reasonOf(err)
		}
		one.probe.mu.Lock()
		defer one.probe.mu.Unlock()
		if one.probe.began = (time.Time{}); ctx.Err() == nil {
			one.probe.last = p
		}
	})
}

// reasonOf is an error of a store in short.
func reasonOf(err error) string {
	if e, ok := errors.AsType[*backends.Error](err); ok && e.Err != nil {
		return storable(string(e.Class) + ": " + e.Err.Error())
	}
	return storable(err.Error())
}

// publish makes known how the store is, if that has changed or was said too long ago.
func (w *healthWatch) publish(ctx context.Context, name string, one *watched, o health.Observation, now time.Time) {
	t := one.tracker
	if t.State == one.published && t.Reason == one.reason && now.Sub(one.at) < w.e.c.Health.Publish {
		return
	}
	if t.State == one.published && now.Sub(one.at) < 2*w.e.c.Health.Look { // another reason can wait a little
		return
	}
	err := health.Publish(ctx, w.e.c.Pool, health.Row{
		Backend: name, Owner: w.e.process.Owner, State: t.State, Since: t.Since, Reason: storable(t.Reason), Details: o.Details(12 * w.e.c.Health.Look),
	})
	if w.failed(ctx, err); err == nil {
		one.published, one.reason, one.at = t.State, t.Reason, now
	}
}

// failed logs, once, why something could not be made known or found out.
func (w *healthWatch) failed(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil || err.Error() == w.told {
		return
	}
	w.told = err.Error()
	w.e.log.WarnContext(ctx, "watching the backends failed", "error", err)
}

// endpointsOf lists the endpoints of a store that tells them apart.
func endpointsOf(f backends.Failover) []backends.Endpoint {
	if f == nil {
		return nil
	}
	return slices.Clone(f.Endpoints())
}
