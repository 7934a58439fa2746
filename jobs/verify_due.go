package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// scheduleLock is of those that begin scheduled verifies.
const scheduleLock = 0x6f757466_6c6f7704

// schedule begins the verifies that are due by the schedules of the backends that run here, and are not paused.
func (e *Engine) schedule(ctx context.Context) error {
	var errs []error
	for _, s := range e.all() {
		if s.limits.Verify.Every > 0 && !e.stopping(s) {
			errs = append(errs, e.scheduleOne(ctx, s))
		}
	}
	return errors.Join(errs...)
}

// scheduleOne begins a verify of the backend, unless one is under way, however long it takes, or none is due. Processes
// that look at the same time begin one.
func (e *Engine) scheduleOne(ctx context.Context, s *store) error {
	if due, err := e.verifyDue(ctx, e.c.Pool, s); err != nil || !due {
		return err
	}
	return inTurn(ctx, e.c.Pool, scheduleLock, func(tx pgx.Tx) error {
		if due, err := e.verifyDue(ctx, tx, s); err != nil || !due {
			return err
		}
		_, err := tx.Exec(ctx, `
insert into outbox.verifying as v (backend, began) values ($1, clock_timestamp())
on conflict (backend) do update set began = excluded.began, ended = null, state = '{}'`, s.name)
		if err == nil {
			set := s.limits.Verify
			_, err = e.client.InsertTx(ctx, tx, VerifyArgs{Backend: s.name, Repair: set.Repair, Deep: set.Deep, Dangling: set.Dangling, Scheduled: true}, verifyOpts(s.name))
		}
		if err != nil {
			return fmt.Errorf("beginning the scheduled verify of backend %s: %w", s.name, err)
		}
		return nil
	})
}

// queryer is a pool or a transaction.
type queryer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// verifyDue says whether a scheduled verify of the backend is to begin.
func (e *Engine) verifyDue(ctx context.Context, db queryer, s *store) (bool, error) {
	var now time.Time
	var last *time.Time
	var busy bool
	err := db.QueryRow(ctx, `
select clock_timestamp(), (select began from outbox.verifying where backend = $1),
       exists (select from river.river_job where kind = 'verify' and queue = $1 and args->>'scheduled' = 'true'
                  and state in ('available', 'pending', 'retryable', 'running', 'scheduled'))
       or exists (select from outbox.backends where name = $1 and paused is not null)`, s.name).Scan(&now, &last, &busy)
	if err != nil {
		return false, fmt.Errorf("looking whether a verify of backend %s is due: %w", s.name, err)
	}
	if last == nil {
		last = &time.Time{}
	}
	return !busy && s.limits.Verify.due(*last, now), nil
}
