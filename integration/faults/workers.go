package faults

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/outflow-db/outflow/internal/child"
	"github.com/outflow-db/outflow/migrations"
)

// workerScenarios are the faults of the processes that project, and of River's rows.
func workerScenarios() []Scenario { return append(processScenarios(), riverScenarios()...) }

// signalled is a fault of processes.
func signalled(name, expect string, lasts time.Duration, do func(ctx context.Context, l *Lab) (func(context.Context) error, error)) Scenario {
	return Scenario{
		Part: Workers, Name: name, Expect: expect, Lasts: lasts, Needs: Processes,
		Do: func(ctx context.Context, l *Lab, _ *Store) (func(context.Context) error, error) { return do(ctx, l) },
	}
}

func processScenarios() []Scenario {
	return []Scenario{
		signalled("one killed (SIGKILL)", "its lanes are taken over when their leases expire; what it may have had in hand is suspect", 0, func(ctx context.Context, l *Lab) (func(context.Context) error, error) {
			p, err := l.fleet.one(ctx)
			if err != nil {
				return nil, err
			}
			return nil, p.Signal(syscall.SIGKILL)
		}),
		signalled("all killed (SIGKILL), and none for a while", "the log keeps what is written meanwhile; the next worker takes the lanes when their leases have expired", 0, func(_ context.Context, l *Lab) (func(context.Context) error, error) {
			l.fleet.setHold(true)
			end := func(context.Context) error { l.fleet.setHold(false); return nil }
			return end, l.fleet.signal(syscall.SIGKILL)
		}),
		signalled("one stopped for less than the lease (SIGSTOP)", "it goes on where it was", 0, func(ctx context.Context, l *Lab) (func(context.Context) error, error) {
			return l.fleet.stopOne(ctx)
		}),
		signalled("one stopped for longer than the lease (SIGSTOP)", "others take its lanes; it finds out before it sends, and logs again what it had in hand", lease*3/2, func(ctx context.Context, l *Lab) (func(context.Context) error, error) {
			return l.fleet.stopOne(ctx)
		}),
		signalled("one told to end in the middle of its work (SIGTERM)", "it finishes its page, saves, lets go of its lanes and exits with 0; others go on at once", 0, func(ctx context.Context, l *Lab) (func(context.Context) error, error) {
			p, err := l.fleet.one(ctx)
			if err != nil {
				return nil, err
			}
			return func(context.Context) error { return ended(p) }, p.Signal(syscall.SIGTERM)
		}),
		signalled("all told to end, one after the other: a deployment (SIGTERM)", "as one: the others work meanwhile", 0, func(_ context.Context, l *Lab) (func(context.Context) error, error) {
			return nil, l.fleet.roll()
		}),
	}
}

// signal sends a signal to all processes.
func (f *fleet) signal(sig syscall.Signal) error {
	var errs []error
	for _, p := range f.all() {
		errs = append(errs, p.Signal(sig))
	}
	return errors.Join(errs...)
}

// stopOne lets a process stand still until the end.
func (f *fleet) stopOne(ctx context.Context) (func(context.Context) error, error) {
	p, err := f.one(ctx)
	if err != nil {
		return nil, err
	}
	return func(context.Context) error { return p.Signal(syscall.SIGCONT) }, p.Signal(syscall.SIGSTOP)
}

// roll tells every process to end, the next when the one before has.
func (f *fleet) roll() error {
	for _, p := range f.all() {
		if err := errors.Join(p.Signal(syscall.SIGTERM), ended(p)); err != nil {
			return err
		}
	}
	return nil
}

// ended waits for the end of a process that was told to end.
func ended(p *child.Process) error {
	select {
	case <-p.Done:
	case <-time.After(40 * time.Second):
		return errors.New("a worker has not ended 40 s after SIGTERM")
	}
	if code := p.Cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("a worker ended after SIGTERM with %v", p.Cmd.ProcessState)
	}
	return nil
}

// rows is a fault of rows: a statement again and again while it lasts.
func rows(name, expect, during string) Scenario {
	return Scenario{
		Part: Workers, Name: name, Expect: expect, Do: func(ctx context.Context, l *Lab, _ *Store) (func(context.Context) error, error) {
			return again(ctx, func(ctx context.Context) error { return l.exec(ctx, during) }), nil
		},
	}
}

// riverScenarios are what people, and River itself, can do to jobs and lanes.
func riverScenarios() []Scenario {
	const project = ` where kind = 'project' and state in ('available', 'running', 'retryable', 'scheduled')`
	return []Scenario{
		{
			Part: Workers, Name: "jobs cancelled in River UI", Expect: "pages under way end; the lanes are called for again",
			Do: func(ctx context.Context, l *Lab, _ *Store) (func(context.Context) error, error) {
				return again(ctx, l.cancelJobs), nil
			},
		},
		rows("jobs discarded", "lanes do not depend on them: others are inserted",
			`update river.river_job set state = 'discarded', finalized_at = now()`+project),
		rows("jobs deleted", "lanes do not depend on them: others are inserted", `delete from river.river_job where kind = 'project'`),
		rows("jobs put off for a year", "a job that is due in a year counts as none: others are inserted",
			`update river.river_job set state = 'scheduled', scheduled_at = now() + interval '1 year'`+project),
		rows("jobs with their last attempt", "they are discarded, and others are inserted",
			`update river.river_job set attempt = max_attempts`+project),
		rows("River's leader taken away", "another is elected; lanes are called for by every process", `delete from river.river_leader`),
		rows("lanes taken by somebody who dies", "a worker finds its lane lost, and takes it again when that lease is over; what it sent is logged again",
			`update outbox.lanes set owner = 'somebody', epoch = outbox.next_version(version), version = outbox.next_version(version), expires = clock_timestamp() + interval '300 milliseconds'
			  where owner is distinct from 'somebody'`),
		rows("leases expired early", "an owner is told by its next save, and others take over", `update outbox.lanes set expires = clock_timestamp() - interval '1 second'`),
		{
			Part: Workers, Name: "queues paused in River UI, and resumed", Expect: "jobs wait, one a lane; nothing is lost, and the engine leaves the pause to its operator",
			Do: func(ctx context.Context, l *Lab, _ *Store) (func(context.Context) error, error) {
				client, err := l.river()
				if err != nil {
					return nil, err
				}
				end := func(ctx context.Context) error {
					return insist(ctx, func() error { return client.QueueResume(ctx, "*", nil) })
				}
				return end, client.QueuePause(ctx, "*", nil)
			},
		},
	}
}

// river is a client as River UI has one.
func (l *Lab) river() (*river.Client[pgx.Tx], error) {
	return river.NewClient(riverpgxv5.New(l.db()), &river.Config{Schema: migrations.RiverSchema, Logger: slog.New(slog.DiscardHandler)})
}

var activeStates = []rivertype.JobState{rivertype.JobStateAvailable, rivertype.JobStateRunning, rivertype.JobStateRetryable, rivertype.JobStateScheduled}

// cancelJobs cancels every project job.
func (l *Lab) cancelJobs(ctx context.Context) error {
	client, err := l.river()
	if err != nil {
		return err
	}
	found, err := client.JobList(ctx, river.NewJobListParams().Kinds("project").States(activeStates...).First(20))
	if err != nil {
		return err
	}
	for _, j := range found.Jobs {
		if _, err := client.JobCancel(ctx, j.ID); err != nil {
			return err
		}
	}
	return nil
}
