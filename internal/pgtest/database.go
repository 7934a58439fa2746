package pgtest

import (
	"context"
	"crypto/rand"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// New is a pool to a fresh database with all migrations applied. At the end of the test the pool is closed
// and the database dropped.
func New(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	pool := database(tb, " template "+template(tb))
	// A clone is another database: its positions, of which it has none yet, belong to another history.
	if _, err := pool.Exec(context.WithoutCancel(tb.Context()), "select outbox.rebase()"); err != nil {
		tb.Fatalf("moving the clone into its own history: %v", err)
	}
	return pool
}

// Empty is New without migrations.
func Empty(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	return database(tb, "")
}

// URL is the address of the pool's database, for another connection to it. It holds the password.
func URL(tb testing.TB, pool *pgxpool.Pool) string {
	tb.Helper()
	u, err := url.Parse(pool.Config().ConnString())
	if err != nil {
		tb.Fatalf("the address of the server is no URL: %v", err)
	}
	u.Path = "/" + pool.Config().ConnConfig.Database
	return u.String()
}

func database(tb testing.TB, from string) *pgxpool.Pool {
	tb.Helper()
	admin, ctx := admin(tb), context.WithoutCancel(tb.Context())
	name := "test_" + strings.ToLower(rand.Text()[:12])
	if _, err := admin.Exec(ctx, "create database "+name+from); err != nil {
		tb.Fatalf("creating a database: %v", err)
	}
	tb.Cleanup(func() { drop(tb, name) })
	pool, err := pgxpool.NewWithConfig(ctx, poolConfig(name))
	if err != nil {
		tb.Fatalf("connecting to %s: %v", name, err)
	}
	tb.Cleanup(func() { closePool(tb, pool) })
	return pool
}

// closePool closes the pool and reports connections that the test has kept.
func closePool(tb testing.TB, pool *pgxpool.Pool) {
	tb.Helper()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		pool.Close()
	}()
	select {
	case <-closed:
	case <-time.After(time.Minute):
		tb.Error("the test has not given all connections back to the pool")
	}
}

// drop drops a database with what would keep it: connections and prepared transactions.
func drop(tb testing.TB, name string) {
	tb.Helper()
	ctx := context.Background()
	rollback(ctx, tb, name)
	if _, err := shared.admin.Exec(ctx, "drop database "+name+" with (force)"); err != nil {
		tb.Errorf("dropping the database: %v", err)
	}
}

// rollback ends prepared transactions, which only works from inside their database.
func rollback(ctx context.Context, tb testing.TB, database string) {
	tb.Helper()
	rows, err := shared.admin.Query(ctx, "select gid from pg_prepared_xacts where database = $1", database)
	if err != nil {
		tb.Errorf("listing prepared transactions: %v", err)
		return
	}
	gids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(gids) == 0 {
		return
	}
	conn, err := pgx.ConnectConfig(ctx, poolConfig(database).ConnConfig)
	if err != nil {
		tb.Errorf("connecting to %s: %v", database, err)
		return
	}
	defer conn.Close(ctx)
	for _, gid := range gids {
		if _, err := conn.Exec(ctx, "rollback prepared '"+strings.ReplaceAll(gid, "'", "''")+"'"); err != nil {
			tb.Errorf("rolling %s back: %v", gid, err)
		}
	}
}
