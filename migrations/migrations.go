package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// FS holds the migrations, in goose's format, at its root.
//
//go:embed *.sql
var FS embed.FS

// RiverSchema is the schema of River's tables.
const RiverSchema = "river"

// ErrPending says that the database lacks migrations.
var ErrPending = errors.New("the database is not migrated: run `outflow migrate`")

// Up applies what is pending, each migration in a transaction of its own, and returns what it applied. It
// is safe to call from several processes at once: all but one wait, for five minutes at most. After a
// failure the migrations before the failed one stay applied, and calling again goes on from there.
func Up(ctx context.Context, pool *pgxpool.Pool) ([]*goose.MigrationResult, error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return nil, fmt.Errorf("migrating: %w", err)
	}
	return with(pool, func(p *goose.Provider) ([]*goose.MigrationResult, error) {
		if err := foreign(ctx, pool, p); err != nil {
			return nil, err
		}
		return p.Up(ctx)
	}, goose.WithSessionLocker(locker))
}

// Pending is the number of migrations that Up would apply. It changes nothing.
func Pending(ctx context.Context, pool *pgxpool.Pool) (int, error) {
	status, err := Status(ctx, pool)
	n := 0
	for _, s := range status {
		if s.State == goose.StatePending {
			n++
		}
	}
	return n, err
}

// Status tells of every migration whether it is applied, in their order. It changes nothing.
func Status(ctx context.Context, pool *pgxpool.Pool) ([]*goose.MigrationStatus, error) {
	return with(pool, func(p *goose.Provider) ([]*goose.MigrationStatus, error) {
		exists, err := hasTable(ctx, pool)
		switch {
		case err != nil:
			return nil, err
		case exists:
			return p.Status(ctx)
		}
		var all []*goose.MigrationStatus // goose would create its table
		for _, s := range p.ListSources() {
			all = append(all, &goose.MigrationStatus{Source: s, State: goose.StatePending})
		}
		return all, nil
	})
}

// Validate fails with ErrPending when migrations are pending, and otherwise when River's tables are not of
// the version that this program's River wants. It changes nothing.
func Validate(ctx context.Context, pool *pgxpool.Pool) error {
	n, err := Pending(ctx, pool)
	if err != nil {
		return err
	}
	if n > 0 {
		return fmt.Errorf("%d migrations pending: %w", n, ErrPending)
	}
	m, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: RiverSchema})
	if err != nil {
		return fmt.Errorf("validating River's tables: %w", err)
	}
	res, err := m.Validate(ctx, nil)
	if err != nil {
		return fmt.Errorf("validating River's tables: %w", err)
	}
	if !res.OK {
		return fmt.Errorf("validating River's tables: %s", strings.Join(res.Messages, "; "))
	}
	return nil
}

// with calls fn with goose over the pool. goose asks for database/sql, whose handle is closed afterwards;
// the pool stays open.
func with[T any](pool *pgxpool.Pool, fn func(*goose.Provider) (T, error), opts ...goose.ProviderOption) (_ T, err error) {
	var none T
	db := stdlib.OpenDBFromPool(pool)
	defer func() { err = errors.Join(err, db.Close()) }()
	p, err := provider(db, opts...)
	if err != nil {
		return none, fmt.Errorf("reading the migrations: %w", err)
	}
	res, err := fn(p)
	if err != nil {
		return res, fmt.Errorf("migrating: %w", err)
	}
	return res, nil
}

func provider(db *sql.DB, opts ...goose.ProviderOption) (*goose.Provider, error) {
	opts = append(opts, goose.WithTableName(table()), goose.WithDisableGlobalRegistry(true))
	return goose.NewProvider(goose.DialectPostgres, db, FS, opts...)
}

// table is where goose keeps its account, as for the goose command.
func table() string {
	if name := os.Getenv("GOOSE_TABLE"); name != "" {
		return name
	}
	return goose.DefaultTablename
}

func hasTable(ctx context.Context, pool *pgxpool.Pool) (exists bool, err error) {
	err = pool.QueryRow(ctx, "select to_regclass($1) is not null", table()).Scan(&exists)
	return exists, err
}

// foreign fails when goose's table accounts for migrations that are not ours: ours would be taken for
// applied. River's schema comes with the first of ours.
func foreign(ctx context.Context, pool *pgxpool.Pool, p *goose.Provider) error {
	exists, err := hasTable(ctx, pool)
	if err != nil || !exists {
		return err
	}
	version, err := p.GetDBVersion(ctx)
	if err != nil || version <= 0 {
		return err
	}
	var ours bool
	err = pool.QueryRow(ctx, "select to_regnamespace($1) is not null", RiverSchema).Scan(&ours)
	if err == nil && !ours {
		err = fmt.Errorf("table %s accounts for other migrations than Outflow's: set GOOSE_TABLE to a name of its own", table())
	}
	return err
}
