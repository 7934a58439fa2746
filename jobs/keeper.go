package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/riverqueue/river"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// Times of the keeper.
const (
	callAgain  = 2 * time.Second  // a lane that nobody took is called for again after this
	probeEvery = 15 * time.Second // a backend that the engine paused is tried this often
	idleEvery  = 10 * time.Second // positions of idle lanes move this often
)

// keeper inserts a job for each lane that is behind and that nobody holds. This, and not River's own bookkeeping, is
// what keeps work going: River does not know that a process died, and its unique jobs lose wake-ups.
type keeper struct {
	e      *Engine
	called map[ProjectArgs]time.Time
	probed map[string]time.Time
	idle   time.Time
}

// keep supervises the lanes until ctx ends.
func (e *Engine) keep(ctx context.Context) {
	k := &keeper{e: e, called: map[ProjectArgs]time.Time{}, probed: map[string]time.Time{}}
	for ctx.Err() == nil {
		var due []ProjectArgs
		_, err := e.waker.Sleep(ctx, time.Minute, func(ctx context.Context) (bool, outbox.Snapshot, error) {
			lanes, at, err := outbox.Lanes(ctx, e.c.Pool)
			if err != nil {
				return false, at, err
			}
			e.notePaused(ctx, lanes)
			k.rest(ctx, lanes)
			due = k.due(lanes, time.Now())
			return len(due) > 0, at, nil
		})
		for _, a := range due {
			if cerr := e.call(ctx, a); cerr != nil {
				err = cerr
			}
			k.called[a] = time.Now()
		}
		if err != nil && ctx.Err() == nil {
			e.log.WarnContext(ctx, "looking after the lanes failed", "error", err)
			wait(ctx, time.Second)
		}
	}
}

// due lists the lanes that need a job.
func (k *keeper) due(lanes []outbox.LaneState, now time.Time) []ProjectArgs {
	var list []ProjectArgs
	for _, l := range lanes {
		a := ProjectArgs{Backend: l.Backend, Lane: l.Lane}
		if l.Held || !l.Behind {
			delete(k.called, a)
			continue
		}
		if l.Paused == "" && k.e.store(l.Backend) != nil && now.Sub(k.called[a]) >= callAgain {
			list = append(list, a)
		}
	}
	return list
}

// rest does what is due now and then: moves idle positions, tries backends that the engine paused.
func (k *keeper) rest(ctx context.Context, lanes []outbox.LaneState) {
	if time.Since(k.idle) >= idleEvery {
		k.idle = time.Now()
		if err := outbox.AdvanceIdle(ctx, k.e.c.Pool); err != nil && ctx.Err() == nil {
			k.e.log.WarnContext(ctx, "moving idle positions failed", "error", err)
		}
	}
	for _, l := range lanes {
		if l.PausedBy != "engine" || time.Since(k.probed[l.Backend]) < probeEvery {
			continue
		}
		k.probed[l.Backend] = time.Now()
		go k.e.probe(ctx, l.Backend)
	}
}

// call inserts a job for the lane, unless one is waiting already.
func (e *Engine) call(ctx context.Context, a ProjectArgs) error {
	var waiting bool
	err := e.c.Pool.QueryRow(ctx, `
select exists (select from river.river_job
 where queue = $1 and kind = 'project' and (args->>'lane')::int = $2
   and (state = 'available' or state in ('retryable', 'scheduled') and scheduled_at < now() + interval '5 seconds'))`, a.Backend, a.Lane).Scan(&waiting)
	if err != nil {
		return fmt.Errorf("looking for a job of lane %d of backend %s: %w", a.Lane, a.Backend, err)
	}
	if waiting {
		return nil
	}
	_, err = e.client.Insert(ctx, a, &river.InsertOpts{Queue: a.Backend, MaxAttempts: 10, Tags: []string{"backend-" + a.Backend, fmt.Sprintf("lane-%d", a.Lane)}})
	if err != nil {
		return fmt.Errorf("inserting a job for lane %d of backend %s: %w", a.Lane, a.Backend, err)
	}
	return nil
}

// notePaused takes over which backends are paused, and shows it on their queues.
func (e *Engine) notePaused(ctx context.Context, lanes []outbox.LaneState) {
	now := map[string]bool{}
	for _, l := range lanes {
		if l.Paused != "" {
			now[l.Backend] = true
		}
	}
	e.mu.Lock()
	before := e.paused
	e.paused = now
	e.mu.Unlock()
	for _, l := range lanes {
		if l.Lane != 0 || before[l.Backend] == now[l.Backend] {
			continue
		}
		set := e.client.QueueResume
		if now[l.Backend] {
			set = e.client.QueuePause
		}
		if err := set(ctx, l.Backend, nil); err != nil && ctx.Err() == nil {
			e.log.WarnContext(ctx, "the queue does not show that its backend is paused or resumed", "backend", l.Backend, "error", err)
		}
	}
}

// pauseStore pauses a backend that cannot go on without an operator.
func (e *Engine) pauseStore(ctx context.Context, s *store, why *backends.Error) error {
	e.log.ErrorContext(ctx, "a backend pauses", "backend", s.name, "class", why.Class, "error", why)
	return outbox.Pause(context.WithoutCancel(ctx), e.c.Pool, s.name, "engine", storable(why.Error()))
}

// probe tries a backend that the engine paused, and lets it go on if it works again.
func (e *Engine) probe(ctx context.Context, name string) {
	s := e.store(name)
	if s == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, e.c.Settings.Request)
	defer cancel()
	if s.backend.Health(ctx) != nil || s.prepare(ctx, true) != nil {
		return // it stays paused, for the reason already shown
	}
	if err := outbox.Resume(ctx, e.c.Pool, name); err != nil {
		e.log.WarnContext(ctx, "a backend could not be resumed", "backend", name, "error", err)
	}
}

// sweep logs suspects again when they are due, and notes processes of this host that have ended.
func (e *Engine) sweep(ctx context.Context) {
	for ctx.Err() == nil {
		if err := e.sweepOnce(ctx); err != nil && ctx.Err() == nil {
			e.log.WarnContext(ctx, "logging suspects again failed", "error", err)
		}
		wait(ctx, max(e.c.Settings.Lease/4, 100*time.Millisecond))
	}
}

func (e *Engine) sweepOnce(ctx context.Context) error {
	if e.process.Host != "" {
		if err := outbox.Bury(ctx, e.c.Pool, e.process.Host, alive); err != nil {
			return err
		}
	}
	e.mu.RLock()
	names := make([]string, 0, len(e.stores))
	for name := range e.stores {
		names = append(names, name)
	}
	e.mu.RUnlock()
	for _, name := range names {
		for {
			n, err := outbox.Sweep(ctx, e.c.Pool, name, e.c.Settings.Late)
			if err != nil {
				return err
			}
			if n == 0 {
				break
			}
		}
	}
	return nil
}

// wait pauses until d is over or ctx ends.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
