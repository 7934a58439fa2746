package outbox

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Process identifies a process that may hold lanes.
type Process struct {
	Owner   string // unique for ever, not only while it runs
	Host    string // equal only where process ids mean the same: machine, boot and namespace
	PID     int
	Started string // tells processes apart that had the same id one after the other
}

// Register makes the process known, before it takes a lane.
func Register(ctx context.Context, db DB, p Process) error {
	_, err := db.Exec(ctx, `insert into outbox.owners (owner, host, pid, started) values ($1, $2, $3, $4)
on conflict (owner) do update set seen_at = clock_timestamp(), gone_at = null`, p.Owner, p.Host, p.PID, p.Started)
	if err != nil {
		return fmt.Errorf("registering process %s: %w", p.Owner, err)
	}
	return nil
}

// Leave says that the process will write to no store any more: it has no request under way.
func Leave(ctx context.Context, db DB, owner string) error {
	_, err := db.Exec(ctx, `update outbox.owners set gone_at = clock_timestamp() where owner = $1`, owner)
	if err != nil {
		return fmt.Errorf("leaving as process %s: %w", owner, err)
	}
	return nil
}

// Bury marks the processes of this host as gone of which alive says that they have ended. Nobody else can know
// that: a process that is stopped or cut off looks the same from outside as one that died. It also forgets
// processes that have been gone for a month.
func Bury(ctx context.Context, db DB, host string, alive func(Process) bool) error {
	rows, err := db.Query(ctx, `select owner, host, pid, started from outbox.owners where host = $1 and gone_at is null`, host)
	if err != nil {
		return fmt.Errorf("listing processes of this host: %w", err)
	}
	known, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Process])
	if err != nil {
		return fmt.Errorf("listing processes of this host: %w", err)
	}
	for _, p := range known {
		if alive(p) {
			continue
		}
		if err := Leave(ctx, db, p.Owner); err != nil {
			return err
		}
	}
	if _, err := db.Exec(ctx, `delete from outbox.owners where gone_at < clock_timestamp() - interval '30 days'`); err != nil {
		return fmt.Errorf("forgetting processes: %w", err)
	}
	return nil
}
