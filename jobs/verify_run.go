package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"golang.org/x/time/rate"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// Times and sizes of scheduled verifies.
const (
	runSlice  = 45 * time.Minute // an attempt works for so long at most, less than River's time for it
	runSettle = 10 * time.Second // for changes in flight, of each step
	runStep   = 2000             // keys that are compared at once
	runList   = 1_000_000        // keys that are listed at once
	runSave   = time.Second      // how far it is, is saved this often at most
	runShow   = 10 * time.Second // and shown in River this often
	runPause  = 2 * time.Second  // until it looks again whether its backend is still paused, whose queue is, too
)

// verifyLock is the class of the locks that keep two scheduled verifies of a backend apart.
const verifyLock = 0x6f757476

// runState is how far a scheduled verify is, as the database has it.
type runState struct {
	Targets []Result `json:"targets,omitempty"` // that are compared
	Now     *runPart `json:"now,omitempty"`     // that is being compared
}

// runPart is a target that is being compared: first record by record, in the order of the keys, which another window goes
// on with; then the store's keys, for those that PostgreSQL does not have, if there can be any.
type runPart struct {
	Result
	After string `json:"after"`           // the last key that was compared
	Extra bool   `json:"extra,omitempty"` // all records are: it is at the store's keys
}

// run is a scheduled verify under way.
type run struct {
	e     *Engine
	s     *store
	set   Schedule
	job   int64
	outer context.Context //nolint:containedctx // the job's own, to which its output belongs
	limit *rate.Limiter
	since time.Time     // of this process, when the attempt began
	now   time.Time     // the same by the clock of the database
	began time.Time     // of the target, in this attempt
	took  time.Duration // of the target, in earlier attempts
	state runState
	saved time.Time
	shown time.Time
}

// notNowError ends an attempt; another one goes on.
type notNowError struct{ snooze time.Duration }

// Error is never shown.
func (e notNowError) Error() string { return "the verify goes on in " + e.snooze.String() }

// scheduled works a scheduled verify until it is over or its window closes; then it sleeps until the next one opens.
func (v *verifier) scheduled(ctx context.Context, job *river.Job[VerifyArgs], s *store) error {
	outer := ctx
	ctx, cancel := v.e.until(ctx, s)
	defer cancel()
	set := s.limits.Verify
	r := &run{e: v.e, s: s, set: set, job: job.ID, outer: outer, since: time.Now(), limit: rate.NewLimiter(rate.Limit(set.rate()), set.rate())}
	if set.Every == 0 {
		return river.JobCancel(errors.New("the backend's configuration has no verify any more"))
	}
	err := r.load(ctx)
	if err == nil {
		err = r.work(ctx)
	}
	var later notNowError
	switch {
	case errors.As(err, &later):
		if err := r.show(); err != nil {
			return err
		}
		return river.JobSnooze(later.snooze)
	case err != nil && v.e.ending(s):
		return river.JobSnooze(time.Second)
	case errors.Is(err, errOutdated):
		s.outdated.Store(true)
		v.e.waker.Wake()
		return river.JobSnooze(time.Second)
	case err != nil:
		return err
	}
	return r.show()
}

// load reads how far the verify is.
func (r *run) load(ctx context.Context) error {
	var state string
	err := r.e.c.Pool.QueryRow(ctx, `select state::text, clock_timestamp() from outbox.verifying where backend = $1`, r.s.name).Scan(&state, &r.now)
	if err == nil {
		err = json.Unmarshal([]byte(state), &r.state)
	}
	if err != nil {
		return fmt.Errorf("reading how far the verify of backend %s is: %w", r.s.name, err)
	}
	return nil
}

// goOn is an notNowError when the attempt is to end.
func (r *run) goOn() error {
	now := r.now.Add(time.Since(r.since))
	switch {
	case r.e.ending(r.s):
		return notNowError{time.Second}
	case r.e.stopping(r.s):
		return notNowError{runPause}
	case !r.set.open(now):
		return notNowError{r.set.opens(now).Sub(now)}
	case time.Since(r.since) > runSlice:
		return notNowError{0}
	}
	return nil
}

// work compares the targets that are left.
func (r *run) work(ctx context.Context) error {
	if err := r.goOn(); err != nil {
		return err
	}
	if err := r.s.prepare(ctx, false); err != nil {
		return err
	}
	for _, p := range r.s.ordered() {
		if slices.ContainsFunc(r.state.Targets, func(t Result) bool { return t.Kind == p.Kind && t.Target == p.target.Name }) {
			continue
		}
		if err := r.target(ctx, p); err != nil {
			if serr := r.save(context.WithoutCancel(ctx), true); serr != nil {
				return serr
			}
			return fmt.Errorf("verifying kind %s in target %s of backend %s: %w", p.Kind, p.target.Name, r.s.name, err)
		}
	}
	_, err := r.e.c.Pool.Exec(ctx, `update outbox.verifying set ended = clock_timestamp() where backend = $1`, r.s.name)
	if err != nil {
		return fmt.Errorf("noting that the verify of backend %s is over: %w", r.s.name, err)
	}
	return nil
}

// target compares one target, from where an earlier attempt got to.
func (r *run) target(ctx context.Context, p *plan) (err error) {
	o := VerifyOptions{Deep: r.set.Deep, Dangling: r.set.Dangling, Repair: r.set.Repair, Limit: verifyExamples, Settle: runSettle}
	v, done, err := compare(ctx, r.e.c, r.s, p, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done(ctx)) }()
	switch mine, err := r.lock(ctx, v.conn); {
	case err != nil:
		return err
	case !mine:
		return notNowError{runSettle}
	}
	defer r.unlock(ctx, v.conn)
	r.began, r.took = time.Now(), 0
	if now := r.state.Now; now != nil && now.Kind == p.Kind && now.Target == p.target.Name {
		v.found, r.took = now.TargetReport, now.Took
	} else {
		r.state.Now = &runPart{Result: Result{TargetReport: v.found, By: bySchedule, Deeply: r.set.Deep, Repair: r.set.Repair}}
		if err := v.signal(ctx); err != nil {
			return err
		}
		if err := r.reached(ctx, v, ""); err != nil {
			return err
		}
	}
	if !r.state.Now.Extra {
		if err := r.records(ctx, v); err != nil {
			return err
		}
	}
	if err := r.extras(ctx, v); err != nil {
		return err
	}
	return r.finish(ctx)
}

// lock is whether no other process verifies the backend by its schedule. It ends with the connection at the latest.
func (r *run) lock(ctx context.Context, conn *pgx.Conn) (mine bool, err error) {
	if err := conn.QueryRow(ctx, `select pg_try_advisory_lock($1, hashtext($2))`, verifyLock, r.s.name).Scan(&mine); err != nil {
		return false, fmt.Errorf("locking out other verifies of backend %s: %w", r.s.name, err)
	}
	return mine, nil
}

func (r *run) unlock(ctx context.Context, conn *pgx.Conn) {
	if _, err := conn.Exec(context.WithoutCancel(ctx), `select pg_advisory_unlock($1, hashtext($2))`, verifyLock, r.s.name); err != nil {
		r.e.log.WarnContext(ctx, "unlocking a verify failed: its connection is closed", "backend", r.s.name, "error", err)
		_ = conn.Close(context.WithoutCancel(ctx))
	}
}

// records compares every record of PostgreSQL that is left, in the order of the keys.
func (r *run) records(ctx context.Context, v *comparison) error {
	for {
		total, err := v.hold(ctx, r.state.Now.After, runList)
		if err != nil {
			return err
		}
		for from := int64(0); from < total; from += runStep {
			keys, err := v.held(ctx, from, runStep)
			if err != nil {
				return err
			}
			if err := r.next(ctx, len(keys)); err != nil {
				return err
			}
			if err := v.step(ctx, keys); err != nil {
				return err
			}
			if err := r.reached(ctx, v, keys[len(keys)-1]); err != nil {
				return err
			}
		}
		if total < runList {
			r.state.Now.Extra = true
			return r.save(ctx, true)
		}
	}
}

// extras looks for keys in the store that PostgreSQL does not have, unless the store can say that there are no more than
// were compared. A store tells its keys in any order, so that this begins anew in another window.
func (r *run) extras(ctx context.Context, v *comparison) error {
	if counter, f := v.s.counter(), v.found; counter != nil && f.InFlight+f.Parked == 0 {
		n, err := counter.Count(ctx, v.p.target)
		if err != nil || n == f.Records-f.Missing {
			return err
		}
	}
	before := v.found
	err := v.s.backend.Scan(ctx, v.p.target, func(page []backends.Entry) error {
		keys := entryKeys(page)
		if err := r.next(ctx, len(keys)); err != nil {
			return err
		}
		return v.foreign(ctx, keys)
	})
	if _, later := errors.AsType[notNowError](err); later {
		before.Repaired = v.found.Repaired // the differences are found again, or not any more
		v.found = before
	}
	r.state.Now.TargetReport = v.found
	return err
}

// next waits until so many more records may be read, if the attempt goes on at all.
func (r *run) next(ctx context.Context, n int) error {
	if err := r.goOn(); err != nil {
		return err
	}
	for n > 0 {
		part := min(n, r.limit.Burst())
		if err := r.limit.WaitN(ctx, part); err != nil {
			return fmt.Errorf("waiting for the verify's rate: %w", err)
		}
		n -= part
	}
	return nil
}

// reached notes how far the target is, and saves it now and then.
func (r *run) reached(ctx context.Context, v *comparison, after string) error {
	r.state.Now.TargetReport, r.state.Now.After = v.found, after
	return r.save(ctx, false)
}

// save keeps how far the verify is.
func (r *run) save(ctx context.Context, now bool) error {
	if !now && time.Since(r.saved) < runSave {
		return nil
	}
	if r.state.Now != nil {
		r.state.Now.Took = r.took + time.Since(r.began)
	}
	state, err := json.Marshal(r.state)
	if err == nil {
		_, err = r.e.c.Pool.Exec(ctx, `update outbox.verifying set state = $2::jsonb where backend = $1`, r.s.name, string(state))
	}
	if err != nil {
		return fmt.Errorf("saving how far the verify of backend %s is: %w", r.s.name, err)
	}
	if r.saved = time.Now(); time.Since(r.shown) < runShow {
		return nil
	}
	return r.show()
}

// show shows in River what was found so far.
func (r *run) show() error {
	r.shown = time.Now()
	report := Report{}
	for _, t := range r.state.Targets {
		report.Targets = append(report.Targets, t.TargetReport)
	}
	if r.state.Now != nil {
		report.Targets = append(report.Targets, r.state.Now.TargetReport)
	}
	return r.e.showReport(r.outer, r.job, &report)
}

// finish keeps what was found in the target, and begins with none.
func (r *run) finish(ctx context.Context) error {
	t := r.state.Now.Result
	t.Took = r.took + time.Since(r.began)
	if err := errors.Join(keepResult(ctx, r.e.c.Pool, t), noteRepair(ctx, r.e.c.Pool, t)); err != nil {
		return err
	}
	r.state.Targets, r.state.Now = append(r.state.Targets, t), nil
	return r.save(ctx, true)
}

// entryKeys are the keys of entries.
func entryKeys(page []backends.Entry) []string {
	keys := make([]string, len(page))
	for i, e := range page {
		keys[i] = e.Key
	}
	return keys
}

// step compares some records of PostgreSQL with what the store holds, and settles what differs, and what dangles.
func (v *comparison) step(ctx context.Context, keys []string) error {
	truth, err := v.truth(ctx, keys)
	if err != nil {
		return err
	}
	held, err := v.digests(ctx, keys)
	if err != nil {
		return err
	}
	differ := truth.differ
	for _, k := range keys {
		t, inTruth := truth.digests[k]
		if h, inStore := held[k]; inTruth != inStore || t != h {
			if _, named := differ[k]; !named {
				differ[k] = nil
			}
		}
	}
	v.count(truth)
	if err := v.certain(ctx, differ, "different"); err != nil || v.ends == nil {
		return err
	}
	if err := v.maybeDangling(ctx, slices.Collect(maps.Keys(held))); err != nil {
		return err
	}
	return v.dangling(ctx)
}

// foreign looks which keys of the store PostgreSQL does not have, and settles what differs.
func (v *comparison) foreign(ctx context.Context, keys []string) error {
	there, err := v.present(ctx, keys)
	if err != nil {
		return err
	}
	differ := map[string][]string{}
	for _, k := range keys {
		if !there[k] {
			differ[k] = nil
		}
	}
	return v.certain(ctx, differ, "extra")
}

// certain settles what seems to differ, adds what does to what was found, and forgets it.
func (v *comparison) certain(ctx context.Context, differ map[string][]string, what string) error {
	if len(differ) == 0 {
		return nil
	}
	if err := v.suspect(ctx, differ, what); err != nil {
		return err
	}
	if err := errors.Join(v.settle(ctx), ctx.Err()); err != nil {
		return err
	}
	if err := v.conclude(ctx); err != nil {
		return err
	}
	if _, err := v.conn.Exec(ctx, `truncate pg_temp.verify_differ`); err != nil {
		return fmt.Errorf("emptying a temporary table: %w", err)
	}
	return nil
}

// present says which keys the projection makes records of. One that PostgreSQL cannot make a record of is there if the
// kind has it.
func (v *comparison) present(ctx context.Context, keys []string) (map[string]bool, error) {
	var found []string
	err := outbox.ReadTx(ctx, v.c.Pool, v.s.sources, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, v.p.listing, keys)
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		if err = queryError(v.s.name, v.p.Kind, err); !refused(err) {
			return nil, err
		}
		truth, err := v.truth(ctx, keys)
		if err != nil {
			return nil, err
		}
		for k := range truth.digests {
			found = append(found, k)
		}
	}
	there := make(map[string]bool, len(found))
	for _, k := range found {
		there[k] = true
	}
	return there, nil
}
