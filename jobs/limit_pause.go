package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// counted is how many records of a group are parked at most, as far as a writer knows.
type counted struct {
	n  int // when they were counted, and what it has parked itself since
	at time.Time
}

// countedFor is how long a count is good for: others park as well.
const countedFor = time.Second

// limit fails with a *limitError if the record must not be parked, because its group has reached the limit.
func (w *writer) limit(ctx context.Context, p *outbox.Parked, cause *backends.Error) error {
	if w.trial || w.s.most == NoParkLimit {
		return nil
	}
	why := outbox.ParkedReason{Kind: p.Kind, Target: p.Target, Class: p.Class, Pattern: p.Pattern}
	seen := w.s.lately.refused(why, time.Now())
	if !seen.suspicious(w.s.most) || w.belowLimit(why) {
		return nil
	}
	unsaved := w.unsaved(why)
	n, err := outbox.CountParked(ctx, w.e.c.Pool, w.s.name, why, limitWindow, unsaved, w.s.most)
	if err != nil {
		return err
	}
	if seen.shared = n + len(unsaved); seen.exceed(w.s.most) {
		return &limitError{reason: why, key: p.Key, limit: w.s.most, err: cause}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counted[why] = counted{seen.shared + 1, time.Now()}
	return nil
}

// belowLimit says whether the group has not reached the limit, with one record more, by what was counted last.
func (w *writer) belowLimit(why outbox.ParkedReason) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, known := w.counted[why]
	if !known || c.n >= w.s.most || time.Since(c.at) >= countedFor {
		return false
	}
	w.counted[why] = counted{c.n + 1, c.at}
	return true
}

// unsaved lists the keys of a group whose refusal is not in the database yet.
func (w *writer) unsaved(why outbox.ParkedReason) (keys []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.outcome {
		if p != nil && p.Kind == why.Kind && p.Target == why.Target && p.Class == why.Class && p.Pattern == why.Pattern {
			keys = append(keys, p.Key)
		}
	}
	return keys
}

// pauseAtLimit pauses a backend that refuses masses of records. Other lanes and processes may have done so just now.
func (e *Engine) pauseAtLimit(ctx context.Context, s *store, over *limitError) error {
	s.lately.reset()
	set := e.c.settings(s.name)
	details := map[string]any{
		"target": over.reason.Target, "class": over.reason.Class, "records": over.limit, "within": limitWindow.String(),
		"key": over.key, "error": storable(over.cause()), "advice": storable(over.err.What()),
	}
	var mine bool
	err := pgx.BeginFunc(ctx, e.c.Pool, func(tx pgx.Tx) (err error) {
		mine, err = outbox.PauseForParked(ctx, tx, s.name, over.reason, retryPause(1, set.RetryFirst, set.RetryMost, random()), storable(over.Error()), details)
		return err
	})
	if mine {
		e.log.ErrorContext(ctx, "a backend pauses: it refuses masses of records", "backend", s.name, "class", over.reason.Class, "error", over)
	}
	return err
}

// tryLimited tries samples of what backends are paused for.
func (k *keeper) tryLimited(ctx context.Context, lanes []outbox.LaneState, now time.Time) {
	for _, l := range lanes {
		at, tried := k.tried[l.Backend]
		if l.PausedBy != outbox.ByLimit || tried && now.Sub(at) < min(probeEvery, k.e.c.Settings.RetryFirst) {
			continue
		}
		k.tried[l.Backend] = now
		if s := k.e.store(l.Backend); s != nil && s.probing.CompareAndSwap(false, true) {
			k.tasks.Go(func() {
				defer s.probing.Store(false)
				if err := k.e.tryLimited(ctx, s); err != nil && ctx.Err() == nil {
					k.e.log.WarnContext(ctx, "trying a record that a backend is paused for failed", "backend", s.name, "error", err)
				}
			})
		}
	}
}

// tryLimited sends one of the records that the backend is paused for to its store, if it is time to, and lets the backend
// go on when it is taken.
func (e *Engine) tryLimited(ctx context.Context, s *store) error {
	g, due, err := e.claimTrial(ctx, s)
	if err != nil || !due {
		return err
	}
	if !e.enter(ctx) {
		return nil
	}
	defer e.leave()
	taken, err := e.try(ctx, s, g)
	if err != nil || !taken {
		return err
	}
	e.log.InfoContext(ctx, "a backend goes on: it takes what it refused", "backend", s.name, "kind", g.kind, "key", g.key)
	return e.resumeAfterTrial(ctx, s, g)
}

// trial is a record to try, of a group that a backend is paused for.
type trial struct {
	group, kind, target, key string
	lane                     int
}

// claimTrial answers the record to try, the one refused longest ago, if it is time to and no other process does so. The
// next one is due after a longer pause.
func (e *Engine) claimTrial(ctx context.Context, s *store) (g trial, due bool, err error) {
	set := e.c.settings(s.name)
	err = pgx.BeginFunc(ctx, e.c.Pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
select r.group_id, r.kind, r.target, r.tries, p.key
  from outbox.retries r join outbox.backends b on b.name = r.backend
 cross join lateral (select p.key from outbox.parked p where p.backend = r.backend and p.group_id = r.group_id order by p.last_at limit 1) p
 where r.backend = $1 and r.limited and r.next_at <= clock_timestamp() and b.paused_by = $2
   for update of r skip locked`, s.name, outbox.ByLimit)
		if err != nil {
			return err
		}
		var tries int
		if _, err := pgx.ForEachRow(rows, []any{&g.group, &g.kind, &g.target, &tries, &g.key}, func() error { due = true; return nil }); err != nil || !due {
			return err
		}
		_, err = tx.Exec(ctx, `update outbox.retries set tries = tries + 1, next_at = clock_timestamp() + $3::interval where backend = $1 and group_id = $2`,
			s.name, g.group, retryPause(tries+2, set.RetryFirst, set.RetryMost, random()))
		if err != nil {
			return err
		}
		return tx.QueryRow(ctx, `select lane from outbox.lanes where backend = $1 and lo <= $2 and hi > $2`, s.name, outbox.Hash(g.kind, g.key)).Scan(&g.lane)
	})
	if err != nil {
		return g, false, fmt.Errorf("looking for a record that backend %s is paused for: %w", s.name, err)
	}
	return g, due, nil
}

// try has one record written, within a tenure of its lane whose position stays. The record is logged before: should what
// was sent arrive late, whoever comes next writes it again.
func (e *Engine) try(ctx context.Context, s *store, g trial) (taken bool, err error) {
	set := e.c.Settings
	t, err := outbox.Take(ctx, e.c.Pool, outbox.Claim{Backend: s.name, Lane: g.lane, Owner: e.process.Owner, Lease: set.Lease, Zombie: set.Zombie})
	if err != nil || t == nil {
		return false, err
	}
	w, err := e.newWriter(ctx, s, t)
	if err != nil {
		return false, errors.Join(err, t.Release(context.WithoutCancel(ctx), e.c.Pool))
	}
	w.trial = true
	err = w.try(ctx, g)
	taken = err == nil && w.done.Parked == 0 && w.done.Written+w.done.Deleted+w.done.Stale+w.done.Followed > 0
	return taken, e.finish(context.WithoutCancel(ctx), w, err)
}

// try writes the record, or looks for its dependants.
func (w *writer) try(ctx context.Context, g trial) (err error) {
	if g.target == outbox.Spreading {
		if w.kinds, err = loadKinds(ctx, w.e.c.Pool); err != nil {
			return err
		}
		w.count(func(o *Output) { o.Followed++ })
		return w.changed(ctx, g.kind, []string{g.key}, origin{})
	}
	for _, p := range w.s.plans[g.kind] {
		if p.place() != g.target {
			continue
		}
		if err := outbox.RelogFor(ctx, w.e.c.Pool, outbox.Retry, w.s.name, g.kind, []string{g.key}, outbox.Cause{}); err != nil {
			return err
		}
		version, err := w.t.Version()
		if err != nil {
			return err
		}
		var got planned
		c := collector{bound: w.e.c.Settings.PortionBytes, version: version, sizes: map[*plan]int{}}
		err = w.reader.State(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
			got, _, err = c.query(ctx, conn, p, []string{g.key}, c.bound)
			return err
		})
		if refused(err) {
			return w.park(ctx, nil, nil, g.kind, g.target, g.key, version, backends.AsError("project", w.s.name, err))
		}
		if err != nil {
			return err
		}
		f := newFlight(&outbox.Page{}) // it never lands: the position stays
		w.flights = append(w.flights, f)
		alone := &portion{}
		newLedger().hold(alone)
		return errors.Join(w.planned(ctx, f, alone, got), w.settle())
	}
	return nil
}

// resumeAfterTrial lets the backend go on, unless somebody else decided about it meanwhile, and has the rest of the group
// tried at once.
func (e *Engine) resumeAfterTrial(ctx context.Context, s *store, g trial) error {
	err := pgx.BeginFunc(ctx, e.c.Pool, func(tx pgx.Tx) error {
		resumed, err := outbox.ResumeFrom(ctx, tx, s.name, outbox.ByLimit)
		if err != nil || !resumed {
			return err
		}
		_, err = tx.Exec(ctx, `update outbox.retries set limited = false, tries = 0, next_at = clock_timestamp() where backend = $1 and group_id = $2`, s.name, g.group)
		return err
	})
	if err != nil {
		return fmt.Errorf("resuming backend %s: %w", s.name, err)
	}
	e.waker.Wake()
	return nil
}
