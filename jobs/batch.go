package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// batchWrite writes one batch of a projection's records until each is acknowledged or parked.
type batchWrite struct {
	w       *writer
	plan    *plan
	parked  map[outbox.RecordID]bool // those of its records that may be parked
	page    *outbox.Page             // whose writes may ask to be reverted for its records; nil: none
	applied *outbox.Applied          // what became of its records is noted there; nil: nowhere
	began   time.Time                // of the first of the failures in a row
	tries   int                      // failures in a row
	mended  bool                     // the targets were prepared again
	raised  int                      // versions were raised so often in a row
	doubts  map[string]time.Time     // when keys were made suspect
}

// run writes the batch, in requests as large, and as many at once, as the store bears. Records that did not make it are
// tried again.
func (b *batchWrite) run(ctx context.Context, batch []backends.Record) error {
	for len(batch) > 0 {
		n := min(b.w.s.requestSize(), len(batch))
		left, failure, err := b.send(ctx, batch[:n])
		if err != nil {
			return err
		}
		if len(left) < n {
			b.tries, b.raised, b.began = 0, 0, time.Now()
		}
		batch = slices.Concat(left, batch[n:])
		if failure == nil {
			continue
		}
		if err := b.rest(ctx, failure); err != nil {
			return err
		}
	}
	return nil
}

// send is once, when the store's rate and what is under way allow it.
func (b *batchWrite) send(ctx context.Context, records []backends.Record) (left []backends.Record, failure *backends.Error, err error) {
	if err := b.w.s.paid(ctx, len(records)); err != nil {
		return nil, nil, err
	}
	pass, err := b.w.s.flow.Enter(ctx)
	if err != nil {
		return nil, nil, err
	}
	began := time.Now()
	left, failure, err = b.once(ctx, records)
	switch {
	case err != nil:
		pass.Left()
	case failure == nil:
		pass.Took(len(records), time.Since(began))
	case judge(failure.Class) == fewer:
		pass.Overloaded(len(records))
	case judge(failure.Class) == again, judge(failure.Class) == doubts:
		pass.Failed()
	default:
		pass.Left()
	}
	return left, failure, err
}

// once sends records and sorts the answers. It answers the records to send again and, if any failed in a way that a
// pause may help, why: the gravest reason.
func (b *batchWrite) once(ctx context.Context, records []backends.Record) (left []backends.Record, failure *backends.Error, err error) {
	results, werr := backends.WriteBisected(ctx, leased{traced{b.w.s.backend, b}, b.w.t}, b.plan.target, records)
	if errors.Is(werr, outbox.ErrLost) {
		return nil, nil, werr
	}
	if werr != nil {
		failure = backends.AsError("write", b.w.s.name, werr)
		if judge(failure.Class) == doubts {
			err = b.suspect(ctx, records)
		}
		return records, failure, errors.Join(err, b.mend(ctx, failure))
	}
	var refused, doubtful []backends.Record
	var why []*backends.Error
	var behind []overtaken
	applied := 0 // the records up to here are applied, or are not
	for i, r := range results {
		if r.Outcome == backends.Applied {
			continue
		}
		b.acknowledge(records[applied:i], false)
		applied = i + 1
		switch {
		case r.Outcome == backends.Stale:
			behind = append(behind, overtaken{records[i], r.Stored})
		case judge(r.Err.Class) == park:
			refused, why = append(refused, records[i]), append(why, r.Err)
		default:
			left, failure = append(left, records[i]), graver(failure, r.Err)
			if judge(r.Err.Class) == doubts {
				doubtful = append(doubtful, records[i])
			}
		}
	}
	b.acknowledge(records[applied:], false)
	if err := errors.Join(b.suspect(ctx, doubtful), b.mend(ctx, failure)); err != nil {
		return nil, nil, err
	}
	if err := b.park(ctx, refused, why); err != nil {
		return nil, nil, err
	}
	risen, fight, err := b.overtake(ctx, behind)
	return append(left, risen...), graver(failure, fight), err
}

// acknowledge notes what the store holds now.
func (b *batchWrite) acknowledge(records []backends.Record, stale bool) {
	if len(records) > 0 {
		if !stale {
			b.w.s.lately.took(place{b.plan.Kind, b.plan.place()}, len(records), time.Now())
		}
		b.w.acknowledge(b.plan, records, stale, b.parked, b.applied)
	}
}

// park parks the records that were refused.
func (b *batchWrite) park(ctx context.Context, refused []backends.Record, why []*backends.Error) error {
	for i, r := range refused {
		if err := b.w.park(ctx, b.page, b.applied, b.plan.Kind, b.plan.place(), r.Key, r.Version, why[i]); err != nil {
			return err
		}
	}
	return nil
}

// suspect makes records suspect whose request may still arrive: once for all the tries of a batch.
func (b *batchWrite) suspect(ctx context.Context, records []backends.Record) error {
	set := b.w.e.c.Settings
	b.w.count(func(o *Output) { o.Unknown += len(records) })
	var keys []string
	for _, r := range records {
		if at, known := b.doubts[r.Key]; !known || time.Since(at) > b.w.s.patience {
			keys = append(keys, r.Key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	age := set.Late + b.w.s.patience // the tries that follow are covered
	if err := outbox.Suspect(context.WithoutCancel(ctx), b.w.e.c.Pool, b.w.s.name, b.w.t.Owner, b.plan.Kind, keys, set.Lease, age); err != nil {
		return err
	}
	if b.doubts == nil {
		b.doubts = map[string]time.Time{}
	}
	for _, k := range keys {
		b.doubts[k] = time.Now()
	}
	return nil
}

// mend prepares the targets again after a failure that this may help, once. It fails when nothing but an operator
// can help.
func (b *batchWrite) mend(ctx context.Context, failure *backends.Error) error {
	if failure == nil {
		return nil
	}
	switch judge(failure.Class) {
	case stop:
		return failure
	case mend:
		if b.mended {
			return failure
		}
		if err := b.w.s.prepare(ctx, true); errors.Is(err, errOutdated) {
			return err
		} else if err != nil {
			if e := backends.AsError("prepare", b.w.s.name, err); fatal(e.Class) {
				return e
			}
			return nil // the store has other trouble: later
		}
		b.mended = true
	case again, fewer, doubts, park:
	}
	return nil
}

// rest waits before the next try. It gives up when the failures in a row have lasted longer than the patience, or
// the job must stop: River comes back to it.
func (b *batchWrite) rest(ctx context.Context, failure *backends.Error) error {
	b.tries++
	b.w.count(func(o *Output) { o.Retries++ })
	b.w.e.suspicious()
	if time.Since(b.began) > b.w.s.patience || b.w.e.stopping(b.w.s) || b.w.t.Hold() {
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

// overtaken is a record of which the store holds a higher version.
type overtaken struct {
	record backends.Record
	stored int64 // 0: the store does not say
}

// Versions that a store can hold.
const (
	versionsEnd = 1 << 53 // nobody gives out versions from here on
	raisesMost  = 5       // raising more often in a row is a fight with another writer
)

// overtake gives records a version that the store takes: with a valid lease nobody else can have written a newer
// state, so what is there comes from a former history or from a clock that was ahead. It answers the records to
// send again, and a failure if that does not help.
func (b *batchWrite) overtake(ctx context.Context, behind []overtaken) ([]backends.Record, *backends.Error, error) {
	if err := b.ask(ctx, behind); err != nil {
		return nil, nil, err
	}
	var above int64
	var records []backends.Record
	for _, o := range behind {
		switch {
		case o.stored <= o.record.Version:
			b.acknowledge([]backends.Record{o.record}, true)
		case o.stored >= versionsEnd:
			if err := b.w.park(ctx, b.page, b.applied, b.plan.Kind, b.plan.place(), o.record.Key, o.record.Version, b.foreign(o.stored)); err != nil {
				return nil, nil, err
			}
		default:
			records, above = append(records, o.record), max(above, o.stored)
		}
	}
	if len(records) == 0 {
		return nil, nil, nil
	}
	if b.raised++; b.raised > raisesMost {
		return records, b.rival(above), nil
	}
	version, err := b.w.raise(ctx, above)
	if err != nil {
		return nil, nil, err
	}
	for i := range records {
		records[i].Version = version
	}
	return records, nil, nil
}

// ask looks up the versions of which the store did not say how high they are.
func (b *batchWrite) ask(ctx context.Context, behind []overtaken) error {
	var silent []backends.Record
	for _, o := range behind {
		if o.stored == 0 {
			silent = append(silent, o.record)
		}
	}
	if len(silent) == 0 {
		return nil
	}
	entries, err := b.w.s.backend.Lookup(ctx, b.plan.target, keysOf(silent))
	if err != nil {
		return backends.AsError("lookup", b.w.s.name, err)
	}
	held := map[string]int64{}
	for _, e := range entries {
		held[e.Key] = e.Version
	}
	for i, o := range behind {
		if o.stored == 0 {
			behind[i].stored = held[o.record.Key]
		}
	}
	return nil
}

// foreign is why a record is parked whose version in the store is none of ours.
func (b *batchWrite) foreign(stored int64) *backends.Error {
	return &backends.Error{
		Op: "write", Backend: b.w.s.name, Kind: b.plan.Kind, Class: backends.Rejected,
		Advice: "somebody else wrote the record: delete it in the store, then verify with repair",
		Err:    fmt.Errorf("the store holds version %d, which no version of ours can exceed", stored),
	}
}

// rival is the failure when versions rise in turns with somebody else's.
func (b *batchWrite) rival(stored int64) *backends.Error {
	return &backends.Error{
		Op: "write", Backend: b.w.s.name, Kind: b.plan.Kind, Class: backends.Transient,
		Advice: "see whether another database feeds the same target",
		Err:    fmt.Errorf("the store holds ever higher versions than ours, %d now", stored),
	}
}

// graver is the failure that decides what to do; either may be nil.
func graver(a, b *backends.Error) *backends.Error {
	if a == nil || b != nil && judge(b.Class) > judge(a.Class) {
		return b
	}
	return a
}

// count changes the job's output.
func (w *writer) count(change func(*Output)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.done)
}
