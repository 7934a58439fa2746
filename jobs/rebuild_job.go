package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"

	"github.com/outflow-db/outflow/outbox"
)

// RebuildArgs asks for a rebuild of a target, beside the generation that readers see, to be seen to. What it is, and
// how far, is in outbox.projections.
type RebuildArgs struct {
	Backend string `json:"backend"`
	Records string `json:"kind"` // the kind of the records
	Target  string `json:"target"`
}

// Kind names the job in River.
func (RebuildArgs) Kind() string { return "rebuild" }

// rebuildOpts puts the job into the backend's own queue, which only processes fetch from that have the backend.
func rebuildOpts(a RebuildArgs) *river.InsertOpts {
	return &river.InsertOpts{Queue: a.Backend, MaxAttempts: 1000, Tags: []string{"rebuild", "backend-" + a.Backend}}
}

// Rebuilt is what a rebuild job did and found, recorded as its output.
type Rebuilt struct {
	Held       bool          `json:"held,omitempty"`       // another job sees to it: nothing was done
	Generation int           `json:"generation,omitempty"` // that is being filled
	Phase      string        `json:"phase"`                // how far it is: logged, filling, finishing, verifying, ready, switching, dropping, done
	Note       string        `json:"note,omitempty"`       // what it waits for
	Verified   *TargetReport `json:"verified,omitempty"`   // what the last comparison found
}

// rebuildWorker works rebuild jobs.
type rebuildWorker struct {
	river.WorkerDefaults[RebuildArgs]
	e *Engine
}

// Timeout is long, because the store may be large. Another attempt goes on where one ended.
func (w *rebuildWorker) Timeout(*river.Job[RebuildArgs]) time.Duration { return time.Hour }

// NextRetry is soon.
func (w *rebuildWorker) NextRetry(job *river.Job[RebuildArgs]) time.Time {
	return time.Now().Add(jobBackoff(job.Attempt, random()))
}

// Work sees to the rebuild, phase by phase, until it is over. When the engine stops or lets go of the backend,
// another attempt goes on.
func (w *rebuildWorker) Work(ctx context.Context, job *river.Job[RebuildArgs]) error {
	s := w.e.store(job.Args.Backend)
	if s == nil || closed(w.e.ended) || closed(s.removed) || outbox.CheckHistory(ctx, w.e.c.Pool) != nil {
		return river.JobSnooze(time.Second)
	}
	outer := ctx
	ctx, cancel := w.e.until(ctx, s)
	defer cancel()
	r := &rebuild{e: w.e, args: job.Args, owner: fmt.Sprintf("%s/%d", w.e.process.Owner, job.ID), show: func(out Rebuilt) error {
		if err := river.RecordOutput(outer, out); err != nil {
			return err
		}
		_, err := w.e.client.JobUpdate(ctx, job.ID, nil)
		return err
	}}
	mine, err := r.claim(ctx)
	if err != nil {
		return err
	}
	if !mine {
		return river.RecordOutput(outer, Rebuilt{Held: true, Phase: "done"})
	}
	defer r.release(context.WithoutCancel(outer))
	err = r.run(ctx)
	if err != nil && (closed(w.e.ended) || closed(s.removed)) {
		return river.JobSnooze(time.Second)
	}
	return err
}

// rebuild is one rebuild that a job sees to.
type rebuild struct {
	e     *Engine
	args  RebuildArgs
	owner string
	out   Rebuilt
	show  func(Rebuilt) error
	under atomic.Pointer[work]
}

// work is a step under way, for a generation.
type work struct {
	generation int
	cancel     context.CancelCauseFunc
}

// errGivenUp ends a step whose generation is not being filled any more.
var errGivenUp = errors.New("the rebuild was given up")

// errNotMine ends a job whose rebuild another one has taken over, or that is over.
var errNotMine = errors.New("the rebuild is over, or another job sees to it")

// claim makes the rebuild this job's for the time of a lease. It is false when there is none, or another job sees to it.
// Two that do so by mistake do no harm: what they change is changed in turn, and in one phase only.
func (r *rebuild) claim(ctx context.Context) (bool, error) {
	tag, err := r.e.c.Pool.Exec(ctx, `
update outbox.projections set rebuilder = $4, rebuilder_until = clock_timestamp() + $5::interval
 where backend = $1 and kind = $2 and target = $3 and (building is not null or dropping is not null)
   and (rebuilder is null or rebuilder = $4 or rebuilder_until < clock_timestamp())`,
		r.args.Backend, r.args.Records, r.args.Target, r.owner, r.e.c.Settings.Lease)
	if err != nil {
		return false, fmt.Errorf("claiming the rebuild of %s in backend %s: %w", r.args.Target, r.args.Backend, err)
	}
	return tag.RowsAffected() == 1, nil
}

// release lets other jobs have the rebuild. Without it they wait for the lease to end.
func (r *rebuild) release(ctx context.Context) {
	_, err := r.e.c.Pool.Exec(ctx, `
update outbox.projections set rebuilder = null, rebuilder_until = null where backend = $1 and kind = $2 and target = $3 and rebuilder = $4`,
		r.args.Backend, r.args.Records, r.args.Target, r.owner)
	if err != nil {
		r.e.log.WarnContext(ctx, "letting go of a rebuild failed", "backend", r.args.Backend, "target", r.args.Target, "error", err)
	}
}

// run takes step after step until the rebuild is over, and keeps it this job's meanwhile.
func (r *rebuild) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		err := every(ctx, r.e.c.Settings.Lease/3, func(ctx context.Context) error {
			mine, err := r.claim(ctx)
			if err == nil && !mine {
				err = errNotMine
			}
			return errors.Join(err, r.heed(ctx))
		})
		cancel(err)
	}()
	defer func() { cancel(nil); <-kept }()
	for {
		pause, err := r.step(ctx)
		switch {
		case errors.Is(err, errGivenUp):
		case errors.Is(err, errNotMine):
			return r.show(r.out)
		case errors.Is(err, errOutdated):
			pause = rebuildPoll
		case err != nil && errors.Is(context.Cause(ctx), errNotMine):
			return r.show(r.out)
		case err != nil:
			return err
		}
		if wait(ctx, pause); ctx.Err() != nil {
			if cause := context.Cause(ctx); !errors.Is(cause, errNotMine) {
				return cause
			}
			return nil
		}
	}
}

// filling is ctx for a step that concerns a generation that is being filled. It ends when that was given up.
func (r *rebuild) filling(ctx context.Context, generation int) (step context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	r.under.Store(&work{generation, cancel})
	return ctx, func() {
		r.under.Store(nil)
		cancel(nil)
	}
}

// heed ends the step under way if its generation was given up: it could go on for hours.
func (r *rebuild) heed(ctx context.Context) error {
	w := r.under.Load()
	if w == nil {
		return nil
	}
	var still bool
	err := r.e.c.Pool.QueryRow(ctx, `
select exists (select from outbox.projections where backend = $1 and kind = $2 and target = $3 and building = $4)`,
		r.args.Backend, r.args.Records, r.args.Target, w.generation).Scan(&still)
	if err != nil {
		return fmt.Errorf("reading whether a rebuild goes on: %w", err)
	}
	if !still {
		w.cancel(errGivenUp)
	}
	return nil
}

// tell shows in River what the rebuild is at, if that is news.
func (r *rebuild) tell(phase string, generation int, note string) error {
	if r.out.Phase == phase && r.out.Note == note && r.out.Generation == generation {
		return nil
	}
	r.out.Phase, r.out.Generation, r.out.Note = phase, generation, note
	return r.show(r.out)
}

// store is the backend as it is open now, with the generations that there are. It asks for another one if it has not.
func (r *rebuild) store(ctx context.Context) (*store, error) {
	s := r.e.store(r.args.Backend)
	if s == nil {
		return nil, fmt.Errorf("backend %s does not run here any more", r.args.Backend)
	}
	err := s.current(ctx, r.e.c.Pool)
	if errors.Is(err, errOutdated) {
		s.outdated.Store(true)
		r.e.waker.Wake()
	}
	return s, err
}
