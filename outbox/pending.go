package outbox

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Now is the present snapshot of the database.
func Now(ctx context.Context, db DB) (Snapshot, error) {
	var text string
	if err := db.QueryRow(ctx, `select pg_current_snapshot()::text`).Scan(&text); err != nil {
		return Snapshot{}, fmt.Errorf("taking a snapshot: %w", err)
	}
	return ParseSnapshot(text)
}

// Passed says whether every lane of the backend has applied all that is visible in the snapshot.
func Passed(ctx context.Context, db DB, backend string, at Snapshot) (bool, error) {
	var behind bool
	err := db.QueryRow(ctx, `
select exists (select from outbox.lanes l join outbox.log g
                   on g.tx >= pg_snapshot_xmin(l.position) and (g.backend is null or g.backend = l.backend)
                where l.backend = $1 and pg_visible_in_snapshot(g.tx, $2::pg_snapshot) and not outbox.handled(g.tx, g.id, l))`,
		backend, at.String()).Scan(&behind)
	if err != nil {
		return false, fmt.Errorf("comparing positions of backend %s: %w", backend, err)
	}
	return !behind, nil
}

// ChangedSince says whether the log has a change of one of the kinds, for the backend, that was committed after the
// snapshot.
func ChangedSince(ctx context.Context, db DB, backend string, kinds []string, since Snapshot) (changed bool, err error) {
	err = db.QueryRow(ctx, `
select exists (select from outbox.log g where g.kind = any($2::text[]) and (g.backend is null or g.backend = $1)
                  and g.tx >= pg_snapshot_xmin($3::pg_snapshot) and not pg_visible_in_snapshot(g.tx, $3::pg_snapshot))`,
		backend, kinds, since.String()).Scan(&changed)
	if err != nil {
		return false, fmt.Errorf("looking for changes to backend %s since a snapshot: %w", backend, err)
	}
	return changed, nil
}

// InFlight lists those of the keys that the log has for the backend, not applied yet or committed after the
// snapshot. kinds are the kinds whose changes lead to the keys': of all but the first, any change concerns all keys.
// A change of every key does as well.
func InFlight(ctx context.Context, db DB, backend string, kinds, keys []string, since Snapshot) ([]string, error) {
	rows, err := db.Query(ctx, `
with open as (
  select g.kind, g.keys, coalesce(g.headers->>'all', '') = 'true' as every
    from outbox.log g
   where g.kind = any($2::text[]) and (g.backend is null or g.backend = $1)
     and g.tx >= least((select pg_snapshot_xmin(l.position) from outbox.lanes l where l.backend = $1 order by 1 limit 1), pg_snapshot_xmin($4::pg_snapshot))
     and (not pg_visible_in_snapshot(g.tx, $4::pg_snapshot)
          or exists (select from outbox.lanes l where l.backend = $1 and not outbox.handled(g.tx, g.id, l))))
select k from unnest($3::text[]) k where exists (select from open where every or kind <> ($2::text[])[1])
union
select k from open cross join unnest(open.keys) k where kind = ($2::text[])[1] and k = any($3::text[])`,
		backend, kinds, keys, since.String())
	if err != nil {
		return nil, fmt.Errorf("looking for changes in flight to backend %s: %w", backend, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("looking for changes in flight to backend %s: %w", backend, err)
	}
	return list, nil
}
