package jobs

import (
	"context"
	"errors"
	"sync"
)

// CallAgain is how often the keeper calls for a lane.
const CallAgain = callAgain

// Runs says whether the engine works the backend.
func (e *Engine) Runs(backend string) bool { return e.runs(backend) }

// SeeTo sees to a rebuild that owner has claimed, until it is over, in a process that works no other jobs.
func (e *Engine) SeeTo(ctx context.Context, owner string, args RebuildArgs) error {
	ctx, stop := context.WithCancel(ctx)
	var keeper sync.WaitGroup
	keeper.Go(func() { e.keep(ctx) })
	r := &rebuild{e: e, args: args, owner: owner, show: func(Rebuilt) error { return nil }}
	err := r.run(ctx)
	stop()
	keeper.Wait()
	return errors.Join(err, e.Close())
}

// ScheduleVerifies begins the verifies that are due, as the keeper does.
func (e *Engine) ScheduleVerifies(ctx context.Context) error { return e.schedule(ctx) }

// Call calls for lanes, as the keeper does.
func (e *Engine) Call(ctx context.Context, due ...ProjectArgs) error { return e.call(ctx, due...) }
