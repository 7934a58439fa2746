package console

import (
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"riverqueue.com/riverui"

	"github.com/outflow-db/outflow/migrations"
)

// newRiverUI makes River UI over the pool. Its client inserts and changes jobs, and works none.
func newRiverUI(pool *pgxpool.Pool, logger *slog.Logger) (*riverui.Handler, error) {
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Schema: migrations.RiverSchema, Logger: logger})
	if err != nil {
		return nil, fmt.Errorf("making River UI's client: %w", err)
	}
	handler, err := riverui.NewHandler(&riverui.HandlerOpts{Endpoints: riverui.NewEndpoints(client, nil), Logger: logger, Prefix: "/river"})
	if err != nil {
		return nil, fmt.Errorf("making River UI: %w", err)
	}
	return handler, nil
}
