package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/config"
	"github.com/outflow-db/outflow/migrations"
)

// connectTimeout bounds a connection's making unless the configuration says otherwise.
const connectTimeout = 10 * time.Second

// connect reads the configuration and connects to its database. At least conns connections may be used, and as
// many as workers need, unless the URL says otherwise. The caller closes the pool.
func (a *app) connect(ctx context.Context, conns int) (*config.Config, *pgxpool.Pool, error) {
	c, err := a.configuration()
	if err != nil {
		return nil, nil, err
	}
	pool, err := a.poolFor(ctx, c, conns)
	return c, pool, err
}

// poolFor connects to the database of a configuration, as connect does.
func (a *app) poolFor(ctx context.Context, c *config.Config, conns int) (*pgxpool.Pool, error) {
	workers := 2*len(c.Backends)*max(1, c.Worker.Lanes) + 8
	return connect(ctx, c.Database, max(conns, workers))
}

// connect connects to a database and proves that it answers.
func connect(ctx context.Context, database string, conns int) (*pgxpool.Pool, error) {
	settings, err := pgxpool.ParseConfig(database)
	if err != nil {
		return nil, fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	if settings.ConnConfig.ConnectTimeout == 0 {
		settings.ConnConfig.ConnectTimeout = connectTimeout
	}
	if settings.ConnConfig.RuntimeParams["application_name"] == "" {
		settings.ConnConfig.RuntimeParams["application_name"] = "outflow"
	}
	if !strings.Contains(database, "pool_max_conns") {
		settings.MaxConns = max(settings.MaxConns, int32(min(conns, 1000))) //nolint:gosec // it fits
	}
	pool, err := pgxpool.NewWithConfig(ctx, settings)
	if err != nil {
		return nil, fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	return pool, nil
}

// ready is connect for verbs that need a migrated database.
func (a *app) ready(ctx context.Context, conns int) (*config.Config, *pgxpool.Pool, error) {
	c, pool, err := a.connect(ctx, conns)
	if err != nil {
		return nil, nil, err
	}
	if err := migrations.Validate(ctx, pool); err != nil {
		pool.Close()
		return nil, nil, err
	}
	return c, pool, nil
}
