package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// writer writes portions to the store, one after the other, and saves the position behind each page.
type writer struct {
	e      *Engine
	s      *store
	t      *outbox.Tenure
	reader *outbox.Reader  // for what is read and logged while pages are written
	kinds  map[string]kind // as of the page that is followed

	span trace.Span // of the page under way; nil: none is

	mu       sync.Mutex // the fields below are changed by parallel batches and by saves
	done     Output
	told     Output          // of done, to the observer
	position outbox.Position // behind the last complete page
	dirty    bool            // position or outcome are not saved
	savedAt  time.Time
	outcome  map[outbox.RecordID]*outbox.Parked // what is parked, or with nil no longer parked, since the last save
	parks    bool                               // the backend has parked something
	parked   map[outbox.RecordID]bool           // of the records under way
	sent     map[string][]string                // keys of the page under way, by kind
	behind   map[string][]string                // keys of the complete pages since the last save
}

// newWriter makes the writer of a tenure.
func (e *Engine) newWriter(ctx context.Context, s *store, t *outbox.Tenure) (*writer, error) {
	w := &writer{
		e: e, s: s, t: t, reader: outbox.NewReader(e.c.Pool, t, s.sources), position: t.Start,
		outcome: map[outbox.RecordID]*outbox.Parked{}, sent: map[string][]string{}, behind: map[string][]string{},
	}
	if err := s.agrees(ctx, e.c.Pool); err != nil {
		return nil, err
	}
	if err := e.c.Pool.QueryRow(ctx, `select exists (select from outbox.parked where backend = $1)`, s.name).Scan(&w.parks); err != nil {
		return nil, fmt.Errorf("looking for what backend %s parked: %w", s.name, err)
	}
	return w, nil
}

// run writes portions until there are no more.
func (w *writer) run(ctx context.Context, portions <-chan *portion) error {
	defer func() { w.e.tracer.end(w.span, errLeft) }() // of a page whose rest could not be read
	for p := range portions {
		err := w.portion(w.traced(ctx, p), p)
		if p.last || err != nil {
			w.e.tracer.end(w.span, err)
			w.span = nil
		}
		w.report()
		if err != nil {
			return err
		}
	}
	return nil
}

// errLeft ends the span of a page that is not complete.
var errLeft = errors.New("the rest of the page was not read")

// traced is a context within the span of the portion's page, which the first portion begins. What only moves the
// position has none.
func (w *writer) traced(ctx context.Context, p *portion) context.Context {
	if w.span == nil {
		if p.page.Rows == 0 {
			return ctx
		}
		ctx, w.span = w.e.tracer.page(ctx, w.s.name, w.t.Lane, p.page, p.began)
		return ctx
	}
	return trace.ContextWithSpan(ctx, w.span)
}

// portion writes one portion. After a page's last one, what follows from its changes is logged, and then the
// position moves.
func (w *writer) portion(ctx context.Context, p *portion) error {
	for _, r := range p.records {
		if err := w.planned(ctx, r); err != nil {
			return err
		}
	}
	if !p.last {
		return nil
	}
	if err := w.follow(ctx, p.page); err != nil {
		return err
	}
	w.complete(p.page)
	return w.saveDue(ctx)
}

// complete notes that every record of the page is acknowledged or parked.
func (w *writer) complete(page *outbox.Page) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.position, w.dirty = page.Next, true
	if page.Rows > 0 {
		w.done.Pages++
		w.done.Rows += page.Rows
	}
	for kind, keys := range w.sent {
		w.behind[kind] = append(w.behind[kind], keys...)
	}
	clear(w.sent)
}

// planned writes the records of one projection in parallel batches.
func (w *writer) planned(ctx context.Context, p planned) error {
	for _, r := range p.refused {
		w.park(p.plan.Kind, p.plan.place(), r.key, r.version, r.err)
	}
	if len(p.records) == 0 {
		return nil
	}
	keys := keysOf(p.records)
	var err error
	if w.parked, err = w.recall(ctx, p.plan.Kind, p.plan.place(), keys); err != nil {
		return err
	}
	if err := w.prepare(ctx); err != nil {
		return err
	}
	w.mu.Lock()
	w.sent[p.plan.Kind] = append(w.sent[p.plan.Kind], keys...)
	w.mu.Unlock()
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

// recall answers which of the keys are parked, or will be by the next save. Most backends have parked nothing.
func (w *writer) recall(ctx context.Context, kind, target string, keys []string) (map[outbox.RecordID]bool, error) {
	if !w.parks {
		return nil, nil
	}
	found := map[outbox.RecordID]bool{}
	w.mu.Lock()
	for id := range w.outcome { // a save may park them, and forget them here, after they were looked for
		found[id] = true
	}
	w.mu.Unlock()
	rows, err := w.e.c.Pool.Query(ctx, `select key from outbox.parked where backend = $1 and kind = $2 and target = $3 and key = any($4::text[])`,
		w.s.name, kind, target, keys)
	if err != nil {
		return nil, fmt.Errorf("looking for what backend %s parked: %w", w.s.name, err)
	}
	id := outbox.RecordID{Kind: kind, Target: target}
	_, err = pgx.ForEachRow(rows, []any{&id.Key}, func() error { found[id] = true; return nil })
	if err != nil {
		return nil, fmt.Errorf("looking for what backend %s parked: %w", w.s.name, err)
	}
	return found, nil
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
		if err == nil || ctx.Err() != nil || errors.Is(err, outbox.ErrLost) || errors.Is(err, errOutdated) {
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
	w.forgive(outbox.RecordID{Kind: p.Kind, Target: p.place(), Key: r.Key}, w.parked)
}

// forgive notes that what may be parked is not any more. The caller holds the lock.
func (w *writer) forgive(id outbox.RecordID, parked map[outbox.RecordID]bool) {
	if _, unsaved := w.outcome[id]; unsaved || parked[id] {
		w.outcome[id] = nil
	}
}

// unpark notes that nothing of the keys is parked any more.
func (w *writer) unpark(ctx context.Context, kind, target string, keys []string) error {
	parked, err := w.recall(ctx, kind, target, keys)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range keys {
		w.forgive(outbox.RecordID{Kind: kind, Target: target, Key: k}, parked)
	}
	return nil
}

// park notes a record that was refused for good. It is stored with the position.
func (w *writer) park(kind, target, key string, version int64, err *backends.Error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done.Parked++
	w.parks = true
	cause := err.Error()
	if err.Err != nil {
		cause = err.Err.Error()
	}
	w.outcome[outbox.RecordID{Kind: kind, Target: target, Key: key}] = &outbox.Parked{
		Kind: kind, Target: target, Key: key,
		Class: string(err.Class), Error: storable(cause), Advice: storable(err.What()), Version: version,
	}
}

// saveDue saves if there is something to save and the last time is long enough ago.
func (w *writer) saveDue(ctx context.Context) error {
	w.mu.Lock()
	due := w.dirty && time.Since(w.savedAt) >= w.e.c.Settings.SaveEvery
	w.mu.Unlock()
	if !due {
		return nil
	}
	return w.save(ctx, 0)
}

// save stores the position and what was parked and unparked since the last time. Versions above floor follow. Saves
// wait for each other, so that a position never goes back.
func (w *writer) save(ctx context.Context, floor int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.dirty && floor == 0 && len(w.outcome) == 0 {
		return nil
	}
	o := outbox.Outcome{Floor: floor}
	for id, p := range w.outcome {
		if p == nil {
			o.Unparked = append(o.Unparked, id)
		} else {
			o.Parked = append(o.Parked, *p)
		}
	}
	if err := w.t.Save(ctx, w.e.c.Pool, w.position, o); err != nil {
		return err
	}
	w.dirty, w.savedAt = false, time.Now()
	clear(w.outcome)
	clear(w.behind)
	return nil
}

// raise gets a version above one that the store holds although the lease is ours.
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
	for _, sent := range []map[string][]string{w.behind, w.sent} {
		for kind, keys := range sent {
			errs = append(errs, outbox.Relog(ctx, w.e.c.Pool, w.s.name, kind, keys, outbox.Cause{}))
		}
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
