package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/internal/pgserver"
	"github.com/outflow-db/outflow/migrations"
)

// settings of the server: as one would run it on a small machine. Commits are durable.
var settings = map[string]string{
	"fsync":              "on",
	"synchronous_commit": "on",
	"shared_buffers":     "512MB",
	"max_wal_size":       "4GB",
	"checkpoint_timeout": "15min",
	"max_connections":    "300",
	"jit":                "off",
}

// Settings are those of the private server.
func Settings() map[string]string { return maps.Clone(settings) }

// Lab is what a benchmark works with.
type Lab struct {
	Server *pgserver.Server
	Quick  bool      // tiny sizes: to see that everything works, not to measure
	Source string    // a directory of Go source code
	Log    io.Writer // for progress, by line

	admin *pgx.Conn
	pools []*pgxpool.Pool
}

// Open starts a private server. The caller closes the lab.
func Open(ctx context.Context, l *Lab) (err error) {
	if l.Server, err = pgserver.Start(ctx, pgserver.Config{Settings: Settings()}); err != nil {
		return err
	}
	l.admin, err = pgx.Connect(ctx, l.Server.URL("postgres"))
	if err != nil {
		return errors.Join(fmt.Errorf("connecting: %w", err), l.Server.Stop())
	}
	return nil
}

// Close closes the pools and ends the server.
func (l *Lab) Close() error {
	for _, p := range l.pools {
		p.Close()
	}
	return errors.Join(l.admin.Close(context.Background()), l.Server.Stop())
}

// Size is how much to do: full, or quick for a tiny run.
func (l *Lab) Size(full, quick int) int {
	if l.Quick {
		return quick
	}
	return full
}

// Span is how long to do it: full, or quick for a tiny run.
func (l *Lab) Span(full, quick time.Duration) time.Duration {
	return time.Duration(l.Size(int(full), int(quick)))
}

// Say tells how far the benchmark is.
func (l *Lab) Say(format string, args ...any) { fmt.Fprintf(l.Log, "  "+format+"\n", args...) }

// Logger tells of warnings.
func (l *Lab) Logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l.Log, &slog.HandlerOptions{Level: slog.LevelError}))
}

// Empty makes a database and answers a pool of at most so many connections to it.
func (l *Lab) Empty(ctx context.Context, name string, connections int) (*pgxpool.Pool, error) {
	if _, err := l.admin.Exec(ctx, "create database "+pgx.Identifier{name}.Sanitize()); err != nil {
		return nil, fmt.Errorf("making database %s: %w", name, err)
	}
	c, err := pgxpool.ParseConfig(l.Server.URL(name))
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", name, err)
	}
	c.MaxConns = int32(connections) //nolint:gosec // small numbers
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", name, err)
	}
	l.pools = append(l.pools, pool)
	return pool, nil
}

// Database is Empty with all migrations applied.
func (l *Lab) Database(ctx context.Context, name string, connections int) (*pgxpool.Pool, error) {
	pool, err := l.Empty(ctx, name, connections)
	if err != nil {
		return nil, err
	}
	if _, err := migrations.Up(ctx, pool); err != nil {
		return nil, err
	}
	return pool, nil
}

// Calm writes everything to disk that waits for it, so that it disturbs nobody afterwards.
func (l *Lab) Calm(ctx context.Context) error {
	if _, err := l.admin.Exec(ctx, "checkpoint"); err != nil {
		return fmt.Errorf("writing a checkpoint: %w", err)
	}
	return nil
}
