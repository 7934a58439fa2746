// Package reach measures how long a health check of a backend takes, and a new connection of a pool.
package reach

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	_ "github.com/outflow-db/outflow/backends/postgres" // the store
	"github.com/outflow-db/outflow/internal/benches/lab"
)

// Run measures.
func Run(ctx context.Context, l *lab.Lab) ([]lab.Row, error) {
	pool, err := l.Empty(ctx, "store", 1)
	if err != nil {
		return nil, err
	}
	n := l.Size(200, 5)
	health, err := checks(ctx, l, n)
	if err != nil {
		return nil, err
	}
	connections, err := connect(ctx, pool, n)
	if err != nil {
		return nil, err
	}
	return []lab.Row{
		lab.AtMost("reach: health check of the read model, p99", lab.Millis(lab.Quantile(health, 0.99)), "ms", 100),
		lab.AtMost("reach: new connection of the pool, p99", lab.Millis(lab.Quantile(connections, 0.99)), "ms", 50),
	}, nil
}

func checks(ctx context.Context, l *lab.Lab, n int) (took []time.Duration, err error) {
	store, err := backends.Open(ctx, backends.Config{Name: "store", Type: "postgres", Settings: map[string]any{"url": l.Server.URL("store")}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	for range n {
		begun := time.Now()
		if err := store.Health(ctx); err != nil {
			return nil, err
		}
		took = append(took, time.Since(begun))
	}
	return took, nil
}

// connect acquires connections from a pool that has none.
func connect(ctx context.Context, pool *pgxpool.Pool, n int) (took []time.Duration, err error) {
	for range n {
		pool.Reset()
		begun := time.Now()
		conn, err := pool.Acquire(ctx)
		if err != nil {
			return nil, fmt.Errorf("connecting: %w", err)
		}
		took = append(took, time.Since(begun))
		conn.Release()
	}
	return took, nil
}
