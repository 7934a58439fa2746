package pgserver_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outflow-db/outflow/internal/pgserver"
)

// fake is a directory with programs that say to be PostgreSQL of a version.
func fake(t *testing.T, says string) string {
	t.Helper()
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\necho '%s'\n", says)
	for _, name := range []string{"postgres", "initdb"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A directory that is named wins over one that is on PATH, the configuration over the environment, and on
// PATH the newest of the wanted version.
func TestFindOrder(t *testing.T) {
	configured, environment := fake(t, "postgres (PostgreSQL) 90.1"), fake(t, "postgres (PostgreSQL) 91.2 (Debian)")
	older, newer := fake(t, "postgres (PostgreSQL) 98devel"), fake(t, "postgres (PostgreSQL) 99beta1")
	t.Setenv("PATH", strings.Join([]string{older, newer, t.TempDir(), os.Getenv("PATH")}, string(os.PathListSeparator)))
	for _, c := range []struct {
		cfg         pgserver.Config
		environment string
		want        string
	}{
		{pgserver.Config{Bin: configured}, environment, configured},
		{pgserver.Config{}, environment, environment},
		{pgserver.Config{Version: "91"}, environment, environment},
		{pgserver.Config{}, "", newer},
		{pgserver.Config{Version: "98"}, "", older},
	} {
		t.Setenv("OUTFLOW_POSTGRES_BIN", c.environment)
		got, err := pgserver.Find(t.Context(), c.cfg)
		if err != nil || got != c.want {
			t.Errorf("%+v with %q: got %q, want %q: %v", c.cfg, c.environment, got, c.want, err)
		}
	}
}

// What is named and wrong is an error, never passed over.
func TestFindFails(t *testing.T) {
	t.Setenv("OUTFLOW_POSTGRES_BIN", "")
	broken := fake(t, "")
	if err := os.WriteFile(filepath.Join(broken, "postgres"), []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cfg  pgserver.Config
		want string
	}{
		{pgserver.Config{Bin: fake(t, "postgres (PostgreSQL) 16.3"), Version: "17"}, "holds PostgreSQL 16, not 17"},
		{pgserver.Config{Bin: fake(t, "mysqld 8")}, `got "mysqld 8\n"`},
		{pgserver.Config{Bin: broken}, "exit status 1"},
		{pgserver.Config{Bin: t.TempDir()}, "no PostgreSQL server in"},
	} {
		_, err := pgserver.Find(t.Context(), c.cfg)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.cfg, err, c.want)
		}
	}
	if _, err := pgserver.Find(t.Context(), pgserver.Config{Version: "97"}); !errors.Is(err, pgserver.ErrNotFound) {
		t.Errorf("a version that is nowhere: got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pgserver.Find(ctx, pgserver.Config{}); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: got %v", err)
	}
}
