package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/migrations"
	"github.com/outflow-db/outflow/outbox"
)

// rebuildLock is of what changes which generations of a target there are.
const rebuildLock = 0x6f757466_6c6f7703

// BeginRebuild makes a new generation of targets beside the one that readers see, to be filled with what c says of
// them, and inserts the jobs that see to it: of all kinds that the backend projects, or of those that are named. The
// generation before goes on being written, with the definition that it has, until readers see the new one; then it is
// removed. A worker's configuration may have either definition until then, and must have the new one afterwards.
//
// It reaches the store. One that goes on already with the same definition is seen to again. It fails when the
// backend's type cannot have generations, when the kind has not been set up, when the store refuses the new
// generation, and when one with another definition goes on: nothing has changed then for the kind that the error
// names.
func BeginRebuild(ctx context.Context, c Config, backend string, kinds ...string) (err error) {
	c, err = c.checked()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(c.Backends, func(b backends.Config) bool { return b.Name == backend })
	if i < 0 {
		return fmt.Errorf("rebuild: no backend %q is configured", backend)
	}
	s, err := openStore(ctx, c, c.Backends[i])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.backend.Close()) }()
	if _, ok := s.rebuilder(); !ok {
		return fmt.Errorf("rebuild: backend %s is of type %s, which cannot have two generations of a target: rebuild it in place", backend, s.typ)
	}
	for _, p := range s.chosen(kinds) {
		if err := inTurn(ctx, c.Pool, rebuildLock, func(tx pgx.Tx) error { return begin(ctx, tx, c, s, p) }); err != nil {
			return fmt.Errorf("rebuilding kind %s in target %s of backend %s: %w", p.Kind, p.Target, backend, err)
		}
	}
	return nil
}

// chosen are the configured projections of some kinds; of none, all.
func (s *store) chosen(kinds []string) []Projection {
	return slices.DeleteFunc(slices.Clone(s.projections), func(p Projection) bool {
		return len(kinds) > 0 && !slices.Contains(kinds, p.Kind)
	})
}

// begin begins the rebuild of one target: first in the store, which may refuse it, then in the database.
func begin(ctx context.Context, tx pgx.Tx, c Config, s *store, p Projection) error {
	id := [2]string{p.Kind, p.Target}
	digest := s.digests[id]
	args := RebuildArgs{Backend: s.name, Records: p.Kind, Target: p.Target}
	var was, next string
	var made int
	var known, dropping bool
	err := tx.QueryRow(ctx, `
select digest, coalesce(next_digest, ''), generations, query is not null, dropping is not null from outbox.projections
 where backend = $1 and kind = $2 and target = $3`, s.name, p.Kind, p.Target).Scan(&was, &next, &made, &known, &dropping)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return errors.New("this database does not know the projection yet: outflow apply sets it up")
	case err != nil:
		return fmt.Errorf("reading the generations: %w", err)
	case next == digest:
		return insertRebuild(ctx, c.Pool, tx, args)
	case next != "":
		return fmt.Errorf("%s (%s)", besideAnother, cancelAdvice(s.name, p.Kind))
	case dropping:
		return errors.New("a former generation is still being removed from the store, which is a worker's job: try again then")
	case was != digest && !known:
		_, err := definition{}.of(p)
		return err
	}
	if err := s.make(ctx, p, made+1); err != nil {
		return err
	}
	if err := recordBuilding(ctx, tx, p, digest, made+1); err != nil {
		return err
	}
	if err := outbox.RelogAllFor(ctx, tx, outbox.Rebuild, s.name, p.Kind, outbox.Cause{}); err != nil {
		return err
	}
	if err := outbox.Note(ctx, tx, outbox.Event{What: "rebuild begun", Backend: s.name, Kind: p.Kind, Details: map[string]any{"target": p.Target, "generation": made + 1}}); err != nil {
		return err
	}
	return insertRebuild(ctx, c.Pool, tx, args)
}

// make makes a generation in the store, without what a beginning that ended too early may have left there.
func (s *store) make(ctx context.Context, p Projection, generation int) error {
	i := slices.IndexFunc(s.plans[p.Kind], func(x *plan) bool { return x.Target == p.Target })
	target := s.plans[p.Kind][i].target
	target.Generation, target.Building = generation, true
	r, _ := s.rebuilder()
	if err := r.Drop(ctx, target); err != nil {
		return err
	}
	return s.backend.Prepare(ctx, []backends.Target{target})
}

func recordBuilding(ctx context.Context, tx pgx.Tx, p Projection, digest string, generation int) error {
	settings, err := json.Marshal(p.Settings)
	if err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	_, err = tx.Exec(ctx, `
update outbox.projections set building = $4, generations = $4, phase = 'logged', next_digest = $5, next_query = $6, next_settings = $7,
       passing = null, passing_at = null, note = null
 where backend = $1 and kind = $2 and target = $3`, p.Backend, p.Kind, p.Target, generation, digest, p.Query, string(settings))
	if err != nil {
		return fmt.Errorf("recording the generation: %w", err)
	}
	return nil
}

// CancelRebuild gives up the rebuilds beside of a backend's targets, of all kinds or of those that are named, and
// answers how many those are. What was filled is removed from the store by a job. A rebuild that is past verifying
// and switches to the new generation is not given up any more: that is an error, and the others are.
func CancelRebuild(ctx context.Context, pool *pgxpool.Pool, backend string, kinds ...string) (n int, err error) {
	err = inTurn(ctx, pool, rebuildLock, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
update outbox.projections set dropping = building, building = null, phase = null, next_digest = null, next_query = null, next_settings = null,
       passing = null, passing_at = null, note = null
 where backend = $1 and ($2::text[] = '{}' or kind = any($2)) and phase <> 'switching'
returning backend, kind, target, dropping`, backend, append([]string{}, kinds...))
		if err != nil {
			return fmt.Errorf("giving up rebuilds of backend %s: %w", backend, err)
		}
		type given struct {
			RebuildArgs
			Generation int
		}
		list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (g given, err error) {
			err = row.Scan(&g.Backend, &g.Records, &g.Target, &g.Generation)
			return g, err
		})
		if err != nil {
			return fmt.Errorf("giving up rebuilds of backend %s: %w", backend, err)
		}
		for _, g := range list {
			if err := insertRebuild(ctx, pool, tx, g.RebuildArgs); err != nil {
				return err
			}
			if err := outbox.Note(ctx, tx, outbox.Event{What: "rebuild cancelled", Backend: g.Backend, Kind: g.Records, Details: map[string]any{"target": g.Target, "generation": g.Generation}}); err != nil {
				return err
			}
		}
		n = len(list)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return n, tooLate(ctx, pool, backend, kinds)
}

// tooLate names rebuilds that are not given up any more.
func tooLate(ctx context.Context, db outbox.DB, backend string, kinds []string) error {
	var list []string
	err := db.QueryRow(ctx, `
select array(select kind from outbox.projections where backend = $1 and ($2::text[] = '{}' or kind = any($2)) and phase = 'switching' order by 1)`,
		backend, append([]string{}, kinds...)).Scan(&list)
	if err != nil {
		return fmt.Errorf("looking for rebuilds of backend %s: %w", backend, err)
	}
	if len(list) > 0 {
		return fmt.Errorf("too late to give up the rebuild of %v in backend %s: its readers are about to see the new generation", list, backend)
	}
	return nil
}

// insertRebuild inserts the job of a rebuild, unless one waits already.
func insertRebuild(ctx context.Context, pool *pgxpool.Pool, tx pgx.Tx, args RebuildArgs) error {
	var waiting bool
	err := tx.QueryRow(ctx, `
select exists (select from river.river_job where kind = 'rebuild' and state in ('available', 'retryable', 'scheduled')
   and queue = $1 and args->>'kind' = $2 and args->>'target' = $3)`, args.Backend, args.Records, args.Target).Scan(&waiting)
	if err != nil {
		return fmt.Errorf("looking for a job: %w", err)
	}
	if waiting {
		return nil
	}
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Schema: migrations.RiverSchema})
	if err != nil {
		return fmt.Errorf("making the River client: %w", err)
	}
	if _, err := client.InsertTx(ctx, tx, args, rebuildOpts(args)); err != nil {
		return fmt.Errorf("inserting a job: %w", err)
	}
	return nil
}

// tend inserts jobs for rebuilds that nobody sees to: River does not know that a process died.
func (e *Engine) tend(ctx context.Context) error {
	names := []string{}
	for _, s := range e.all() {
		names = append(names, s.name)
	}
	rows, err := e.c.Pool.Query(ctx, `
select backend, kind, target from outbox.projections
 where (building is not null or dropping is not null) and backend = any($1) and coalesce(rebuilder_until, '-infinity') < clock_timestamp()`, names)
	if err != nil {
		return fmt.Errorf("looking for rebuilds: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[RebuildArgs])
	if err != nil {
		return fmt.Errorf("looking for rebuilds: %w", err)
	}
	for _, args := range list {
		if err := inTurn(ctx, e.c.Pool, rebuildLock, func(tx pgx.Tx) error { return insertRebuild(ctx, e.c.Pool, tx, args) }); err != nil {
			return err
		}
	}
	return nil
}
