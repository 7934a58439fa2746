package pgtest_test

import (
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/migrations"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// A new database has all migrations, an empty one none.
func TestDatabases(t *testing.T) {
	t.Parallel()
	pool, empty := pgtest.New(t), pgtest.Empty(t)
	if err := migrations.Validate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	var schemas int
	err := empty.QueryRow(t.Context(), "select count(*) from pg_namespace where nspname in ('river', 'outbox')").Scan(&schemas)
	if err != nil || schemas != 0 {
		t.Fatalf("an empty database has %d schemas of ours: %v", schemas, err)
	}
}

// Tests do not see each other's rows.
func TestIsolation(t *testing.T) {
	t.Parallel()
	for range 2 {
		if _, err := pgtest.Empty(t).Exec(t.Context(), "create table mine (id int primary key)"); err != nil {
			t.Fatal(err)
		}
	}
}

// The URL leads to the pool's own database.
func TestURL(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	conn, err := pgx.Connect(t.Context(), pgtest.URL(t, pool))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var name string
	if err := conn.QueryRow(t.Context(), "select current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	if want := pool.Config().ConnConfig.Database; name != want {
		t.Fatalf("got %s, want %s", name, want)
	}
}

// A prepared transaction that a test leaves behind does not keep its database.
func TestPrepared(t *testing.T) {
	t.Parallel()
	var name string
	t.Run("leave one", func(t *testing.T) {
		pool := pgtest.Empty(t)
		name = pool.Config().ConnConfig.Database
		if _, err := pool.Exec(t.Context(), "begin; create table x (); prepare transaction 'it''s left'"); err != nil {
			t.Fatal(err)
		}
	})
	var exists bool
	err := pgtest.Empty(t).QueryRow(t.Context(), "select exists (select from pg_database where datname = $1)", name).Scan(&exists)
	if err != nil || exists {
		t.Fatalf("database %s is still there: %v", name, err)
	}
}
