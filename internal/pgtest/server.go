package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/outflow-db/outflow/internal/pgserver"
	"github.com/outflow-db/outflow/migrations"
)

// settings of the private server: fast, roomy, and with all that tests look at switched on.
var settings = map[string]string{
	"fsync":                     "off",
	"full_page_writes":          "off",
	"wal_level":                 "logical",
	"max_prepared_transactions": "64",
	"max_connections":           "300",
	"shared_buffers":            "256MB",
}

// Config is that of the private server, for a test that starts one of its own.
func Config() pgserver.Config {
	return pgserver.Config{
		Bin: os.Getenv("OUTFLOW_TEST_PGBIN"), Version: os.Getenv("OUTFLOW_TEST_PGVERSION"), Settings: maps.Clone(settings),
	}
}

// shared is what all tests of a binary share.
var shared struct {
	sync.Mutex
	started  bool
	err      error // of the start: every test fails with it
	server   *pgserver.Server
	admin    *pgxpool.Pool // to the database that databases are made from
	template string        // a migrated database; empty: not made yet
}

// Main runs the tests, stops the server and looks for goroutines that are left over, less those that
// options ignore. It returns the code to exit with.
func Main(m interface{ Run() int }, options ...goleak.Option) int {
	code := m.Run()
	err := shutdown()
	if code == 0 {
		err = errors.Join(err, goleak.Find(options...))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return max(code, 1)
	}
	return code
}

// Server is the private server that the tests of this binary share. A test that stops or kills it must not
// be parallel to others: it better starts one of its own.
func Server(tb testing.TB) *pgserver.Server {
	tb.Helper()
	admin(tb)
	if shared.server == nil {
		tb.Fatal("this test needs the private server: unset OUTFLOW_TEST_POSTGRES")
	}
	return shared.server
}

// admin connects to the server, which it starts if this is the first call.
func admin(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if !shared.started {
		shared.started = true
		shared.err = start(context.WithoutCancel(tb.Context()))
	}
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	return shared.admin
}

func start(ctx context.Context) (err error) {
	url := os.Getenv("OUTFLOW_TEST_POSTGRES")
	if url == "" {
		if shared.server, err = pgserver.Start(ctx, Config()); err != nil {
			return err
		}
		url = shared.server.URL("postgres")
	}
	shared.admin, err = pgxpool.New(ctx, url)
	return err
}

// template is the migrated database that databases are cloned from.
func template(tb testing.TB) string {
	tb.Helper()
	admin := admin(tb)
	shared.Lock()
	defer shared.Unlock()
	if shared.template != "" {
		return shared.template
	}
	ctx := context.WithoutCancel(tb.Context())
	name := "outflow_template_" + strings.ToLower(rand.Text()[:8])
	if _, err := admin.Exec(ctx, "create database "+name); err != nil {
		tb.Fatalf("creating the template: %v", err)
	}
	if err := migrate(ctx, name); err != nil {
		tb.Fatal(err)
	}
	shared.template = name
	return name
}

func migrate(ctx context.Context, database string) error {
	pool, err := pgxpool.NewWithConfig(ctx, poolConfig(database))
	if err != nil {
		return err
	}
	defer pool.Close()
	_, err = migrations.Up(ctx, pool)
	return err
}

// shutdown stops the server, or removes the template from one that is not ours.
func shutdown() error {
	shared.Lock()
	defer shared.Unlock()
	var err error
	if shared.admin != nil {
		if shared.server == nil && shared.template != "" {
			_, err = shared.admin.Exec(context.Background(), "drop database "+shared.template)
		}
		shared.admin.Close()
	}
	if shared.server != nil {
		err = errors.Join(err, shared.server.Stop())
	}
	return err
}

// poolConfig is the configuration of a pool to a database of the server.
func poolConfig(database string) *pgxpool.Config {
	cfg := shared.admin.Config()
	cfg.ConnConfig.Database = database
	cfg.MaxConns = 20
	return cfg
}
