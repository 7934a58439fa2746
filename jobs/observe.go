package jobs

import (
	"context"
	"time"

	"github.com/outflow-db/outflow/backends"
)

// Observer is told what an engine does, as it happens: for metrics. Its methods are called from many goroutines at
// once, between two steps of the work, so they must be quick and must not wait for anything.
type Observer interface {
	// Wrote is called after each request to a store, whether it was answered or not.
	Wrote(r Request)
	// Worked is called at least once a page with what came of a lane's records since the last call.
	Worked(backend string, lane int, since Output)
}

// Request is one write to a store. Where a store refuses a batch because of some record in it, the requests that
// find that record are parts of one.
type Request struct {
	Backend, Kind, Target string
	Lane                  int
	Records               int
	Took                  time.Duration
	Class                 backends.Class // why it failed as a whole; empty: each record was answered for
}

// traced is a backend whose writes are seen: by a span each, and by the observer.
type traced struct {
	backends.Backend
	b *batchWrite
}

// Write is the backend's.
func (t traced) Write(ctx context.Context, target backends.Target, records []backends.Record) ([]backends.Result, error) {
	tracer, began := t.b.w.e.tracer, time.Now()
	ctx, span := tracer.request(ctx, t.b.w.s.name, t.b.plan, len(records))
	results, err := t.Backend.Write(ctx, target, records)
	tracer.end(span, err)
	t.b.observe(len(records), began, err)
	return results, err
}

// observe counts a request, and tells the observer of it, if there is one.
func (b *batchWrite) observe(records int, began time.Time, err error) {
	r := Request{
		Backend: b.w.s.name, Kind: b.plan.Kind, Target: b.plan.target.Name, Lane: b.w.t.Lane,
		Records: records, Took: time.Since(began),
	}
	if err != nil {
		r.Class = backends.ClassOf(err)
	}
	b.w.e.watch.meter(r.Backend).Request(r.Took, r.Class)
	if o := b.w.e.c.Observer; o != nil {
		o.Wrote(r)
	}
}

// report counts what came of records since the last time, and tells the observer, if there is one.
func (w *writer) report() {
	w.mu.Lock()
	since := w.done.less(w.told)
	w.told = w.done
	w.mu.Unlock()
	if since == (Output{}) {
		return
	}
	w.e.watch.meter(w.s.name).Records(since.Written+since.Deleted+since.Stale, since.Parked, since.Retries)
	if o := w.e.c.Observer; o != nil {
		o.Worked(w.s.name, w.t.Lane, since)
	}
}

// less is what was counted since before.
func (o Output) less(before Output) Output {
	return Output{
		Pages: o.Pages - before.Pages, Rows: o.Rows - before.Rows, Written: o.Written - before.Written, Deleted: o.Deleted - before.Deleted,
		Stale: o.Stale - before.Stale, Parked: o.Parked - before.Parked, Retries: o.Retries - before.Retries,
		Unknown: o.Unknown - before.Unknown, Followed: o.Followed - before.Followed,
	}
}
