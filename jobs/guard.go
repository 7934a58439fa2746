package jobs

import (
	"context"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// Times of the guard.
const (
	guardEvery  = 100 * time.Millisecond // while anything is wrong
	guardCalm   = 500 * time.Millisecond // while nothing is
	probeFirst  = 500 * time.Millisecond // the longest pause before the first probe of an endpoint that is down
	probeMost   = 3 * time.Second        // and between two, in the end
	steadyAfter = 10 * time.Second       // an endpoint that was up for so long begins with short pauses again
	pauseAfter  = 2 * time.Second        // a backend none of whose endpoints is up is paused, so that others may take its work before
	lastSaves   = time.Second            // within which this process's own jobs have ended after that, and saved
	againFirst  = 30 * time.Second       // a backend that others resumed is not paused again for so long
	againMost   = 10 * time.Minute       // which doubles up to this
)

// probePause is how long to wait before probe n+1 of an endpoint that is down: half a second at first, three in the
// end, with a jitter of half.
func probePause(n int, random float64) time.Duration {
	d := min(probeFirst<<min(n, 8), probeMost)
	return d/2 + time.Duration(random*float64(d/2))
}

// elsewhere is how long a job is kept until it is left to processes that may reach the store.
func elsewhere(random float64) time.Duration {
	return 100*time.Millisecond + time.Duration(random*float64(200*time.Millisecond))
}

// pass calls for the lane again, in a while, because this process does not reach the store and others may. River would
// tell nobody of a job that was snoozed.
func (e *Engine) pass(ctx context.Context, a ProjectArgs) error {
	select {
	case <-ctx.Done():
		return nil
	case <-e.ended:
		return nil
	case <-time.After(elsewhere(random())):
	}
	return e.call(ctx, a)
}

// down says that none of the store's endpoints is up, as far as this process knows.
func (s *store) down() bool {
	if s.failover == nil {
		return false
	}
	for _, p := range s.failover.Endpoints() {
		if p.State == backends.EndpointUp {
			return false
		}
	}
	return true
}

// reason says why none of the endpoints is up.
func reason(list []backends.Endpoint) string {
	parts := make([]string, len(list))
	for i, p := range list {
		parts[i] = p.Address + ": " + p.Error
	}
	return "no endpoint can be reached: " + strings.Join(parts, "; ")
}

// Endpoints are those of the backends that run here and know theirs apart, by the backend's name. It does no I/O.
func (e *Engine) Endpoints() map[string][]backends.Endpoint {
	all := map[string][]backends.Endpoint{}
	for _, s := range e.all() {
		if s.failover != nil {
			all[s.name] = s.failover.Endpoints()
		}
	}
	return all
}

// isPaused says whether the database has the backend paused, as last seen.
func (e *Engine) isPaused(s *store) bool { return e.pausedBy(s) != "" }

func (e *Engine) pausedBy(s *store) string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.paused[s.name]
}

// suspicious wakes the guard.
func (e *Engine) suspicious() {
	select {
	case e.unwell <- struct{}{}:
	default: // it is awake
	}
}

// outage is what a process knows of the time in which it reaches none of a store's endpoints.
type outage struct {
	since time.Time     // zero: there is none
	shown bool          // the backend was seen paused meanwhile
	free  time.Time     // since when it has been seen resumed by others
	again time.Duration // after which it may be paused again then
}

// see takes over how the backend is now, and says whether to pause it: when nothing has been up for a while, and nobody
// has resumed it lately, who does reach the store.
func (o *outage) see(down bool, paused bool, now time.Time) (pause bool) {
	if !down {
		*o = outage{}
		return false
	}
	if o.since.IsZero() {
		*o = outage{since: now, again: againFirst}
	}
	switch {
	case paused:
		o.shown, o.free = true, time.Time{}
	case o.shown && o.free.IsZero():
		o.free = now
	case o.shown && now.Sub(o.free) >= o.again:
		o.again = min(o.again*2, againMost)
		o.shown, o.free = false, time.Time{}
	}
	return !paused && !o.shown && now.Sub(o.since) >= pauseAfter
}

// pacer says when an endpoint is to be probed.
type pacer struct {
	tries int
	next  time.Time // zero: it is well
	well  time.Time // since when it has been up
}

// due takes over whether the endpoint shall be probed at all, and says whether it shall be now.
func (p *pacer) due(wanted bool, now time.Time, random float64) bool {
	if !wanted {
		if !p.next.IsZero() || p.well.IsZero() {
			p.next, p.well = time.Time{}, now
		}
		return false
	}
	if p.next.IsZero() {
		if now.Sub(p.well) >= steadyAfter {
			p.tries = 0
		}
		p.next = now.Add(probePause(p.tries, random))
	}
	if now.Before(p.next) {
		return false
	}
	p.tries++
	p.next = now.Add(probePause(p.tries, random))
	return true
}

// lookout is what the guard knows of a store.
type lookout struct {
	outage outage
	pacers map[string]*pacer
	busy   map[string]*atomic.Bool // endpoints that are probed right now
	was    bool                    // it was down
	asking atomic.Bool             // whether to pause it is being asked
	shown  atomic.Bool             // it was paused by that
}

// guard probes endpoints that are down, outside of all queues, pauses backends of which none is up, and resumes them.
type guard struct {
	e       *Engine
	watched map[*store]*lookout
	tasks   sync.WaitGroup
}

// guard looks after the endpoints until ctx ends.
func (e *Engine) guard(ctx context.Context) {
	g := &guard{e: e, watched: map[*store]*lookout{}}
	defer g.tasks.Wait()
	for ctx.Err() == nil {
		nap := guardCalm
		if g.turn(ctx, time.Now()) {
			nap = guardEvery
		}
		select {
		case <-ctx.Done():
		case <-e.unwell:
			wait(ctx, guardEvery) // not for each of many
		case <-time.After(nap):
		}
	}
}

// turn looks at all stores once, and says whether anything is wrong with one.
func (g *guard) turn(ctx context.Context, now time.Time) (wrong bool) {
	stores := g.e.all()
	for _, s := range stores {
		if s.failover != nil && g.look(ctx, s, now) {
			wrong = true
		}
	}
	if len(g.watched) > len(stores) {
		maps.DeleteFunc(g.watched, func(s *store, _ *lookout) bool { return g.e.store(s.name) != s })
	}
	return wrong
}

// look looks at one store.
func (g *guard) look(ctx context.Context, s *store, now time.Time) (wrong bool) {
	w := g.watched[s]
	if w == nil {
		w = &lookout{pacers: map[string]*pacer{}, busy: map[string]*atomic.Bool{}}
		g.watched[s] = w
	}
	by, down := g.e.pausedBy(s), true
	list := s.failover.Endpoints()
	for _, p := range list {
		up := p.State == backends.EndpointUp
		down = down && !up
		wrong = g.endpoint(ctx, s, w, p.Address, !up || by == outbox.ByBreaker, now) || wrong
	}
	if w.was && !down {
		s.flow.Restart()
		g.e.waker.Wake()
	}
	w.was = down
	if w.outage.see(down, by != "" || w.shown.Swap(false), now) && w.asking.CompareAndSwap(false, true) {
		unreached := now.Sub(w.outage.since) - lastSaves
		g.tasks.Go(func() { g.pause(ctx, s, w, list, unreached) })
	}
	return wrong
}

// endpoint probes one that is down, or one of a backend that others hold for down, when it is due.
func (g *guard) endpoint(ctx context.Context, s *store, w *lookout, address string, wanted bool, now time.Time) (wrong bool) {
	if w.pacers[address] == nil {
		w.pacers[address], w.busy[address] = &pacer{}, &atomic.Bool{}
	}
	busy := w.busy[address]
	if !busy.Load() && w.pacers[address].due(wanted, now, random()) {
		busy.Store(true)
		g.tasks.Go(func() {
			defer busy.Store(false)
			g.probe(ctx, s, address)
		})
	}
	return wanted
}

// probe asks an endpoint. If it is up, the backend need not pause any more.
func (g *guard) probe(ctx context.Context, s *store, address string) {
	err := s.failover.Probe(ctx, address)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		g.e.log.DebugContext(ctx, "an endpoint does not answer", "backend", s.name, "endpoint", address, "error", err)
		return
	}
	resumed, err := outbox.ResumeFrom(ctx, g.e.c.Pool, s.name, outbox.ByBreaker)
	switch {
	case err != nil && ctx.Err() == nil:
		g.e.log.WarnContext(ctx, "a backend whose store is back could not be resumed", "backend", s.name, "error", err)
	case resumed:
		g.e.log.InfoContext(ctx, "a backend resumes: its store is back", "backend", s.name, "endpoint", address)
	}
	g.e.suspicious()
	g.e.waker.Wake()
}

// pause pauses the backend, unless another process reaches it.
func (g *guard) pause(ctx context.Context, s *store, w *lookout, list []backends.Endpoint, unreached time.Duration) {
	defer w.asking.Store(false)
	why := storable(reason(list))
	paused, err := outbox.PauseUnreached(ctx, g.e.c.Pool, s.name, g.e.process.Owner, why, unreached)
	switch {
	case err != nil:
		if ctx.Err() == nil {
			g.e.log.WarnContext(ctx, "a backend could not be paused", "backend", s.name, "error", err)
		}
	case paused:
		w.shown.Store(true)
		g.e.log.WarnContext(ctx, "a backend pauses until its store is back", "backend", s.name, "reason", why)
		g.e.waker.Wake()
	}
	if !paused {
		wait(ctx, time.Second)
	}
}
