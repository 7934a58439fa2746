package faults

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// patience is how long a recovery may take until it counts as none.
const patience = 90 * time.Second

// Result is what one fault came to.
type Result struct {
	Scenario Scenario
	Store    string        // which it concerned; empty: all
	Lasted   time.Duration // from its begin to its end
	Took     time.Duration // from its end until a change that was committed after it, and all before, were in the stores
	Made     bool          // it could be made; else Err says why not
	Lost     int           // records that a comparison found different afterwards, where one was made
	Damaged  int           // records that a verify found different and repaired, where the fault was to damage them
	Err      error         // it could not be made, or was not overcome
}

// Run makes a fault, lets it last, ends it, and waits until it is overcome. store is nil for scenarios that concern no
// single one.
func (l *Lab) Run(ctx context.Context, s Scenario, store *Store, lasts time.Duration) (r Result) {
	r = Result{Scenario: s}
	var stores []*Store
	if store != nil {
		r.Store, stores = store.Name, []*Store{store}
	}
	if s.Sort == Damage {
		defer l.rest()() // what is written again by chance is no damage any more
		if err := l.undoubted(ctx, stores); err != nil {
			r.Err = fmt.Errorf("making the fault: %w", err)
			return r
		}
	}
	begun := time.Now()
	end, err := s.Do(ctx, l, store)
	if err == nil {
		pause(ctx, max(s.Lasts, lasts)-time.Since(begun))
	}
	r.Lasted = time.Since(begun)
	if end != nil {
		err = errors.Join(err, end(context.WithoutCancel(ctx)))
	}
	if err != nil {
		r.Err = fmt.Errorf("making the fault: %w", err)
		return r
	}
	r.Made = true
	over := time.Now()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r.Damaged, r.Err = l.overcome(ctx, s, stores)
	r.Took = time.Since(over)
	return r
}

// overcome waits until the fault is overcome.
func (l *Lab) overcome(ctx context.Context, s Scenario, stores []*Store) (damaged int, err error) {
	switch s.Sort {
	case Transient:
	case Damage:
		if damaged, err = l.repair(ctx, stores); err != nil {
			return damaged, err
		}
		if damaged == 0 {
			return 0, errors.New("a verify found nothing of the damage")
		}
	case Restore:
		if err := l.rebased(ctx); err != nil {
			return 0, err
		}
	}
	return damaged, l.caughtUp(ctx, stores)
}

// undoubted waits until the stores have everything, and nothing is going to be written again.
func (l *Lab) undoubted(ctx context.Context, stores []*Store) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := l.caughtUp(ctx, stores)
	for err == nil && l.doubtful(ctx) {
		pause(ctx, 50*time.Millisecond)
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	return l.caughtUp(ctx, stores)
}

// caughtUp commits a change and waits until the stores, or all, have it and what was before.
func (l *Lab) caughtUp(ctx context.Context, stores []*Store) error {
	var names []string
	for _, s := range stores {
		names = append(names, s.Name)
	}
	var token string
	err := insist(ctx, func() (err error) { token, err = l.change(ctx); return err })
	if err == nil {
		err = insist(ctx, func() error { return outbox.Wait(ctx, l.db(), token, names...) })
	}
	if err != nil {
		return fmt.Errorf("a change after the fault did not arrive: %w: %s", err, l.state(context.WithoutCancel(ctx)))
	}
	return nil
}

// state tells what the workers are about, for the error of a fault that was not overcome.
func (l *Lab) state(ctx context.Context) (text string) {
	err := l.db().QueryRow(ctx, `
select coalesce((select string_agg(format('%s by %s: %s', name, paused_by, paused), '; ') from outbox.backends where paused is not null), 'none paused')
    || ' | ' || (select string_agg(format('%s of %s until %s', backend, owner, expires - clock_timestamp()), '; ') from outbox.lanes)
    || ' | ' || coalesce((select string_agg(format('%s %s %s %s %s', id, queue, state, attempt, errors[array_upper(errors, 1)]->>'error'), '; ')
                            from river.river_job where kind = 'project' and state not in ('completed', 'cancelled', 'discarded')), 'no jobs')`).Scan(&text)
	if err != nil {
		return err.Error()
	}
	return text
}

// insist does something again and again until it works or ctx ends: the database may be gone for a moment.
func insist(ctx context.Context, do func() error) error {
	for {
		err := do()
		if err == nil || ctx.Err() != nil {
			return err
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// repair verifies the stores, repairs what differs, as a scheduled verify does, and answers how much that was.
func (l *Lab) repair(ctx context.Context, stores []*Store) (n int, err error) {
	var report *jobs.Report
	err = insist(ctx, func() (err error) {
		report, err = jobs.Verify(ctx, l.config(stores...), jobs.VerifyOptions{Repair: true, Settle: 10 * time.Second})
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("verifying with repair: %w", err)
	}
	for _, t := range report.Targets {
		n += int(t.Repaired)
	}
	return n, nil
}

// rebased waits until the workers have noticed that the database has another history, and the verifies with repair that
// they queue are done.
func (l *Lab) rebased(ctx context.Context) error {
	const done = `
select count(*) filter (where state = 'completed') >= $1 and count(*) filter (where state in ('available', 'running', 'retryable', 'scheduled')) = 0
   and outbox.trouble() is null
  from river.river_job where kind = 'verify'`
	for ctx.Err() == nil {
		var yes bool
		if err := l.db().QueryRow(ctx, done, len(l.Stores)).Scan(&yes); err == nil && yes {
			return nil
		}
		pause(ctx, 20*time.Millisecond)
	}
	return fmt.Errorf("positions were not rebased, or stores not verified: %w", ctx.Err())
}

// Compare lets the writers rest, waits until everything is applied and nothing is in doubt, and answers how many records
// of the stores, or of all, it compared, and how many of them are not those of PostgreSQL, what is parked included.
func (l *Lab) Compare(ctx context.Context, stores ...*Store) (records, differences int, err error) {
	defer l.rest()()
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	if err := l.caughtUp(ctx, stores); err != nil {
		return 0, 0, err
	}
	for {
		var report *jobs.Report
		err := insist(ctx, func() (err error) {
			report, err = jobs.Verify(ctx, l.config(stores...), jobs.VerifyOptions{Settle: 10 * time.Second})
			return err
		})
		if err != nil {
			return 0, 0, fmt.Errorf("verifying: %w", err)
		}
		n, records, moving := count(report)
		if n > 0 || moving > 0 {
			if l.doubtful(ctx) {
				pause(ctx, 100*time.Millisecond)
				continue
			}
		}
		if records == 0 {
			return 0, 0, errors.New("verifying compared nothing")
		}
		return records, n + moving, nil
	}
}

// Differ is how many records of a store are not those of PostgreSQL right now, whatever is about to be done about it.
func (l *Lab) Differ(ctx context.Context, s *Store) (int, error) {
	report, err := jobs.Verify(ctx, l.config(s), jobs.VerifyOptions{Settle: time.Millisecond})
	if err != nil {
		return 0, err
	}
	n, _, moving := count(report)
	return n + moving, nil
}

// count sums a report up: differences, records compared, and records of which nothing could be said.
func count(r *jobs.Report) (differences, records, moving int) {
	for _, t := range r.Targets {
		differences += int(t.Missing + t.Extra + t.Different + t.Parked)
		records += int(t.Records)
		moving += int(t.InFlight)
	}
	return differences, records, moving
}

// doubtful says whether keys are suspect: then they will be written again, and what differs may be about to be mended.
func (l *Lab) doubtful(ctx context.Context) (yes bool) {
	err := l.db().QueryRow(ctx, `select exists (select from outbox.suspects)`).Scan(&yes)
	return ctx.Err() == nil && (err != nil || yes)
}

// Distribution is what times came to.
type Distribution struct {
	N                   int
	P50, P90, P99, Most time.Duration
}

// Distribute sums times up. It leaves the order of the list as it is.
func Distribute(list []time.Duration) Distribution {
	if len(list) == 0 {
		return Distribution{}
	}
	sorted := slices.Sorted(slices.Values(list))
	at := func(percent int) time.Duration { return sorted[(len(sorted)*percent+99)/100-1] }
	return Distribution{len(sorted), at(50), at(90), at(99), sorted[len(sorted)-1]}
}

// Times lists how long recoveries took, of results without an error.
func Times(results []Result) (list []time.Duration) {
	for _, r := range results {
		if r.Err == nil {
			list = append(list, r.Took)
		}
	}
	return list
}

// Group puts results of the same scenario together, in the order of the list of scenarios.
func Group(results []Result) [][]Result {
	byID := map[string][]Result{}
	for _, r := range results {
		byID[r.Scenario.ID()] = append(byID[r.Scenario.ID()], r)
	}
	var all [][]Result
	for _, s := range Scenarios() {
		if list := byID[s.ID()]; len(list) > 0 {
			all = append(all, list)
		}
	}
	slices.SortStableFunc(all, func(a, b []Result) int { return cmp.Compare(a[0].Scenario.Part, b[0].Scenario.Part) })
	return all
}
