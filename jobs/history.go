package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/outflow-db/outflow/migrations"
	"github.com/outflow-db/outflow/outbox"
)

// settle makes positions mean something again if the database has a new history.
func (e *Engine) settle(ctx context.Context) error {
	if err := settle(ctx, e.c); err != nil {
		return err
	}
	return outbox.Register(ctx, e.c.Pool, e.process) // a former history may not know this process
}

// settle rebases the positions of a database that has a new history, and queues a verify with repair for every
// backend, because stores may be ahead of a database that was restored. It leaves a standby alone, and a copy if so
// configured. Processes that notice at the same time do it once.
func settle(ctx context.Context, c Config) error {
	err := outbox.CheckHistory(ctx, c.Pool)
	if trouble, ok := errors.AsType[*outbox.HistoryError](err); !ok || trouble.Reason == "standby" {
		return err
	}
	return inTurn(ctx, c.Pool, historyLock, func(tx pgx.Tx) error {
		err := outbox.CheckHistory(ctx, tx)
		trouble, ok := errors.AsType[*outbox.HistoryError](err)
		if !ok {
			return err // nil when somebody else was faster
		}
		if c.Settings.RefuseCopy && trouble.Reason != "other timeline" {
			return fmt.Errorf("%w: this may be a copy, whose workers must not write to the original's stores: allow it in the settings if it is not", err)
		}
		return rebase(ctx, c, trouble)
	})
}

// rebase queues the verifies and rebases the positions. The order matters: a crash between the two repeats both,
// and a verify waits for the rebase.
func rebase(ctx context.Context, c Config, why *outbox.HistoryError) error {
	if err := queueVerify(ctx, c); err != nil {
		return err
	}
	rows, err := outbox.Rebase(ctx, c.Pool)
	if err != nil {
		return err
	}
	c.Logger.WarnContext(ctx, "the database has a new history: positions were rebased, every backend will be verified and repaired",
		"reason", why.Reason, "rows", rows)
	return nil
}

// queueVerify inserts a job for each backend that verifies and repairs it.
func queueVerify(ctx context.Context, c Config) error {
	rows, err := c.Pool.Query(ctx, `select name from outbox.backends order by name`)
	if err != nil {
		return fmt.Errorf("listing backends: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("listing backends: %w", err)
	}
	client, err := river.NewClient(riverpgxv5.New(c.Pool), &river.Config{Schema: migrations.RiverSchema, Logger: c.Logger})
	if err != nil {
		return fmt.Errorf("making the River client: %w", err)
	}
	for _, name := range names {
		if _, err := client.Insert(ctx, VerifyArgs{Backend: name, Repair: true}, verifyOpts(name)); err != nil {
			return fmt.Errorf("queueing a verify of backend %s: %w", name, err)
		}
	}
	return nil
}
