package jobs

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// flight is a page under way to the store.
//
// A page may set out while the last requests of the one before are still under way, so that the store is never asked
// for less than it takes: but only if no key is in both, nothing but records is in either, and the requests at once
// are all of one projection. So no key ever has two writes under way, and what one projection's write does to
// another's records, as when a vertex takes its edges along, comes before or after those but never beside them. Pages
// are completed in their order.
type flight struct {
	page    *outbox.Page
	span    trace.Span          // nil: it has none
	sent    map[string][]string // keys by kind
	applied outbox.Applied      // what became of its records; guarded by the writer's lock
	whole   bool                // all of it has set out
	failed  atomic.Bool         // some request failed for good
	left    atomic.Int32        // requests under way, and one more until it is whole
	landed  chan struct{}       // closed when it is whole and no request is under way
}

func newFlight(page *outbox.Page) *flight {
	f := &flight{page: page, sent: map[string][]string{}, landed: make(chan struct{})}
	f.left.Store(1)
	return f
}

// leave ends a request, or says that the flight is whole.
func (f *flight) leave() {
	if f.left.Add(-1) == 0 {
		close(f.landed)
	}
}

// beside says whether a page may set out while the flight is under way.
func (f *flight) beside(page *outbox.Page) bool {
	return len(f.page.All) == 0 && len(page.All) == 0 && page.Disjoint(f.page)
}

// stretch is requests of one projection, of one flight or of two. The first that fails for good ends the others.
type stretch struct {
	plan  *plan
	group *errgroup.Group
	ctx   context.Context //nolint:containedctx // that of the group, which ends with the stretch
}

// run writes portions until there are no more, or some request fails for good. It returns when none is under way any
// more, and completes the pages that could be written.
func (w *writer) run(ctx context.Context, portions <-chan *portion) error {
	err := w.fly(ctx, portions)
	if serr := w.settle(); err == nil {
		err = serr
	}
	if err != nil && !errors.Is(err, outbox.ErrLost) && ctx.Err() == nil {
		err = errors.Join(err, w.land(ctx, 0))
	}
	for _, f := range w.flights {
		w.e.tracer.end(f.span, orLeft(err))
	}
	w.report()
	return err
}

// orLeft is why a page's span ends before it is complete.
func orLeft(err error) error {
	if err == nil {
		return errLeft
	}
	return err
}

// fly sends portions out and completes the pages that have landed.
func (w *writer) fly(ctx context.Context, portions <-chan *portion) error {
	for {
		var landed, failed <-chan struct{}
		if len(w.flights) > 0 {
			landed = w.flights[0].landed
		}
		if w.stretch != nil {
			failed = w.stretch.ctx.Done()
		}
		select {
		case <-failed:
			return nil // what settles knows why
		case <-landed:
			if err := w.land(ctx, len(w.flights)-1); err != nil {
				return err
			}
		case p, more := <-portions:
			if !more {
				return w.land(ctx, 0)
			}
			if err := w.portion(ctx, p); err != nil {
				return err
			}
		}
	}
}

// portion sends the records of a portion out. It returns when the last request has begun.
func (w *writer) portion(ctx context.Context, p *portion) error {
	defer p.leave()
	f, err := w.takeOff(ctx, p)
	if err != nil {
		return err
	}
	for _, r := range p.records {
		if err := w.planned(w.within(ctx, f), f, p, r); err != nil {
			return err
		}
	}
	if p.last {
		f.whole = true
		f.leave()
	}
	w.report()
	return nil
}

// takeOff is the flight of the portion's page: the last one, or a new one, for which others have to land first.
func (w *writer) takeOff(ctx context.Context, p *portion) (*flight, error) {
	if n := len(w.flights); n > 0 {
		last := w.flights[n-1]
		if last.page == p.page {
			return last, nil
		}
		most := 0
		if last.beside(p.page) {
			most = 1
		}
		if err := w.land(ctx, most); err != nil {
			return nil, err
		}
	}
	f := newFlight(p.page)
	if p.page.Rows > 0 { // what only moves the position has no span
		_, f.span = w.e.tracer.page(ctx, w.s.name, w.t.Lane, p.page, p.began)
	}
	w.flights = append(w.flights, f)
	return f, nil
}

// within is a context within the span of the flight's page.
func (w *writer) within(ctx context.Context, f *flight) context.Context {
	if f.span == nil {
		return ctx
	}
	return trace.ContextWithSpan(ctx, f.span)
}

// land completes pages in their order, until at most so many are under way. One whose rest was not read stays.
func (w *writer) land(ctx context.Context, most int) error {
	for len(w.flights) > most && w.flights[0].whole {
		f := w.flights[0]
		<-f.landed
		if f.failed.Load() {
			return w.settle()
		}
		if err := w.arrived(w.within(ctx, f), f); err != nil {
			return err
		}
		w.flights = w.flights[1:]
		w.e.tracer.end(f.span, nil)
		w.report()
		if err := w.saveDue(ctx); err != nil {
			return err
		}
	}
	return nil
}

// arrived does what follows when every record of a flight is acknowledged or parked.
func (w *writer) arrived(ctx context.Context, f *flight) error {
	if f.early() {
		w.glanced(f)
		return nil
	}
	if err := w.follow(ctx, f.page); err != nil {
		return err
	}
	w.complete(f)
	return nil
}

// settle returns when no request is under way, with the error of the first that failed for good.
func (w *writer) settle() error {
	if w.stretch == nil {
		return nil
	}
	err := w.stretch.group.Wait()
	w.stretch = nil
	return err
}

// along is a stretch for requests of the projection: the one that is under way, or a new one after it.
func (w *writer) along(ctx context.Context, p *plan) (*stretch, error) {
	if w.stretch != nil && w.stretch.plan == p && w.stretch.ctx.Err() == nil {
		return w.stretch, nil
	}
	if err := w.settle(); err != nil {
		return nil, err
	}
	s := &stretch{plan: p}
	s.group, s.ctx = errgroup.WithContext(ctx)
	s.group.SetLimit(w.s.features.Concurrency)
	w.stretch = s
	return s, nil
}

// send begins the requests for records of one projection, as many at once as the store takes.
func (w *writer) send(ctx context.Context, f *flight, from *portion, p planned, parked map[outbox.RecordID]bool) error { //nolint:contextcheck // a stretch that is under way has the context it began with
	s, err := w.along(ctx, p.plan)
	if err != nil {
		return err
	}
	within := w.within(s.ctx, f)
	for _, batch := range backends.Split(p.records, w.s.features) {
		f.left.Add(1)
		from.left.Add(1)
		s.group.Go(func() error {
			defer from.leave()
			defer f.leave()
			b := batchWrite{w: w, plan: p.plan, parked: parked, page: p.plan.asked(f.page), applied: &f.applied, began: time.Now()}
			err := b.run(within, batch)
			if err != nil {
				f.failed.Store(true)
			}
			return err
		})
	}
	return nil
}
