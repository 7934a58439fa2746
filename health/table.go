package health

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/outbox"
)

// Publish makes known how a process finds a backend. A backend that was removed meanwhile is passed by.
func Publish(ctx context.Context, db outbox.DB, r Row) error {
	details, err := json.Marshal(r.Details)
	if err == nil {
		_, err = db.Exec(ctx, `
insert into outbox.health as h (backend, owner, state, since, reason, details)
select name, $2, $3, $4, $5, $6 from outbox.backends where name = $1
on conflict (backend, owner) do update set at = clock_timestamp(), state = excluded.state, since = excluded.since, reason = excluded.reason, details = excluded.details`,
			r.Backend, r.Owner, string(r.State), r.Since, r.Reason, string(details))
	}
	if err != nil {
		return fmt.Errorf("publishing the health of backend %s: %w", r.Backend, err)
	}
	return nil
}

// Withdraw takes back what a process said of a backend, or of all of them if none is named, because it will not say
// more.
func Withdraw(ctx context.Context, db outbox.DB, owner, backend string) error {
	if _, err := db.Exec(ctx, `delete from outbox.health where owner = $1 and $2 in ('', backend)`, owner, backend); err != nil {
		return fmt.Errorf("withdrawing the health that process %s published: %w", owner, err)
	}
	return nil
}

// Read tells how every backend of the database is, in the order of their names.
func Read(ctx context.Context, db outbox.DB) ([]Backend, error) {
	rows, err := db.Query(ctx, `
select b.name, b.paused, coalesce(b.paused_by, ''), coalesce(b.paused_at, to_timestamp(0)), clock_timestamp(),
       coalesce(h.owner, ''), coalesce(h.at, to_timestamp(0)), o.gone_at is not null, coalesce(h.state, ''), coalesce(h.since, to_timestamp(0)), coalesce(h.reason, ''), coalesce(h.details, '{}')
  from outbox.backends b left join outbox.health h on h.backend = b.name left join outbox.owners o on o.owner = h.owner
 order by b.name, h.owner`)
	if err != nil {
		return nil, fmt.Errorf("reading the health of backends: %w", err)
	}
	var all []reading
	one := &reading{}
	var r Row
	var paused *string
	var by string
	var pausedAt time.Time
	_, err = pgx.ForEachRow(rows, []any{&one.name, &paused, &by, &pausedAt, &one.now, &r.Owner, &r.At, &r.Ended, &r.State, &r.Since, &r.Reason, &r.Details}, func() error {
		i := slices.IndexFunc(all, func(x reading) bool { return x.name == one.name })
		if i < 0 {
			i = len(all)
			all = append(all, reading{name: one.name, now: one.now})
			if paused != nil {
				all[i].pause = &Pause{Reason: *paused, By: by, At: pausedAt}
			}
		}
		if r.Backend = one.name; r.Owner != "" {
			all[i].rows = append(all[i].rows, r)
		}
		r = Row{}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the health of backends: %w", err)
	}
	var list []Backend
	for _, x := range all {
		list = append(list, Merge(x.name, x.rows, x.pause, x.now))
	}
	return list, nil
}

// reading is what the database has of a backend.
type reading struct {
	name  string
	now   time.Time
	pause *Pause
	rows  []Row
}
