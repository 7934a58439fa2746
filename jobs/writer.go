package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// writer writes portions to the store, one after the other, and saves the position behind each page.
type writer struct {
	e     *Engine
	s     *store
	t     *outbox.Tenure
	kinds map[string]kind
	done  Output

	mu       sync.Mutex // the fields below are written by parallel batches
	outcome  outbox.Outcome
	parked   map[outbox.RecordID]bool // parked in the database, or about to be
	unsaved  map[string][]string      // keys sent since the last save, by kind
	position outbox.Position          // behind the last complete page
	dirty    bool                     // position or outcome are not saved
	savedAt  time.Time
}

// run writes portions until there are no more. Between them it saves the position when it is time, and in the end.
func (w *writer) run(ctx context.Context, portions <-chan *portion) error {
	save := time.NewTicker(w.e.c.Settings.SaveEvery)
	defer save.Stop()
	for {
		select {
		case p, more := <-portions:
			if !more {
				return w.save(ctx, 0)
			}
			if err := w.portion(ctx, p); err != nil {
				return err
			}
		case <-save.C:
		}
		if w.dirty && time.Since(w.savedAt) >= w.e.c.Settings.SaveEvery {
			if err := w.save(ctx, 0); err != nil {
				return err
			}
		}
	}
}

// portion writes one portion. Before a page's last one, what follows from its changes is logged.
func (w *writer) portion(ctx context.Context, p *portion) error {
	if p.page.Rows > 0 && p.last {
		if err := w.follow(ctx, p.page); err != nil {
			return err
		}
	}
	for _, r := range p.records {
		if err := w.planned(ctx, r); err != nil {
			return err
		}
	}
	if !p.last {
		return nil
	}
	w.position, w.dirty = p.page.Next, true
	w.done.Pages++
	w.done.Rows += p.page.Rows
	return nil
}

// planned writes the records of one projection in parallel batches.
func (w *writer) planned(ctx context.Context, p planned) error {
	for _, r := range p.refused {
		w.park(p.plan, r.key, r.version, r.err)
	}
	if len(p.records) == 0 {
		return nil
	}
	w.mu.Lock()
	w.unsaved[p.plan.Kind] = append(w.unsaved[p.plan.Kind], keysOf(p.records)...)
	w.mu.Unlock()
	if err := w.prepare(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(w.s.features.Concurrency)
	for _, batch := range backends.Split(p.records, w.s.features) {
		group.Go(func() error {
			b := batchWrite{w: w, plan: p.plan, began: time.Now()}
			return b.run(ctx, batch)
		})
	}
	return group.Wait()
}

// prepare makes the store's targets ready before the first write of this process.
func (w *writer) prepare(ctx context.Context) error {
	return w.patiently(ctx, "prepare", func(ctx context.Context) error { return w.s.prepare(ctx, false) })
}

// patiently does something in the store until it works, with the patience of a write.
func (w *writer) patiently(ctx context.Context, op string, do func(context.Context) error) error {
	b := batchWrite{w: w, began: time.Now()}
	for {
		err := do(ctx)
		if err == nil || ctx.Err() != nil || errors.Is(err, outbox.ErrLost) {
			return err
		}
		e := backends.AsError(op, w.s.name, err)
		if fatal(e.Class) {
			return e
		}
		if err := b.rest(ctx, e); err != nil {
			return err
		}
	}
}

// acknowledge notes what the store holds now.
func (w *writer) acknowledge(p *plan, r backends.Record, stale bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case stale:
		w.done.Stale++
	case r.Deleted:
		w.done.Deleted++
	default:
		w.done.Written++
	}
	id := outbox.RecordID{Kind: p.Kind, Target: p.target.Name, Key: r.Key}
	if w.parked[id] {
		delete(w.parked, id)
		w.outcome.Unparked = append(w.outcome.Unparked, id)
	}
}

// park notes a record that was refused for good. It is stored with the position.
func (w *writer) park(p *plan, key string, version int64, err *backends.Error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done.Parked++
	cause := err.Error()
	if err.Err != nil {
		cause = err.Err.Error()
	}
	w.outcome.Parked = append(w.outcome.Parked, outbox.Parked{
		Kind: p.Kind, Target: p.target.Name, Key: key,
		Class: string(err.Class), Error: storable(cause), Advice: storable(err.What()), Version: version,
	})
	w.parked[outbox.RecordID{Kind: p.Kind, Target: p.target.Name, Key: key}] = true
}

// save stores the position and what was parked and unparked since the last time. Versions above floor follow.
func (w *writer) save(ctx context.Context, floor int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.dirty && floor == 0 && len(w.outcome.Parked)+len(w.outcome.Unparked) == 0 {
		return nil
	}
	w.outcome.Floor = floor
	if err := w.t.Save(ctx, w.e.c.Pool, w.position, w.outcome); err != nil {
		return err
	}
	w.outcome, w.dirty, w.savedAt = outbox.Outcome{}, false, time.Now()
	if floor == 0 {
		clear(w.unsaved)
	}
	return nil
}

// raise gets a version above one that the store holds although the lease is ours: it comes from a former history, or
// from a clock that was ahead.
func (w *writer) raise(ctx context.Context, above int64) (int64, error) {
	if err := w.save(ctx, above); err != nil {
		return 0, err
	}
	return w.t.Version()
}

// confess logs again what may have been written without a lease. It is called when the lane turned out to be lost,
// after the last request has ended.
func (w *writer) confess(ctx context.Context) error {
	var errs []error
	for kind, keys := range w.unsaved {
		errs = append(errs, outbox.Relog(ctx, w.e.c.Pool, w.s.name, kind, keys, outbox.Cause{}))
	}
	return errors.Join(errs...)
}

// storable is text that PostgreSQL takes: valid UTF-8 without NUL, of bounded length.
func storable(text string) string {
	const most = 2000
	if len(text) > most {
		text = text[:most] + "…"
	}
	b := make([]rune, 0, len(text))
	for _, r := range text { // invalid bytes come as U+FFFD
		if r != 0 {
			b = append(b, r)
		}
	}
	return string(b)
}

// lostf is the error for a request that must not be sent, because the lease may be over.
func lostf(t *outbox.Tenure) error {
	return fmt.Errorf("lane %d of backend %s: the lease ran out before a send: %w", t.Lane, t.Backend, outbox.ErrLost)
}
