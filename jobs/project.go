package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river"
	"golang.org/x/sync/errgroup"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// ProjectArgs asks for a lane of a backend to be drained.
type ProjectArgs struct {
	Backend string `json:"backend"`
	Lane    int    `json:"lane"`
}

// Kind names the job in River.
func (ProjectArgs) Kind() string { return "project" }

// Output is what a project job did, recorded as its output.
type Output struct {
	Held     bool   `json:"held,omitempty"`   // somebody else had the lane: nothing was done
	Pages    int    `json:"pages"`            // pages of the log
	Rows     int    `json:"rows"`             // rows of the log in them
	Written  int    `json:"written"`          // records written
	Deleted  int    `json:"deleted"`          // records deleted
	Stale    int    `json:"stale"`            // records that the store had newer
	Parked   int    `json:"parked"`           // records refused for good
	Early    int    `json:"early,omitempty"`  // keys written before their turn, in peeks at what is new
	Followed int    `json:"followed"`         // keys logged because of others
	Retries  int    `json:"retries"`          // failed requests that were tried again
	Unknown  int    `json:"unknown"`          // records sent without an answer
	Millis   int64  `json:"milliseconds"`     // how long it took
	Position string `json:"position"`         // where the lane is
	Paused   string `json:"paused,omitempty"` // why the backend paused
	Aside    string `json:"aside,omitempty"`  // why this process leaves the backend to others
}

// projector works project jobs.
type projector struct {
	river.WorkerDefaults[ProjectArgs]
	e *Engine
}

// Timeout is when River reminds the job to end. The work itself is bounded by the slice and the patience; the lease,
// not River, says whether it may go on.
func (p *projector) Timeout(*river.Job[ProjectArgs]) time.Duration { return 2 * time.Minute }

// NextRetry is soon: a store that is back must not wait for hours.
func (p *projector) NextRetry(job *river.Job[ProjectArgs]) time.Time {
	return time.Now().Add(jobBackoff(job.Attempt, random()))
}

// Work drains the lane for a slice of time.
func (p *projector) Work(ctx context.Context, job *river.Job[ProjectArgs]) error {
	s := p.e.store(job.Args.Backend)
	if s == nil {
		return river.JobCancel(fmt.Errorf("backend %s is not configured in this process", job.Args.Backend))
	}
	if s.down() && !p.e.isPaused(s) && !p.e.ending(s) {
		return p.e.pass(ctx, job.Args)
	}
	if p.e.stopping(s) {
		return nil
	}
	within, release := p.e.within(ctx)
	defer release()
	if !p.e.enter(within) {
		return context.Cause(within)
	}
	defer p.e.leave()
	begun := time.Now()
	out, err := p.e.drain(within, s, job.Args.Lane)
	out.Millis = time.Since(begun).Milliseconds()
	err = errors.Join(p.e.outcome(ctx, s, &out, err), river.RecordOutput(ctx, out))
	p.e.waker.Wake() // the keeper looks whether the lane needs another job
	return err
}

// outcome does what the end of a job asks for, and answers the error that River shall know.
func (e *Engine) outcome(ctx context.Context, s *store, out *Output, err error) error {
	if over, ok := errors.AsType[*limitError](err); ok {
		out.Paused = storable(over.Error())
		return e.pauseAtLimit(context.WithoutCancel(ctx), s, over)
	}
	why, classified := errors.AsType[*backends.Error](err)
	_, history := errors.AsType[*outbox.HistoryError](err)
	switch {
	case errors.Is(err, errOutdated):
		out.Aside = err.Error()
		s.outdated.Store(true) // the keeper takes it out
		return nil
	case history:
		return e.settle(ctx)
	case classified && s.down():
		out.Paused = storable(why.Error()) // the guard sees to it
		e.suspicious()
		return nil
	case classified && fatal(why.Class):
		out.Paused = storable(why.Error())
		return e.pauseStore(ctx, s, why)
	default:
		return err
	}
}

// drain takes the lane and works it until the slice is over or nothing comes any more.
func (e *Engine) drain(ctx context.Context, s *store, lane int) (Output, error) {
	defer e.atWork.Add(-1)
	e.atWork.Add(1)
	set := e.c.Settings
	t, err := outbox.Take(ctx, e.c.Pool, outbox.Claim{Backend: s.name, Lane: lane, Owner: e.process.Owner, Lease: set.Lease, Zombie: set.Zombie})
	if err != nil {
		return Output{}, err
	}
	if t == nil {
		return Output{Held: true}, nil
	}
	w, err := e.newWriter(ctx, s, t)
	if err != nil {
		return Output{}, errors.Join(err, t.Release(context.WithoutCancel(ctx), e.c.Pool))
	}
	err = e.tenure(ctx, s, t, w)
	w.report()
	w.done.Position = storable(w.position.At.String())
	return w.done, e.finish(context.WithoutCancel(ctx), w, err)
}

// tenure runs the feed, the writer, the renewal of the lease and the saves side by side until the writer has nothing
// left or one of them fails. A feed that fails, for one reason or another of PostgreSQL's, lets the writer finish what
// it has; all other failures end the requests under way.
func (e *Engine) tenure(ctx context.Context, s *store, t *outbox.Tenure, w *writer) error {
	f := &feed{
		e: e, s: s, t: t, reader: outbox.NewReader(e.c.Pool, t, s.sources), pos: t.Start, keys: s.pageKeys(e.c.Settings), rows: max(s.pageKeys(e.c.Settings)/keysPerRow, 1),
		portion: make(chan *portion), ledger: newLedger(), until: time.Now().Add(e.c.Settings.Slice),
		collect: collector{sizes: map[*plan]int{}},
	}
	var failed error
	group, ctx := errgroup.WithContext(ctx)
	upkeep, stop := context.WithCancel(ctx)
	group.Go(func() error {
		if failed = f.run(ctx); errors.Is(failed, outbox.ErrLost) {
			return failed
		}
		return nil
	})
	group.Go(func() error { defer stop(); return w.run(ctx, f.portion) })
	group.Go(func() error { return every(upkeep, e.c.Settings.SaveEvery, w.saveDue) })
	group.Go(func() error {
		return every(upkeep, e.c.Settings.Lease/5, func(ctx context.Context) error { return e.renew(ctx, t) })
	})
	if err := group.Wait(); err != nil {
		return err
	}
	return failed
}

// every does something again and again until it fails or ctx ends.
func every(ctx context.Context, d time.Duration, do func(context.Context) error) error {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := do(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// renew prolongs the lease. A failure to do so is not the end: the lease holds for a while, and the send that would
// be too late is not sent.
func (e *Engine) renew(ctx context.Context, t *outbox.Tenure) error {
	err := t.Renew(ctx, e.c.Pool)
	if err == nil || errors.Is(err, outbox.ErrLost) {
		return err
	}
	if ctx.Err() == nil {
		e.log.WarnContext(ctx, "a lease could not be renewed", "backend", t.Backend, "lane", t.Lane, "error", err)
	}
	return nil
}

// finish saves what can be saved and lets go of the lane. If the lane was lost, what was sent in the meantime is
// logged again.
func (e *Engine) finish(ctx context.Context, w *writer, err error) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if !errors.Is(err, outbox.ErrLost) {
		if serr := w.save(ctx, 0); serr != nil {
			err = errors.Join(err, serr)
		}
	}
	lost := errors.Is(err, outbox.ErrLost)
	if rerr := w.t.Release(ctx, e.c.Pool); errors.Is(rerr, outbox.ErrLost) {
		lost = true
	} else if rerr != nil {
		err = errors.Join(err, rerr)
	}
	if lost {
		e.log.WarnContext(ctx, "a lane was lost", "backend", w.s.name, "lane", w.t.Lane, "error", err)
		return w.confess(ctx) // the next owner goes on: no failure of this job
	}
	return err
}
