package alerts

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/outbox"
)

const columns = `id, rule, backend, kind, severity, summary, state, since, fired_at, seen_at, resolved_at, told, told_at`

// List lists the alerts that fire, the latest first; with all also those that are pending, and those of the last 30 days
// that are over.
func List(ctx context.Context, db outbox.DB, all bool) ([]Alert, error) {
	rows, err := db.Query(ctx, `select `+columns+` from outbox.alerts where state = 'firing' or $1 order by coalesce(fired_at, since) desc, id`, all)
	var list []Alert
	if err == nil {
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Alert])
	}
	if err != nil {
		return nil, fmt.Errorf("listing alerts: %w", err)
	}
	return list, nil
}

// save keeps alerts as they are now, and forgets others.
func save(ctx context.Context, db outbox.DB, changed []Alert, gone []string) error {
	for _, a := range changed {
		_, err := db.Exec(ctx, `
insert into outbox.alerts (`+columns+`) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
on conflict (id) do update set severity = excluded.severity, summary = excluded.summary, state = excluded.state, since = excluded.since,
  fired_at = excluded.fired_at, seen_at = excluded.seen_at, resolved_at = excluded.resolved_at, told = excluded.told, told_at = excluded.told_at`,
			a.ID, a.Rule, a.Backend, a.Kind, string(a.Severity), a.Summary, string(a.State), a.Since, a.Fired, a.Seen, a.Resolved, string(a.Told), a.ToldAt)
		if err != nil {
			return fmt.Errorf("keeping alert %s: %w", a.ID, err)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	if _, err := db.Exec(ctx, `delete from outbox.alerts where id = any($1)`, gone); err != nil {
		return fmt.Errorf("forgetting alerts: %w", err)
	}
	return nil
}

// turn is a process's turn to look.
type turn struct {
	now      time.Time // by the database's clock, as all times of alerts
	database string
	sample   bool // a sample is due
}

// takeTurn answers nil when another process is looking, or has looked just now. The turn ends with the transaction.
func takeTurn(ctx context.Context, tx pgx.Tx, s Settings) (*turn, error) {
	var t turn
	var last, next time.Time
	err := tx.QueryRow(ctx, `
select clock_timestamp(), current_database(), greatest(looked_at, to_timestamp(0)), greatest(next_sample, to_timestamp(0)) from outbox.lookout for update skip locked`).
		Scan(&t.now, &t.database, &last, &next)
	if err == pgx.ErrNoRows || err == nil && t.now.Sub(last) < s.Every*3/4 { //nolint:errorlint // as QueryRow answers it
		return nil, nil
	}
	if err == nil {
		_, err = tx.Exec(ctx, `update outbox.lookout set looked_at = $1`, t.now)
	}
	if err != nil {
		return nil, fmt.Errorf("taking a turn at looking for alerts: %w", err)
	}
	t.sample = !t.now.Before(next)
	return &t, nil
}
