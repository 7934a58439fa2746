// Package reach measures how long a health check of a backend takes, and a new connection of a pool.
package reach

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	_ "github.com/outflow-db/outflow/backends/postgres" // the store
	"github.com/outflow-db/outflow/internal/benches/lab"
)

// Run measures the embedded read model, and a pool.
func Run(ctx context.Context, l *lab.Lab) ([]lab.Row, error) {
	store, err := l.ReadModel(ctx, "reach")
	if err != nil {
		return nil, err
	}
	rows, err := Into(ctx, l, store)
	if err != nil {
		return nil, err
	}
	pool, err := l.Empty(ctx, "pool", 1)
	if err != nil {
		return nil, err
	}
	connections, err := connect(ctx, pool, l.Size(200, 5))
	if err != nil {
		return nil, err
	}
	return append(rows, lab.AtMost("reach: new connection of the pool, p99", lab.Millis(lab.Quantile(connections, 0.99)), "ms", 50)), nil
}

// Into measures a store: health checks by a connection that is there, and new connections with one each.
func Into(ctx context.Context, l *lab.Lab, s lab.Store) ([]lab.Row, error) {
	n := l.Size(200, 5)
	health, err := checks(ctx, s, n, 1)
	if err != nil {
		return nil, err
	}
	opened, err := checks(ctx, s, 1, n)
	if err != nil {
		return nil, err
	}
	return []lab.Row{
		lab.AtMost(s.Bench+": health check, p99", lab.Millis(lab.Quantile(health, 0.99)), "ms", 100),
		lab.AtMost(s.Bench+": new connection with a health check, p99", lab.Millis(lab.Quantile(opened, 0.99)), "ms", 50),
	}, nil
}

// checks times health checks of a store that is opened anew so many times. The first check of one that is not opened
// anew connects, and does not count.
func checks(ctx context.Context, s lab.Store, n, anew int) (took []time.Duration, err error) {
	for range anew {
		list, err := checked(ctx, s, n)
		if err != nil {
			return nil, err
		}
		took = append(took, list...)
	}
	return took, nil
}

func checked(ctx context.Context, s lab.Store, n int) (took []time.Duration, err error) {
	store, err := s.Gauge("reach").Open(ctx, "reach")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if n > 1 {
		if err := store.Health(ctx); err != nil {
			return nil, err
		}
	}
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
