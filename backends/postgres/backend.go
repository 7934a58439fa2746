package postgres

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/endpoints"
	"github.com/outflow-db/outflow/internal/settings"
)

// Type is the name under which this package registers.
const Type = "postgres"

// What the settings are when they are not given.
const (
	DefaultSchema      = "readmodel"
	DefaultConnections = 4
	DefaultTombstones  = 8 * 24 * time.Hour
)

const (
	maxRecords     = 2000
	maxBytes       = 16 << 20
	connectTimeout = 5 * time.Second
	healthTimeout  = 5 * time.Second
)

func init() {
	backends.Register(Type, func(ctx context.Context, cfg backends.Config) (backends.Backend, error) { return open(ctx, cfg) })
}

// backend is safe for concurrent use.
type backend struct {
	name       string
	schema     string
	tombstones time.Duration
	pool       *pgxpool.Pool
	server     *endpoints.Set // of one
	log        *slog.Logger
	pruned     pruneTimes
}

var _ backends.Failover = (*backend)(nil)

// open reads the settings url, password, schema, connections and tombstones. It does not connect.
func open(ctx context.Context, cfg backends.Config) (*backend, error) {
	r := settings.New(cfg.Settings)
	url := r.String("url", "")
	password := r.String("password", "")
	b := &backend{
		name:       cfg.Name,
		schema:     r.String("schema", DefaultSchema),
		tombstones: r.Duration("tombstones", DefaultTombstones, time.Hour),
		log:        cfg.Logger,
	}
	connections := r.Int("connections", DefaultConnections, 1, 1000)
	if !validName(b.schema) || strings.HasPrefix(b.schema, "pg_") || b.schema == "information_schema" {
		r.Fail("schema", "cannot be the name of a schema of ours")
	}
	pool, err := poolConfig(url, password, connections)
	if err != nil {
		r.Fail("url", err.Error())
	}
	if err := r.Err(); err != nil {
		return nil, b.fail("open", backends.Rejected, err)
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.pool, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), pool); err != nil {
		return nil, b.fail("open", backends.Rejected, err)
	}
	b.server = b.endpoint()
	return b, nil
}

// poolConfig never repeats the address in an error: it may hold a password.
func poolConfig(url, password string, connections int) (*pgxpool.Config, error) {
	if url == "" {
		return nil, errors.New("is missing: want the address of a database, such as postgres://user@host:5432/database")
	}
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("cannot be read: want the address of a database, such as postgres://user@host:5432/database")
	}
	if password != "" {
		cfg.ConnConfig.Password = password
	}
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = connectTimeout
	}
	// No prepared statements: PgBouncer hands each transaction another connection.
	cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	cfg.MaxConns = int32(connections) //nolint:gosec // 1 to 1000
	return cfg, nil
}

// Features says that nothing is left to chance here.
func (b *backend) Features() backends.Features {
	return backends.Features{
		Guarded: true, Tombstones: true, Recomputed: true,
		MaxRecords: maxRecords, MaxBytes: maxBytes, Concurrency: 2,
	}
}

// Layout wants everything but the vector in the document.
func (b *backend) Layout(t backends.Target) (backends.Layout, error) {
	m, err := b.model(t)
	if err != nil {
		return backends.Layout{}, err
	}
	return m.layout, nil
}

// Health asks whether the server answers and takes writes.
func (b *backend) Health(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	return b.asked(ctx, "health", b.ping)
}

// Close waits for calls under way and closes the connections.
func (b *backend) Close() error {
	b.pool.Close()
	return nil
}

func (b *backend) fail(op string, class backends.Class, err error) *backends.Error {
	return &backends.Error{Op: op, Backend: b.name, Class: class, Err: err}
}

func (b *backend) failFor(op string, t backends.Target, class backends.Class, err error) *backends.Error {
	e := b.fail(op, class, err)
	e.Kind = t.Kind
	return e
}
