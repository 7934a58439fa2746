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
	err := outbox.CheckHistory(ctx, e.c.Pool)
	if err == nil {
		return nil
	}
	return settleHistory(ctx, e.c, err)
}

// settleHistory rebases the positions and queues a verify with repair for every backend, because stores may be ahead
// of a database that was restored. It leaves a standby alone, and a copy if so configured.
func settleHistory(ctx context.Context, c Config, cause error) error {
	trouble, ok := errors.AsType[*outbox.HistoryError](cause)
	if !ok || trouble.Reason == "standby" {
		return cause
	}
	if c.Settings.RefuseCopy && trouble.Reason != "other timeline" {
		return fmt.Errorf("%w: this may be a copy, whose workers must not write to the original's stores: allow it in the settings if it is not", cause)
	}
	rows, err := outbox.Rebase(ctx, c.Pool)
	if err != nil {
		return err
	}
	c.Logger.WarnContext(ctx, "the database has a new history: positions were rebased, every backend will be verified and repaired",
		"reason", trouble.Reason, "rows", rows)
	return queueVerify(ctx, c)
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
