package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// batchWrite writes one batch of a projection's records until each is acknowledged or parked.
type batchWrite struct {
	w      *writer
	plan   *plan
	began  time.Time // of the first of the failures in a row
	tries  int       // failures in a row
	mended bool      // the targets were prepared again
}

// run writes the batch. Records that did not make it are tried again, in smaller batches if the store asks for less.
func (b *batchWrite) run(ctx context.Context, batch []backends.Record) error {
	for size := len(batch); len(batch) > 0; {
		head, tail := batch[:min(size, len(batch))], batch[min(size, len(batch)):]
		left, failure, err := b.once(ctx, head)
		if err != nil {
			return err
		}
		if len(left) < len(head) || failure == nil {
			b.tries, b.began = 0, time.Now()
		}
		batch = append(left[:len(left):len(left)], tail...)
		if failure == nil {
			continue
		}
		if judge(failure.Class) == fewer {
			size = max(size/2, 1)
		}
		if err := b.rest(ctx, failure); err != nil {
			return err
		}
	}
	return nil
}

// once sends records and sorts the answers. It answers the records to send again and why, if any failed in a way
// that a pause may help.
func (b *batchWrite) once(ctx context.Context, records []backends.Record) (left []backends.Record, failure *backends.Error, err error) {
	if !b.w.t.Live() {
		return nil, nil, lostf(b.w.t)
	}
	request, cancel := context.WithTimeoutCause(ctx, b.w.e.c.Settings.Request, fmt.Errorf("no answer within %v", b.w.e.c.Settings.Request))
	results, werr := backends.WriteBisected(request, b.w.s.backend, b.plan.target, records)
	cancel()
	if werr != nil {
		failure = backends.AsError("write", b.w.s.name, werr)
		return records, failure, b.settle(ctx, failure, records)
	}
	var above int64
	for i, r := range results {
		switch {
		case r.Outcome == backends.Failed && judge(r.Err.Class) == park:
			b.w.park(b.plan, records[i].Key, records[i].Version, r.Err)
		case r.Outcome == backends.Failed:
			left, failure = append(left, records[i]), r.Err
		case r.Outcome == backends.Stale && r.Stored > records[i].Version:
			left, above = append(left, records[i]), max(above, r.Stored)
		default:
			b.w.acknowledge(b.plan, records[i], r.Outcome == backends.Stale)
		}
	}
	if failure != nil {
		return left, failure, b.settle(ctx, failure, left)
	}
	if above > 0 {
		return b.above(ctx, left, above)
	}
	return left, nil, nil
}

// above gives records a version that the store takes. With a valid lease nobody else can have written a newer state.
func (b *batchWrite) above(ctx context.Context, records []backends.Record, stored int64) ([]backends.Record, *backends.Error, error) {
	version, err := b.w.raise(ctx, stored)
	if err != nil {
		return nil, nil, err
	}
	again := make([]backends.Record, len(records))
	for i, r := range records {
		r.Version = version
		again[i] = r
	}
	return again, nil, nil
}

// settle does what a failure asks for before the next try: suspects, prepares again, or gives up.
func (b *batchWrite) settle(ctx context.Context, failure *backends.Error, records []backends.Record) error {
	switch judge(failure.Class) {
	case doubts:
		set := b.w.e.c.Settings
		b.w.count(func(o *Output) { o.Unknown += len(records) })
		return outbox.Suspect(context.WithoutCancel(ctx), b.w.e.c.Pool, b.w.s.name, b.w.t.Owner, b.plan.Kind, keysOf(records), set.Lease, set.Late)
	case mend:
		if b.mended {
			return failure
		}
		b.mended = true
		if err := b.w.s.prepare(ctx, true); err != nil {
			e := backends.AsError("prepare", b.w.s.name, err)
			if fatal(e.Class) {
				return e
			}
		}
	case stop:
		return failure
	case park, again, fewer:
	}
	return nil
}

// rest waits before the next try. It gives up when the failures in a row have lasted longer than the patience, or
// the job must stop: River comes back to it.
func (b *batchWrite) rest(ctx context.Context, failure *backends.Error) error {
	b.tries++
	b.w.count(func(o *Output) { o.Retries++ })
	if time.Since(b.began) > b.w.e.c.Settings.Patience || b.w.e.stopping(b.w.s) || b.w.t.Hold() {
		return failure
	}
	b.w.e.log.WarnContext(ctx, "a write failed and is tried again", "backend", b.w.s.name, "try", b.tries, "class", failure.Class, "error", failure)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(backoff(b.tries, failure.Class, random())):
		return nil
	}
}

// count changes the job's output.
func (w *writer) count(change func(*Output)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.done)
}
