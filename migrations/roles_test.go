package migrations_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/migrations"
)

// The roles are made once, have their rights in each database, and a login that is granted the worker's finds the
// database migrated. Who may not make roles is told so.
func TestRoles(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	exec := func(sql string) {
		t.Helper()
		if _, err := pool.Exec(context.Background(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	for range 2 {
		if err := migrations.Roles(t.Context(), pool); err != nil {
			t.Fatal(err)
		}
	}
	login := "login_" + pool.Config().ConnConfig.Database
	exec(`create role ` + login + ` login password 'secret' in role ` + migrations.Worker)
	t.Cleanup(func() {
		exec(`drop owned by ` + migrations.Worker + `, ` + migrations.Writer)
		exec(`drop role ` + login)
	})
	config := pool.Config()
	config.ConnConfig.User, config.ConnConfig.Password = login, "secret"
	worker, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer worker.Close()
	if err := migrations.Validate(t.Context(), worker); err != nil {
		t.Error(err)
	}
	if err := migrations.Roles(t.Context(), worker); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("got %v, want no permission", err)
	}
}
