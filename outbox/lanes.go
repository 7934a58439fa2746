package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// AddBackend registers a backend whose lanes start at the present. It is an error if the name is taken. The
// caller logs what the backend shall be filled with (RelogAll). tx must not have written anything yet.
func AddBackend(ctx context.Context, tx pgx.Tx, name, typ string, lanes int) error {
	if _, err := tx.Exec(ctx, `select outbox.add_backend($1, $2, $3)`, name, typ, lanes); err != nil {
		return fmt.Errorf("adding backend %s: %w", name, err)
	}
	return nil
}

// RemoveBackend forgets a backend, its positions and what it parked. The store keeps its data.
func RemoveBackend(ctx context.Context, db DB, name string) error {
	tag, err := db.Exec(ctx, `
with gone as (delete from outbox.backends where name = $1 returning name, type)
insert into outbox.events (what, who, backend, details) select 'forgotten', session_user, name, jsonb_build_object('type', type) from gone`, name)
	if err == nil && tag.RowsAffected() == 0 {
		err = errors.New("no such backend")
	}
	if err != nil {
		return fmt.Errorf("removing backend %s: %w", name, err)
	}
	return nil
}

// LaneState is what supervision needs to know of a lane.
type LaneState struct {
	Backend  string
	Lane     int
	Held     bool   // somebody has a live lease
	Behind   bool   // the log has something for it
	Paused   string // why its backend is paused; empty: it is not
	PausedBy string
}

const lanesSQL = `
select pg_current_snapshot()::text, l.backend, l.lane, l.owner is not null and l.expires > clock_timestamp() as held,
       l.target is not null or outbox.pending(l.position, l.backend),
       coalesce(b.paused, ''), coalesce(b.paused_by, '')
  from outbox.lanes l join outbox.backends b on b.name = l.backend order by l.backend, l.lane`

// Lanes tells the state of all lanes, and the snapshot in which none that is not Behind had anything to do.
func Lanes(ctx context.Context, db DB) ([]LaneState, Snapshot, error) {
	rows, err := db.Query(ctx, lanesSQL)
	if err != nil {
		return nil, Snapshot{}, fmt.Errorf("reading the lanes: %w", err)
	}
	var all []LaneState
	var snap string
	var s LaneState
	_, err = pgx.ForEachRow(rows, []any{&snap, &s.Backend, &s.Lane, &s.Held, &s.Behind, &s.Paused, &s.PausedBy}, func() error {
		all = append(all, s)
		return nil
	})
	if err != nil {
		return nil, Snapshot{}, fmt.Errorf("reading the lanes: %w", err)
	}
	if snap == "" {
		return nil, Snapshot{}, nil
	}
	at, err := ParseSnapshot(snap)
	return all, at, err
}

// AdvanceIdle moves the positions of lanes that nobody works to the present when the log has nothing for them, so that
// they do not look over the same rows for ever. In a transaction that has written it does nothing, because a snapshot
// could count that transaction as applied.
func AdvanceIdle(ctx context.Context, db DB) error {
	_, err := db.Exec(ctx, `
update outbox.lanes l set position = pg_current_snapshot(), saved_at = clock_timestamp()
 where (l.owner is null or l.expires < clock_timestamp()) and l.target is null and l.formers = '{}'
   and (select pg_current_xact_id_if_assigned() is null) and outbox.trouble() is null
   and not outbox.pending(l.position, l.backend)`)
	if err != nil {
		return fmt.Errorf("advancing idle lanes: %w", err)
	}
	return nil
}

// Split divides a lane into parts of equal range. Each part starts exactly where the lane was, in the middle of a
// delta as well. The lane's worker is asked to finish its page and let go; Split waits for that until ctx ends.
func Split(ctx context.Context, db Beginner, backend string, lane, parts int) error {
	if parts < 2 || parts > 256 {
		return fmt.Errorf("splitting lane %d of backend %s: %d parts, must be 2 to 256", lane, backend, parts)
	}
	for {
		err := hold(ctx, db, backend, lane, holdFor)
		done := false
		if err == nil {
			done, err = split(ctx, db, backend, lane, parts)
		}
		if done {
			return nil
		}
		if err == nil {
			pause(ctx, 50*time.Millisecond)
			err = ctx.Err()
		}
		if err != nil {
			return errors.Join(fmt.Errorf("splitting lane %d of backend %s: %w", lane, backend, err),
				hold(context.WithoutCancel(ctx), db, backend, lane, 0))
		}
	}
}

// holdFor is how long a lane stays on hold when whoever asked for it dies.
const holdFor = time.Minute

// hold asks for the lane to be let go of, for a time; none takes that back.
func hold(ctx context.Context, db DB, backend string, lane int, d time.Duration) error {
	tag, err := db.Exec(ctx, `update outbox.lanes set hold = clock_timestamp() + $3::interval where backend = $1 and lane = $2`, backend, lane, d)
	if err == nil && tag.RowsAffected() == 0 {
		err = errors.New("no such lane")
	}
	if err != nil {
		return fmt.Errorf("holding lane %d of backend %s: %w", lane, backend, err)
	}
	return nil
}

// split replaces a lane by its parts, if nobody holds it. The first part keeps the lane's number; an owner that comes
// back to it finds another epoch. What an owner that did not let go may have in hand becomes suspect when the parts
// are taken.
func split(ctx context.Context, db Beginner, backend string, lane, parts int) (done bool, err error) {
	err = inTx(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select from outbox.backends where name = $1 for no key update`, backend); err != nil {
			return err // one split at a time gives numbers to new lanes
		}
		tag, err := tx.Exec(ctx, `
update outbox.lanes set owner = null, expires = '-infinity', hold = '-infinity', epoch = version + 1, version = version + 1,
       formers = case when owner is null or owner = any(formers) then formers else formers || owner end
 where backend = $1 and lane = $2 and (owner is null or expires < clock_timestamp())`, backend, lane)
		if done = tag.RowsAffected() == 1; err != nil || !done {
			return err
		}
		if _, err := tx.Exec(ctx, `
insert into outbox.lanes (backend, lane, lo, hi, position, target, after_tx, after_id, formers, epoch, version)
select l.backend, m.top + i, l.lo + (l.hi - l.lo) * i / $3, l.lo + (l.hi - l.lo) * (i + 1) / $3,
       l.position, l.target, l.after_tx, l.after_id, l.formers, l.epoch, l.version
  from outbox.lanes l
 cross join (select max(x.lane) as top from outbox.lanes x where x.backend = $1) m
 cross join generate_series(1::bigint, $3::bigint - 1) i
 where l.backend = $1 and l.lane = $2`, backend, lane, parts); err != nil {
			return err
		}
		if _, err = tx.Exec(ctx, `update outbox.lanes set hi = lo + (hi - lo) / $3::bigint where backend = $1 and lane = $2`, backend, lane, parts); err != nil {
			return err
		}
		return Note(ctx, tx, Event{What: "split", Backend: backend, Details: map[string]any{"lane": lane, "parts": parts}})
	})
	return done && err == nil, err
}
