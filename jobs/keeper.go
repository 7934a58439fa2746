package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// Times of the keeper.
const (
	callAgain  = 2 * time.Second  // a lane that nobody took is called for again after this
	probeEvery = 15 * time.Second // a backend that the engine paused is tried this often
	choreEvery = 10 * time.Second // chores are done this often
	busyEvery  = time.Second      // lanes that are all at work are looked after this often
)

// keeper inserts a job for each lane that is behind and that nobody holds. This, and not River's own bookkeeping, is
// what keeps work going: River does not know that a process died, and its unique jobs lose wake-ups.
type keeper struct {
	e      *Engine
	called map[ProjectArgs]time.Time
	probed map[string]time.Time
	tried  map[string]time.Time // when a sample of what a backend is paused for was last asked about
	chored time.Time
	tasks  sync.WaitGroup // what would keep it waiting
}

// keep supervises the lanes until ctx ends.
func (e *Engine) keep(ctx context.Context) {
	k := &keeper{e: e, called: map[ProjectArgs]time.Time{}, probed: map[string]time.Time{}, tried: map[string]time.Time{}}
	defer k.tasks.Wait()
	for ctx.Err() == nil {
		if err := k.turn(ctx); err != nil && ctx.Err() == nil {
			e.log.WarnContext(ctx, "looking after the lanes failed", "error", err)
			wait(ctx, time.Second)
		}
	}
}

// turn sleeps until some lane needs a job, and inserts the jobs.
func (k *keeper) turn(ctx context.Context) error {
	var due []ProjectArgs
	var busy bool
	woken := k.e.waker.Woken()
	_, err := k.e.waker.Sleep(ctx, time.Minute, func(ctx context.Context) (bool, outbox.Snapshot, error) {
		lanes, at, err := outbox.Lanes(ctx, k.e.c.Pool)
		if err != nil {
			return false, at, err
		}
		k.turnOver(ctx)
		k.probe(ctx, lanes, time.Now())
		k.tryLimited(ctx, lanes, time.Now())
		if k.e.parkedNews.Swap(false) {
			err = k.e.tendParked(ctx)
		}
		if changed := k.e.notePaused(lanes); changed || time.Since(k.chored) >= choreEvery {
			k.chored = time.Now()
			err = errors.Join(err, k.chores(ctx))
		}
		due, busy = k.due(lanes, k.e.runs, time.Now()), allBusy(lanes, k.e.runs)
		return len(due) > 0 || busy, at, err
	})
	for _, a := range due {
		k.called[a] = time.Now()
	}
	err = errors.Join(err, k.e.call(ctx, due...))
	if err == nil && busy && len(due) == 0 {
		select {
		case <-ctx.Done():
		case <-woken: // a job has ended, or there is another backend
		case <-time.After(busyEvery):
		}
	}
	return err
}

// allBusy says that no change of the log is news: every lane of the backends that run here is worked, or was called
// for, or is paused. The keeper then sleeps without the flag, for which every writer would have to notify it.
func allBusy(lanes []outbox.LaneState, runs func(string) bool) bool {
	return !slices.ContainsFunc(lanes, func(l outbox.LaneState) bool {
		return !l.Held && !l.Behind && l.Paused == "" && runs(l.Backend)
	})
}

// due lists the lanes that need a job: nobody holds them, they are behind, their backend runs here and is not paused,
// and they were not called for just now.
func (k *keeper) due(lanes []outbox.LaneState, runs func(string) bool, now time.Time) []ProjectArgs {
	var list []ProjectArgs
	for _, l := range lanes {
		a := ProjectArgs{Backend: l.Backend, Lane: l.Lane}
		if l.Held || !l.Behind {
			delete(k.called, a)
			continue
		}
		if at, called := k.called[a]; l.Paused == "" && runs(l.Backend) && (!called || now.Sub(at) >= callAgain) {
			list = append(list, a)
		}
	}
	return list
}

// chores is what is done now and then: it looks whether the database has a new history, moves the positions of idle
// lanes, shows on River's queues which backends are paused, notes processes that have ended, and calls for rebuilds and
// retries of parked records that nobody sees to, and for verifies that are due.
func (k *keeper) chores(ctx context.Context) error {
	return errors.Join(k.e.settle(ctx), outbox.AdvanceIdle(ctx, k.e.c.Pool), k.e.showPaused(ctx), k.e.bury(ctx), k.e.tend(ctx), k.e.tendParked(ctx), k.e.schedule(ctx))
}

// turnOver gives backends whose projections or generations have changed to those that do their work from now on.
func (k *keeper) turnOver(ctx context.Context) {
	for _, s := range k.e.all() {
		if s.outdated.Load() && s.turning.CompareAndSwap(false, true) {
			k.tasks.Go(func() {
				defer s.turning.Store(false)
				k.e.turnOver(ctx, s)
			})
		}
	}
}

// turnOver replaces a store by one with the generations that the database has now. A backend that others have
// configured anew is taken out of this process.
func (e *Engine) turnOver(ctx context.Context, s *store) {
	fresh, err := s.reopened(ctx, e.c)
	switch {
	case err == nil:
		e.replace(s, fresh)
		e.waker.Wake()
	case !errors.Is(err, errOutdated):
		if ctx.Err() == nil {
			e.log.WarnContext(ctx, "a backend with other generations could not be taken up, and will be tried again", "backend", s.name, "error", err)
			wait(ctx, time.Second)
			e.waker.Wake()
		}
	case e.store(s.name) == s && e.forget(s.name) != nil:
		e.log.ErrorContext(ctx, "another process set a backend up with other projections: this one leaves it alone until it is started again", "backend", s.name)
		if err := e.retire(ctx, s); err != nil && ctx.Err() == nil {
			e.log.WarnContext(ctx, "leaving a backend alone failed", "backend", s.name, "error", err)
		}
	}
}

// replace puts a store in another's place, if it is still there.
func (e *Engine) replace(s, fresh *store) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stores[s.name] == s {
		e.stores[s.name] = fresh
	}
}

// probe tries the backends that the engine paused.
func (k *keeper) probe(ctx context.Context, lanes []outbox.LaneState, now time.Time) {
	for _, l := range lanes {
		at, probed := k.probed[l.Backend]
		if l.PausedBy != outbox.ByEngine || probed && now.Sub(at) < probeEvery {
			continue
		}
		k.probed[l.Backend] = now
		if s := k.e.store(l.Backend); s != nil {
			k.tasks.Go(func() { k.e.probe(ctx, s) })
		}
	}
}

// probe lets a backend go on if it works again.
func (e *Engine) probe(ctx context.Context, s *store) {
	if !s.probing.CompareAndSwap(false, true) {
		return // the probe before still waits for the store
	}
	defer s.probing.Store(false)
	if s.backend.Health(ctx) != nil {
		return // it stays paused, for the reason already shown
	}
	if err := s.prepare(ctx, true); err != nil {
		s.outdated.CompareAndSwap(false, errors.Is(err, errOutdated))
		return
	}
	if _, err := outbox.ResumeFrom(ctx, e.c.Pool, s.name, outbox.ByEngine); err != nil && ctx.Err() == nil {
		e.log.WarnContext(ctx, "a backend could not be resumed", "backend", s.name, "error", err)
	}
	e.waker.Wake()
}

// call inserts a job for the lane, unless one is waiting already: while an operator has paused the queue in River UI,
// or all workers are busy, there is one job a lane and no more.
func (e *Engine) call(ctx context.Context, due ...ProjectArgs) error {
	var jobs []river.InsertManyParams
	for _, a := range due {
		var waiting bool
		err := e.c.Pool.QueryRow(ctx, `
select exists (select from river.river_job
 where state in ('available', 'retryable', 'scheduled') and queue = $1 and kind = 'project' and (args->>'lane')::int = $2
   and scheduled_at < now() + interval '5 seconds')`, a.Backend, a.Lane).Scan(&waiting)
		if err != nil {
			return fmt.Errorf("looking for a job of lane %d of backend %s: %w", a.Lane, a.Backend, err)
		}
		if !waiting {
			tags := []string{"backend-" + a.Backend, fmt.Sprintf("lane-%d", a.Lane)}
			jobs = append(jobs, river.InsertManyParams{Args: a, InsertOpts: &river.InsertOpts{Queue: a.Backend, MaxAttempts: 10, Tags: tags}})
		}
	}
	if len(jobs) == 0 {
		return nil
	}
	if _, err := e.client.InsertMany(ctx, jobs); err != nil {
		return fmt.Errorf("inserting jobs for lanes: %w", err)
	}
	return nil
}

// notePaused takes over which backends are paused, and says whether that changed.
func (e *Engine) notePaused(lanes []outbox.LaneState) (changed bool) {
	now := map[string]string{}
	for _, l := range lanes {
		if l.Paused != "" {
			now[l.Backend] = l.PausedBy
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, by := range e.paused {
		if s := e.stores[name]; s != nil && now[name] == "" && by != outbox.ByBreaker {
			s.lately.reset()
		}
	}
	changed = !maps.Equal(now, e.paused)
	e.paused = now
	return changed
}

// pausedMark is in the metadata of queues that are paused because their backend is. A queue without it was paused by
// an operator in River UI, and stays so.
const pausedMark = "outflow_paused"

// showPaused shows on River's queues which backends are paused.
func (e *Engine) showPaused(ctx context.Context) error {
	rows, err := e.c.Pool.Query(ctx, `
select q.name, b.paused is not null from river.river_queue q join outbox.backends b on b.name = q.name
 where b.paused is not null and q.paused_at is null or b.paused is null and q.metadata ? $1`, pausedMark)
	if err != nil {
		return fmt.Errorf("comparing queues with their backends: %w", err)
	}
	type state struct {
		Name   string
		Paused bool
	}
	differ, err := pgx.CollectRows(rows, pgx.RowToStructByPos[state])
	if err != nil {
		return fmt.Errorf("comparing queues with their backends: %w", err)
	}
	for _, q := range differ {
		if err := pgx.BeginFunc(ctx, e.c.Pool, func(tx pgx.Tx) error { return e.showQueue(ctx, tx, q.Name, q.Paused) }); err != nil {
			return fmt.Errorf("showing on queue %s whether its backend is paused: %w", q.Name, err)
		}
	}
	return nil
}

// showQueue pauses or resumes a queue, with the mark or without.
func (e *Engine) showQueue(ctx context.Context, tx pgx.Tx, name string, paused bool) error {
	set, mark := e.client.QueueResumeTx, `update river.river_queue set metadata = metadata - $2 where name = $1`
	if paused {
		set, mark = e.client.QueuePauseTx, `update river.river_queue set metadata = metadata || jsonb_build_object($2::text, true) where name = $1`
	}
	if err := set(ctx, tx, name, nil); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, mark, name, pausedMark)
	return err
}

// pauseStore pauses a backend that cannot go on without an operator.
func (e *Engine) pauseStore(ctx context.Context, s *store, why *backends.Error) error {
	e.log.ErrorContext(ctx, "a backend pauses", "backend", s.name, "class", why.Class, "error", why)
	return outbox.Pause(context.WithoutCancel(ctx), e.c.Pool, s.name, outbox.ByEngine, storable(why.Error()))
}

// sweep logs suspects again when they are due.
func (e *Engine) sweep(ctx context.Context) {
	for ctx.Err() == nil {
		if err := e.sweepOnce(ctx); err != nil && ctx.Err() == nil {
			e.log.WarnContext(ctx, "logging suspects again failed", "error", err)
		}
		wait(ctx, max(e.c.Settings.Lease/4, 100*time.Millisecond))
	}
}

func (e *Engine) sweepOnce(ctx context.Context) error {
	var names []string
	for _, s := range e.all() {
		names = append(names, s.name)
	}
	for {
		if n, err := outbox.Sweep(ctx, e.c.Pool, e.c.Settings.Late, names...); n == 0 || err != nil {
			return err
		}
	}
}

// bury notes processes of this host that have ended.
func (e *Engine) bury(ctx context.Context) error {
	if e.process.Host == "" {
		return nil
	}
	return outbox.Bury(ctx, e.c.Pool, e.process.Host, alive)
}

// wait pauses until d is over or ctx ends.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
