package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/riverqueue/river"

	"github.com/outflow-db/outflow/outbox"
)

// VerifyArgs asks for a backend to be compared with PostgreSQL.
type VerifyArgs struct {
	Backend   string `json:"backend"`
	Repair    bool   `json:"repair"`
	Deep      bool   `json:"deep,omitempty"`      // as VerifyOptions.Deep
	Dangling  bool   `json:"dangling,omitempty"`  // as VerifyOptions.Dangling
	Scheduled bool   `json:"scheduled,omitempty"` // by the backend's schedule, which says what it does and when it may work
}

// Kind names the job in River.
func (VerifyArgs) Kind() string { return "verify" }

// verifyOpts puts the job into the backend's own queue, which only processes fetch from that have the backend. It is
// tried for days: after a restore nothing else makes the store agree again.
func verifyOpts(backend string) *river.InsertOpts {
	return &river.InsertOpts{Queue: backend, MaxAttempts: 1000, Tags: []string{"verify", "backend-" + backend}}
}

// verifyExamples is how many differences of a target the job's output names.
const verifyExamples = 5

// verifier works verify jobs.
type verifier struct {
	river.WorkerDefaults[VerifyArgs]
	e *Engine
}

// Timeout is long, because a store may be large. A target that was compared is not compared again by a retry.
func (v *verifier) Timeout(*river.Job[VerifyArgs]) time.Duration { return time.Hour }

// NextRetry is within minutes.
func (v *verifier) NextRetry(job *river.Job[VerifyArgs]) time.Time {
	return time.Now().Add(verifyBackoff(job.Attempt, random()))
}

// Work compares each target in a step of its own and records what it found, together with what earlier attempts did.
// When the engine stops or lets go of the backend, another attempt goes on.
func (v *verifier) Work(ctx context.Context, job *river.Job[VerifyArgs]) error {
	s := v.e.store(job.Args.Backend)
	if s == nil || v.e.ending(s) {
		return river.JobSnooze(time.Second)
	}
	if outbox.CheckHistory(ctx, v.e.c.Pool) != nil {
		return river.JobSnooze(time.Second) // positions are being rebased
	}
	if job.Args.Scheduled {
		return v.scheduled(ctx, job, s)
	}
	outer := ctx
	ctx, cancel := v.e.until(ctx, s)
	defer cancel()
	report := earlier(job)
	for _, p := range s.ordered() {
		river.ResumableStep(ctx, p.Kind+" "+p.target.Name, nil, func(ctx context.Context) error {
			t, err := v.compare(ctx, s, p, job.Args, func(t TargetReport) {
				counted := &Report{append(slices.Clone(report.Targets), t)}
				if err := v.e.showReport(outer, job.ID, counted); err != nil && ctx.Err() == nil {
					v.e.log.WarnContext(ctx, "the counts of a verify cannot be shown", "backend", s.name, "error", err)
				}
			})
			switch {
			case err == nil:
				report.Targets = append(report.Targets, t)
			case errors.Is(err, errNoContent):
				return river.JobCancel(err)
			case errors.Is(err, errOutdated):
				s.outdated.Store(true)
				v.e.waker.Wake()
				return river.JobSnooze(time.Second)
			case v.e.ending(s):
				return river.JobSnooze(time.Second)
			}
			return err
		})
	}
	return river.RecordOutput(ctx, report)
}

// showReport shows in River what a job has found so far.
func (e *Engine) showReport(ctx context.Context, job int64, report *Report) error {
	if err := river.RecordOutput(ctx, report); err != nil {
		return fmt.Errorf("recording what a verify found: %w", err)
	}
	if _, err := e.client.JobUpdate(context.WithoutCancel(ctx), job, nil); err != nil {
		return fmt.Errorf("showing what a verify found: %w", err)
	}
	return nil
}

// compare compares one target. One comparison of a backend runs at a time, because each holds a connection.
func (v *verifier) compare(ctx context.Context, s *store, p *plan, a VerifyArgs, counted func(TargetReport)) (TargetReport, error) {
	done, err := alone(ctx, s.verifying)
	if err != nil {
		return TargetReport{}, err
	}
	defer done()
	if err := s.prepare(ctx, false); err != nil {
		return TargetReport{}, err
	}
	began := time.Now()
	t, err := verifyTarget(ctx, v.e.c, s, p, VerifyOptions{Repair: a.Repair, Deep: a.Deep, Dangling: a.Dangling, Limit: verifyExamples, Counted: counted})
	if err != nil {
		return t, fmt.Errorf("verifying kind %s in target %s of backend %s: %w", p.Kind, p.target.Name, s.name, err)
	}
	v.e.c.remember(ctx, Result{TargetReport: t, Took: time.Since(began), Deeply: a.Deep, Repair: a.Repair, By: byJob})
	return t, nil
}

// earlier is what earlier attempts of the job reported.
func earlier(job *river.Job[VerifyArgs]) *Report {
	report := &Report{}
	if json.Unmarshal(job.Output(), report) != nil {
		return &Report{} // there was none, or not of ours
	}
	return report
}

// ending says whether this process is about to leave the backend.
func (e *Engine) ending(s *store) bool {
	return closed(e.ended) || closed(s.removed) || s.outdated.Load()
}

// until is ctx that also ends when this process leaves the backend.
func (e *Engine) until(ctx context.Context, s *store) (context.Context, context.CancelFunc) {
	return untilEither(ctx, e.ended, s.removed)
}

// untilEither is ctx that also ends when one of the channels is closed.
func untilEither(ctx context.Context, one, other <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		select {
		case <-one:
		case <-other:
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
