package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// writer writes portions to the store, page after page, and saves the position behind each page.
type writer struct {
	e      *Engine
	s      *store
	t      *outbox.Tenure
	reader *outbox.Reader  // for what is read and logged while pages are written
	kinds  map[string]kind // as of the page that is followed

	flights []*flight // pages under way, in their order; two at most
	stretch *stretch  // the requests under way; nil: none are

	parking  sync.Mutex // held while a record is parked
	mu       sync.Mutex // the fields below are changed by parallel batches and by saves
	done     Output
	told     Output          // of done, to the observer
	position outbox.Position // behind the last complete page
	dirty    bool            // position or outcome are not saved
	savedAt  time.Time
	outcome  map[outbox.RecordID]*outbox.Parked // what is parked, or with nil no longer parked, since the last save
	parks    bool                               // the backend has parked something
	applied  outbox.Applied                     // for the complete pages since the last save
	behind   map[string][]string                // keys of the complete pages since the last save
	counted  map[outbox.ParkedReason]counted    // of groups that may be about to exceed the limit
	trial    bool                               // it tries a sample of what the backend is paused for: no limit holds
	rejected map[outbox.Revertible]rejection    // writes that shall be reverted: asked for before the next save
}

// newWriter makes the writer of a tenure.
func (e *Engine) newWriter(ctx context.Context, s *store, t *outbox.Tenure) (*writer, error) {
	w := &writer{
		e: e, s: s, t: t, reader: outbox.NewReader(e.c.Pool, t, s.sources), position: t.Start,
		outcome: map[outbox.RecordID]*outbox.Parked{}, behind: map[string][]string{}, counted: map[outbox.ParkedReason]counted{},
		rejected: map[outbox.Revertible]rejection{},
	}
	if err := s.agrees(ctx, e.c.Pool); err != nil {
		return nil, err
	}
	if err := e.c.Pool.QueryRow(ctx, `select exists (select from outbox.parked where backend = $1)`, s.name).Scan(&w.parks); err != nil {
		return nil, fmt.Errorf("looking for what backend %s parked: %w", s.name, err)
	}
	return w, nil
}

// errLeft ends the span of a page that is not complete.
var errLeft = errors.New("the rest of the page was not read")

// complete notes that every record of the page is acknowledged or parked.
func (w *writer) complete(f *flight) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.position, w.dirty = f.page.Next, true
	if f.page.Rows > 0 {
		w.done.Pages++
		w.done.Rows += f.page.Rows
	}
	w.late(f.page)
	if w.s.reached(f.page) {
		f.applied.Pages, f.applied.Rows = 1, f.page.Rows
		w.applied.Add(f.applied)
	}
	for kind, keys := range f.sent {
		w.behind[kind] = append(w.behind[kind], keys...)
	}
}

// planned sends the records of one projection out, in parallel batches. It returns when the last has begun.
func (w *writer) planned(ctx context.Context, f *flight, from *portion, p planned) error {
	for _, r := range p.refused {
		if err := w.park(ctx, p.plan.asked(f.page), &f.applied, p.plan.Kind, p.plan.place(), r.key, r.version, r.err); err != nil {
			return err
		}
	}
	if len(p.records) == 0 {
		return nil
	}
	keys := keysOf(p.records)
	parked, err := w.recall(ctx, p.plan.Kind, p.plan.place(), keys)
	if err != nil {
		return err
	}
	if err := w.prepare(ctx); err != nil {
		return err
	}
	f.sent[p.plan.Kind] = append(f.sent[p.plan.Kind], keys...)
	return w.send(ctx, f, from, p, parked)
}

// recall answers which of the keys are parked, or will be by the next save. Most backends have parked nothing.
func (w *writer) recall(ctx context.Context, kind, target string, keys []string) (map[outbox.RecordID]bool, error) {
	found := map[outbox.RecordID]bool{}
	w.mu.Lock()
	if !w.parks {
		w.mu.Unlock()
		return nil, nil
	}
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

// acknowledge notes what the store holds now. Those of parked may be parked.
func (w *writer) acknowledge(p *plan, records []backends.Record, stale bool, parked map[outbox.RecordID]bool, into *outbox.Applied) {
	w.mu.Lock()
	defer w.mu.Unlock()
	deleted := 0
	for _, r := range records {
		if r.Deleted {
			deleted++
		}
		into.Acknowledge(p.Kind, r.Key, r.Version, r.Deleted, stale)
	}
	switch {
	case stale:
		w.done.Stale += len(records)
	default:
		w.done.Deleted += deleted
		w.done.Written += len(records) - deleted
	}
	if len(w.outcome) == 0 && len(parked) == 0 {
		return
	}
	for _, r := range records {
		w.forgive(outbox.RecordID{Kind: p.Kind, Target: p.place(), Key: r.Key}, parked)
	}
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

// park notes a record that was refused for good: it is stored with the position. Every record that is parked comes by here.
// It fails with a *limitError, and the record stays in the log, when masses of records are refused for the same reason. Writes
// in the page may ask to be reverted for it; nil: none may.
func (w *writer) park(ctx context.Context, page *outbox.Page, into *outbox.Applied, kind, target, key string, version int64, err *backends.Error) error {
	cause := err.Error()
	if err.Err != nil {
		cause = err.Err.Error()
	}
	p := &outbox.Parked{
		Kind: kind, Target: target, Key: key,
		Class: string(err.Class), Error: storable(cause), Advice: storable(err.What()), Version: version,
	}
	p.Pattern = outbox.Pattern(p.Error, key)
	w.parking.Lock() // one at a time is counted and parked: else the limit is passed by what others count meanwhile
	defer w.parking.Unlock()
	w.reject(page, p)
	if err := w.limit(ctx, p, err); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done.Parked++
	w.parks = true
	w.outcome[outbox.RecordID{Kind: kind, Target: target, Key: key}] = p
	into.Refuse(*p)
	return nil
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
	if !w.dirty && floor == 0 && len(w.outcome) == 0 && len(w.rejected) == 0 {
		return nil
	}
	if err := w.askReverts(ctx); err != nil { // before the position: it says that this was done
		return err
	}
	o := outbox.Outcome{Floor: floor, Applied: w.applied}
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
	w.dirty, w.savedAt, w.applied = false, time.Now(), outbox.Applied{}
	if len(w.outcome) > 0 {
		w.e.parkedNews.Store(true)
	}
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
	all, errs := []map[string][]string{w.behind}, []error(nil)
	for _, f := range w.flights {
		all = append(all, f.sent)
	}
	for _, sent := range all {
		for kind, keys := range sent {
			errs = append(errs, outbox.RelogFor(ctx, w.e.c.Pool, outbox.LeaseLost, w.s.name, kind, keys, outbox.Cause{}))
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
