package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// Times of a rebuild.
const (
	rebuildPoll  = 50 * time.Millisecond
	rebuildPause = time.Second      // between looks at what an operator must mend
	behindMost   = 10 * time.Second // a backend that takes longer to catch up is behind: what its readers see would stand still for that time
)

// stage is how far a rebuild is, as the database has it.
type stage struct {
	phase    string // empty: nothing is being filled
	serving  int
	building int
	dropping int // 0: none
	passing  *string
	since    *time.Time
	parked   int64
	behind   bool // passing has lasted longer than a backend may take that is not behind
	foreign  bool // passing is of another history
	paused   string
}

func (r *rebuild) stage(ctx context.Context) (g stage, err error) {
	err = r.e.c.Pool.QueryRow(ctx, `
select coalesce(p.phase, ''), p.generation, coalesce(p.building, 0), coalesce(p.dropping, 0), p.passing::text, p.passing_at,
       (select count(*) from outbox.parked k where k.backend = p.backend and k.kind = p.kind and k.target = p.target || '@' || p.building),
       coalesce(p.passing_at < clock_timestamp() - $4::interval, false),
       coalesce(pg_snapshot_xmax(p.passing) > pg_snapshot_xmax(pg_current_snapshot()), false), coalesce(b.paused, '')
  from outbox.projections p join outbox.backends b on b.name = p.backend
 where p.backend = $1 and p.kind = $2 and p.target = $3 and (p.building is not null or p.dropping is not null)`,
		r.args.Backend, r.args.Records, r.args.Target, behindMost).
		Scan(&g.phase, &g.serving, &g.building, &g.dropping, &g.passing, &g.since, &g.parked, &g.behind, &g.foreign, &g.paused)
	if errors.Is(err, pgx.ErrNoRows) {
		r.out.Phase, r.out.Note = "done", ""
		return g, errNotMine
	}
	if err != nil {
		return g, fmt.Errorf("reading how far a rebuild is: %w", err)
	}
	return g, nil
}

// step does what is to be done next, and answers how long to wait then.
func (r *rebuild) step(ctx context.Context) (time.Duration, error) {
	g, err := r.stage(ctx)
	if err != nil {
		return 0, err
	}
	if g.dropping > 0 {
		return 0, r.drop(ctx, g)
	}
	note := g.note()
	if err := r.tell(g.phase, g.building, note); err != nil {
		return 0, err
	}
	if err := r.note(ctx, note); err != nil {
		return 0, err
	}
	within, done := r.filling(ctx, g.building)
	defer done()
	pause, err := r.advance(within, g)
	if err != nil && errors.Is(context.Cause(within), errGivenUp) {
		return 0, errGivenUp
	}
	return pause, err
}

// advance does what the phase asks for.
func (r *rebuild) advance(ctx context.Context, g stage) (time.Duration, error) {
	switch g.phase {
	case "logged":
		return r.pass(ctx, g, "filling")
	case "filling":
		return r.pass(ctx, g, "finishing")
	case "finishing":
		return 0, r.finish(ctx, g)
	case "verifying":
		return r.verify(ctx, g)
	case "ready":
		return r.ready(ctx, g)
	default:
		return 0, r.turn(ctx, g)
	}
}

// note is what the rebuild waits for.
func (g stage) note() string {
	switch {
	case g.paused != "":
		return "the backend is paused: " + g.paused
	case g.parked > 0 && (g.phase == "verifying" || g.phase == "ready"):
		return fmt.Sprintf("the new generation has refused %d records: outflow parked tells why; mend them, or give the rebuild up", g.parked)
	case g.phase == "ready" && g.behind:
		return "the backend is behind"
	default:
		return ""
	}
}

func (r *rebuild) note(ctx context.Context, note string) error {
	return r.update(ctx, `note = nullif($4, '') where note is distinct from nullif($4, '')`, note)
}

// update changes the target's row. The change ends in a condition.
func (r *rebuild) update(ctx context.Context, change string, args ...any) error {
	_, err := r.e.c.Pool.Exec(ctx, `update outbox.projections set `+change+` and backend = $1 and kind = $2 and target = $3`,
		append([]any{r.args.Backend, r.args.Records, r.args.Target}, args...)...)
	if err != nil {
		return fmt.Errorf("noting how far a rebuild is: %w", err)
	}
	return nil
}

// enter begins a phase, of the same generation.
func (r *rebuild) enter(ctx context.Context, g stage, phase string) error {
	return r.update(ctx, `phase = $4, passing = null, passing_at = null where phase = $5 and building = $6`, phase, g.phase, g.building)
}

// pass begins the next phase when the backend has applied all that was in the log when this one began.
func (r *rebuild) pass(ctx context.Context, g stage, next string) (time.Duration, error) {
	passed, err := r.passed(ctx, g)
	if err != nil || !passed {
		return rebuildPoll, err
	}
	return 0, r.enter(ctx, g, next)
}

// passed says whether the backend has applied what it must, which begins to be so now if nothing was said yet. A
// snapshot of a former history means nothing any more.
func (r *rebuild) passed(ctx context.Context, g stage) (bool, error) {
	if g.passing == nil || g.foreign {
		return false, r.update(ctx, `passing = pg_current_snapshot(), passing_at = clock_timestamp() where phase = $4 and building = $5`, g.phase, g.building)
	}
	at, err := outbox.ParseSnapshot(*g.passing)
	if err != nil {
		return false, err
	}
	return outbox.Passed(ctx, r.e.c.Pool, r.args.Backend, at)
}

// plan is the plan of the generation that is being filled.
func (r *rebuild) plan(ctx context.Context, g stage) (*store, *plan, error) {
	s, err := r.store(ctx)
	if err != nil {
		return nil, nil, err
	}
	i := slices.IndexFunc(s.plans[r.args.Records], func(p *plan) bool {
		return p.Target == r.args.Target && p.target.Generation == g.building
	})
	if i < 0 {
		return nil, nil, fmt.Errorf("backend %s: %w", s.name, errOutdated)
	}
	return s, s.plans[r.args.Records][i], nil
}

// finish makes the new generation as good as the one that readers see.
func (r *rebuild) finish(ctx context.Context, g stage) error {
	s, p, err := r.plan(ctx, g)
	if err != nil {
		return err
	}
	b, ok := s.rebuilder()
	if !ok {
		return fmt.Errorf("backend %s is of type %s, which cannot have two generations of a target", s.name, s.typ)
	}
	if err := b.Finish(ctx, p.target); err != nil {
		return err
	}
	return r.enter(ctx, g, "verifying")
}

// verify compares the new generation with PostgreSQL. What differs is written again, and then compared again.
func (r *rebuild) verify(ctx context.Context, g stage) (time.Duration, error) {
	if g.parked > 0 {
		return rebuildPause, nil
	}
	s, p, err := r.plan(ctx, g)
	if err != nil {
		return 0, err
	}
	done, err := alone(ctx, s.verifying)
	if err != nil {
		return 0, err
	}
	defer done()
	t, err := verifyTarget(ctx, r.e.c, s, p, VerifyOptions{Repair: true, Limit: verifyExamples})
	if err != nil {
		return 0, fmt.Errorf("verifying kind %s in target %s of backend %s: %w", p.Kind, p.place(), s.name, err)
	}
	r.out.Verified = &t
	switch {
	case t.OK():
		return 0, r.enter(ctx, g, "ready")
	case t.Repaired > 0:
		return 0, r.enter(ctx, g, "filling")
	default:
		return rebuildPause, nil
	}
}

// ready begins to switch, unless anything is parked or the backend is behind. From then on the generation that
// readers see is not written any more.
func (r *rebuild) ready(ctx context.Context, g stage) (time.Duration, error) {
	if g.parked > 0 {
		return rebuildPause, nil
	}
	passed, err := r.passed(ctx, g)
	switch {
	case err != nil:
		return 0, err
	case g.behind: // it shall show that it can catch up
		return rebuildPoll, r.enter(ctx, g, "ready")
	case !passed:
		return rebuildPoll, nil
	}
	return 0, inTurn(ctx, r.e.c.Pool, rebuildLock, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
update outbox.projections p set phase = 'switching', passing = null, passing_at = null
 where backend = $1 and kind = $2 and target = $3 and phase = 'ready' and building = $4
   and not exists (select from outbox.parked k where k.backend = $1 and k.kind = $2 and k.target = $5)`,
			r.args.Backend, r.args.Records, r.args.Target, g.building, buildingPlace(r.args.Target, g.building))
		if err != nil {
			return fmt.Errorf("beginning to switch: %w", err)
		}
		return nil
	})
}

// turn lets readers see the new generation. First nobody writes the one before any more; then the new one gets all
// that the one before may have; then readers see it.
func (r *rebuild) turn(ctx context.Context, g stage) error {
	if err := r.fence(ctx); err != nil {
		return err
	}
	at, err := outbox.Now(ctx, r.e.c.Pool)
	for passed := false; err == nil && !passed; {
		if passed, err = outbox.Passed(ctx, r.e.c.Pool, r.args.Backend, at); err == nil && !passed {
			wait(ctx, rebuildPoll)
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		return err
	}
	s, p, err := r.plan(ctx, g)
	if err != nil {
		return err
	}
	if whole, err := r.whole(ctx, g); err != nil || !whole {
		return err
	}
	return inTurn(ctx, r.e.c.Pool, rebuildLock, func(tx pgx.Tx) error { return r.serve(ctx, tx, s, p, g) })
}

// whole says whether the new generation has refused nothing now that it has got all. A tenure of both generations may
// have written a record into what readers see and had it refused by the new one after the switch began: they would lose
// it. Then the rebuild goes back to its beginning, so that what readers see is written again, with what it has missed, and
// waits for the record to be mended. That it is whole is recorded, and not asked again: after a crash readers may see
// the new generation already, which must not be given up any more.
func (r *rebuild) whole(ctx context.Context, g stage) (whole bool, err error) {
	id := []any{r.args.Backend, r.args.Records, r.args.Target, g.building}
	err = inTurn(ctx, r.e.c.Pool, rebuildLock, func(tx pgx.Tx) error {
		done, err := tx.Exec(ctx, `
update outbox.projections set passing = coalesce(passing, pg_current_snapshot()), passing_at = coalesce(passing_at, clock_timestamp())
 where backend = $1 and kind = $2 and target = $3 and phase = 'switching' and building = $4
   and (passing is not null or not exists (select from outbox.parked k where k.backend = $1 and k.kind = $2 and k.target = $5))`,
			append(id, buildingPlace(r.args.Target, g.building))...)
		if err != nil {
			return fmt.Errorf("recording that a generation is whole: %w", err)
		}
		if whole = done.RowsAffected() > 0; whole {
			return nil
		}
		back, err := tx.Exec(ctx, `
update outbox.projections set phase = 'logged', passing = null, passing_at = null
 where backend = $1 and kind = $2 and target = $3 and phase = 'switching' and building = $4`, id...)
		if err != nil {
			return fmt.Errorf("putting a switch off: %w", err)
		}
		if back.RowsAffected() == 0 {
			return nil // somebody else was faster
		}
		if err := outbox.RelogAllFor(ctx, tx, outbox.Rebuild, r.args.Backend, r.args.Records, outbox.Cause{}); err != nil {
			return err
		}
		return outbox.Note(ctx, tx, outbox.Event{
			What: "switch put off", Who: outbox.Engine, Backend: r.args.Backend, Kind: r.args.Records,
			Reason:  "the new generation has refused records that readers see",
			Details: map[string]any{"target": r.args.Target, "generation": g.building},
		})
	})
	return whole && err == nil, err
}

// fence waits until every tenure has ended that may have begun with generations that there were before. One that writes
// two of them may have written what readers see as a later commit left it than the other: the portions of its page are
// read one after another.
func (r *rebuild) fence(ctx context.Context) error {
	held, err := outbox.Held(ctx, r.e.c.Pool, r.args.Backend)
	for ended := false; err == nil && !ended; {
		if ended, err = held.Ended(ctx, r.e.c.Pool, r.args.Backend); err == nil && !ended {
			wait(ctx, rebuildPoll)
			err = context.Cause(ctx)
		}
	}
	return err
}

// serve switches in the store and then in the database. A crash between the two repeats both.
func (r *rebuild) serve(ctx context.Context, tx pgx.Tx, s *store, p *plan, g stage) error {
	id := []any{r.args.Backend, r.args.Records, r.args.Target, g.building}
	var still bool
	err := tx.QueryRow(ctx, `
select coalesce((select phase = 'switching' and building = $4 from outbox.projections where backend = $1 and kind = $2 and target = $3 for update), false)`,
		id...).Scan(&still)
	if err != nil {
		return fmt.Errorf("reading how far a rebuild is: %w", err)
	}
	if !still {
		return nil // somebody else was faster
	}
	b, ok := s.rebuilder()
	if !ok {
		return fmt.Errorf("backend %s is of type %s, which cannot have two generations of a target", s.name, s.typ)
	}
	if err := b.Serve(ctx, p.target); err != nil {
		return err
	}
	for _, sql := range []string{
		`delete from outbox.parked where backend = $1 and kind = $2 and target = $3 and $4::int > 0`,
		`update outbox.parked set target = $3 where backend = $1 and kind = $2 and target = $3 || '@' || $4::int`,
		`update outbox.projections set generation = building, digest = next_digest, query = next_query, settings = next_settings, dropping = generation,
		        building = null, phase = null, next_digest = null, next_query = null, next_settings = null, passing = null, passing_at = null, note = null
		  where backend = $1 and kind = $2 and target = $3 and building = $4`,
	} {
		if _, err := tx.Exec(ctx, sql, id...); err != nil {
			return fmt.Errorf("recording what readers see: %w", err)
		}
	}
	return nil
}

// drop removes a generation from the store that nobody writes or reads any more: the one before, or the one that was
// given up.
func (r *rebuild) drop(ctx context.Context, g stage) error {
	if err := r.tell("dropping", g.dropping, ""); err != nil {
		return err
	}
	if err := r.fence(ctx); err != nil {
		return err
	}
	s, err := r.store(ctx)
	if err != nil {
		return err
	}
	b, ok := s.rebuilder()
	if !ok {
		return fmt.Errorf("backend %s is of type %s, which cannot have two generations of a target", s.name, s.typ)
	}
	if err := b.Drop(ctx, backends.Target{Kind: r.args.Records, Name: r.args.Target, Generation: g.dropping}); err != nil {
		return err
	}
	return inTurn(ctx, r.e.c.Pool, rebuildLock, func(tx pgx.Tx) error {
		for _, sql := range []string{
			`delete from outbox.parked where backend = $1 and kind = $2 and target = $3 || '@' || $4::int`,
			`update outbox.projections set dropping = null where backend = $1 and kind = $2 and target = $3 and dropping = $4`,
		} {
			if _, err := tx.Exec(ctx, sql, r.args.Backend, r.args.Records, r.args.Target, g.dropping); err != nil {
				return fmt.Errorf("recording that a generation is gone: %w", err)
			}
		}
		return nil
	})
}
