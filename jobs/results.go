package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/outbox"
)

// Who starts a verify.
const (
	byCommand  = "command"
	byJob      = "job"
	bySchedule = "schedule"
)

// Result is what the last verify of a target found.
type Result struct {
	TargetReport
	At     time.Time     `json:"at"`     // when it ended, as the database has it
	Took   time.Duration `json:"took"`   // of a scheduled one: while it worked; in nanoseconds
	By     string        `json:"by"`     // command, job or schedule
	Deeply bool          `json:"deeply"` // it was a deep verify
	Repair bool          `json:"repair"`
}

// Results lists what the last verify of each target found, by backend, kind and target.
func Results(ctx context.Context, db outbox.DB) ([]Result, error) {
	rows, err := db.Query(ctx, `
select report::text, at, (extract(epoch from took) * 1e9)::bigint, started_by, deep, repair from outbox.verified order by backend, kind, target`)
	if err != nil {
		return nil, fmt.Errorf("reading what verifies found: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Result, err error) {
		var report string
		if err = row.Scan(&report, &r.At, &r.Took, &r.By, &r.Deeply, &r.Repair); err == nil {
			err = json.Unmarshal([]byte(report), &r.TargetReport)
		}
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading what verifies found: %w", err)
	}
	return list, nil
}

// keepResult keeps what a verify found, in place of what the one before did. Of a backend that is not set up nothing is
// kept.
func keepResult(ctx context.Context, db outbox.DB, r Result) error {
	report, err := json.Marshal(r.TargetReport)
	if err == nil {
		_, err = db.Exec(ctx, `
insert into outbox.verified (backend, kind, target, took, started_by, deep, repair, report)
select b.name, $2, $3, $4 * interval '1 microsecond', $5, $6, $7, $8::jsonb from outbox.backends b where b.name = $1
on conflict (backend, kind, target) do update set at = clock_timestamp(), took = excluded.took, started_by = excluded.started_by,
  deep = excluded.deep, repair = excluded.repair, report = excluded.report`,
			r.Backend, r.Kind, r.Target, r.Took.Microseconds(), r.By, r.Deeply, r.Repair, string(report))
	}
	if err != nil {
		return fmt.Errorf("keeping what the verify of target %s of backend %s found: %w", r.Target, r.Backend, err)
	}
	return nil
}

// remember keeps what a verify found. That it cannot, as by a role that may only read, takes nothing from what was found.
func (c Config) remember(ctx context.Context, r Result) {
	if err := errors.Join(keepResult(ctx, c.Pool, r), noteRepair(ctx, c.Pool, r)); err != nil && ctx.Err() == nil {
		c.Logger.WarnContext(ctx, "what a verify found is not kept", "backend", r.Backend, "target", r.Target, "error", err)
	}
}

// noteRepair notes that records were put into the log again.
func noteRepair(ctx context.Context, db outbox.DB, r Result) error {
	if r.Repaired == 0 {
		return nil
	}
	who := outbox.Engine
	if r.By == byCommand {
		who = "" // who is logged in
	}
	return outbox.Note(ctx, db, outbox.Event{
		What: "repaired", Who: who, Backend: r.Backend, Kind: r.Kind,
		Reason:  fmt.Sprintf("a verify of target %s found %d missing, %d extra, %d different, %d parked", r.Target, r.Missing, r.Extra, r.Different, r.Parked),
		Details: map[string]any{"target": r.Target, "records": r.Repaired, "by": r.By},
	})
}
