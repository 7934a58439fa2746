package migrations_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"golang.org/x/sync/errgroup"

	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/migrations"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// files is the number of migrations.
func files(t *testing.T) int {
	t.Helper()
	names, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// objects is all that a database has beyond PostgreSQL's own and goose's table, as definitions.
func objects(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `
		with ours as (select oid, nspname from pg_namespace where nspname !~ '^pg_' and nspname not in ('information_schema', 'public'))
		select 'schema ' || nspname from ours
		union all select format('column %s.%s %s %s %s', c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
			from ours join pg_class c on c.relnamespace = ours.oid join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
			left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
		union all select format('relation %s %s %s %s', c.oid::regclass, c.relkind, c.relpersistence, c.relacl) from ours join pg_class c on c.relnamespace = ours.oid
		union all select pg_get_indexdef(i.indexrelid) from ours join pg_class c on c.relnamespace = ours.oid join pg_index i on i.indrelid = c.oid
		union all select format('constraint %s %s %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid)) from ours join pg_constraint k on k.connamespace = ours.oid
		union all select pg_get_functiondef(p.oid) || coalesce(p.proacl::text, '') from ours join pg_proc p on p.pronamespace = ours.oid and p.prokind <> 'a'
		union all select pg_get_triggerdef(g.oid) from ours join pg_class c on c.relnamespace = ours.oid join pg_trigger g on g.tgrelid = c.oid and not g.tgisinternal
		union all select pg_get_viewdef(c.oid) from ours join pg_class c on c.relnamespace = ours.oid and c.relkind in ('v', 'm')
		union all select format('enum %s %s', e.enumtypid::regtype, e.enumlabel) from ours join pg_type y on y.typnamespace = ours.oid join pg_enum e on e.enumtypid = y.oid
		order by 1`)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// Every migration can be undone, leaves nothing behind, and comes back the same.
func TestUpDownUp(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	up(t, pool, files(t))
	first := objects(t, pool)
	if len(first) == 0 {
		t.Fatal("no objects were made")
	}

	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	p, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS)
	if err != nil {
		t.Fatal(err)
	}
	down, err := p.DownTo(t.Context(), 0)
	if err != nil || len(down) != files(t) {
		t.Fatalf("undid %d of %d: %v", len(down), files(t), err)
	}
	if left := objects(t, pool); len(left) > 0 {
		t.Fatalf("left behind:\n%s", strings.Join(left, "\n"))
	}

	up(t, pool, files(t))
	if diff := cmp.Diff(first, objects(t, pool)); diff != "" {
		t.Fatalf("the second time differs:\n%s", diff)
	}
	up(t, pool, 0)
}

// up applies the migrations and expects so many to be applied.
func up(t *testing.T, pool *pgxpool.Pool, want int) {
	t.Helper()
	res, err := migrations.Up(t.Context(), pool)
	if err != nil || len(res) != want {
		t.Fatalf("applied %d, want %d: %v", len(res), want, err)
	}
}

// River's schema by our files is the one by River's own tool.
func TestRiverSchema(t *testing.T) {
	t.Parallel()
	theirs := pgtest.Empty(t)
	if _, err := theirs.Exec(t.Context(), "create schema river"); err != nil {
		t.Fatal(err)
	}
	m, err := rivermigrate.New(riverpgxv5.New(theirs), &rivermigrate.Config{Schema: "river"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Migrate(t.Context(), rivermigrate.DirectionUp, nil); err != nil {
		t.Fatal(err)
	}
	ours := pgtest.New(t)
	if _, err := ours.Exec(t.Context(), "drop schema if exists outbox, ast cascade"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(objects(t, theirs), objects(t, ours)); diff != "" {
		t.Fatalf("(-river +ours)\n%s", diff)
	}
}

// Deploys that migrate at the same time wait for each other: every migration is applied once, by one.
func TestConcurrentUp(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t, pgtest.Empty(t))
	var g errgroup.Group
	applied := make([]int, 3)
	for i := range applied {
		g.Go(func() error {
			pool, err := pgxpool.New(context.WithoutCancel(t.Context()), url)
			if err != nil {
				return err
			}
			defer pool.Close()
			res, err := migrations.Up(t.Context(), pool)
			applied[i] = len(res)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if sum := applied[0] + applied[1] + applied[2]; sum != files(t) {
		t.Fatalf("applied %v, want %d together", applied, files(t))
	}
}

// A pool of one connection is enough.
func TestOneConnection(t *testing.T) {
	t.Parallel()
	cfg := pgtest.Empty(t).Config()
	cfg.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	up(t, pool, files(t))
	if err := migrations.Validate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
}

// Looking changes nothing: a database without migrations has them all pending, and no table afterwards.
func TestPendingChangesNothing(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	n, err := migrations.Pending(t.Context(), pool)
	if err != nil || n != files(t) {
		t.Fatalf("pending %d, want %d: %v", n, files(t), err)
	}
	if err := migrations.Validate(t.Context(), pool); !errors.Is(err, migrations.ErrPending) {
		t.Fatalf("got %v, want %v", err, migrations.ErrPending)
	}
	var tables int
	if err := pool.QueryRow(t.Context(), "select count(*) from pg_class where relnamespace = 'public'::regnamespace").Scan(&tables); err != nil || tables != 0 {
		t.Fatalf("%d relations were made: %v", tables, err)
	}
}

// A migration of ours that is missing is ErrPending.
func TestValidateMissesOurs(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	if _, err := pool.Exec(t.Context(), "delete from goose_db_version where version_id = (select max(version_id) from goose_db_version)"); err != nil {
		t.Fatal(err)
	}
	if err := migrations.Validate(t.Context(), pool); !errors.Is(err, migrations.ErrPending) {
		t.Fatalf("got %v, want %v", err, migrations.ErrPending)
	}
}

// A version of River that its tables lack is noticed, though goose thinks that all is well.
func TestValidateMissesRiver(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	if _, err := pool.Exec(t.Context(), "delete from river.river_migration where version = 7"); err != nil {
		t.Fatal(err)
	}
	if err := migrations.Validate(t.Context(), pool); err == nil || !strings.Contains(err.Error(), "7") {
		t.Fatalf("got %v, want an error that names version 7", err)
	}
	if _, err := pool.Exec(t.Context(), "drop table river.river_migration"); err != nil {
		t.Fatal(err)
	}
	if err := migrations.Validate(t.Context(), pool); err == nil {
		t.Fatal("River's table of migrations is gone, and nobody noticed")
	}
}

// A database that does not answer is an error of each function.
func TestNoDatabase(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := migrations.Up(ctx, pool); !errors.Is(err, context.Canceled) {
		t.Errorf("Up: got %v", err)
	}
	if _, err := migrations.Pending(ctx, pool); !errors.Is(err, context.Canceled) {
		t.Errorf("Pending: got %v", err)
	}
	if err := migrations.Validate(ctx, pool); !errors.Is(err, context.Canceled) {
		t.Errorf("Validate: got %v", err)
	}
}

// goose's table of another project is not taken for ours: Up refuses, unless it is given a table of its own.
func TestForeignTable(t *testing.T) {
	pool := pgtest.Empty(t)
	if _, err := pool.Exec(t.Context(), `
		create table goose_db_version (id int primary key generated by default as identity, version_id bigint not null,
			is_applied boolean not null, tstamp timestamp not null default now());
		insert into goose_db_version (version_id, is_applied) values (0, true), (3, true)`); err != nil {
		t.Fatal(err)
	}
	if _, err := migrations.Up(t.Context(), pool); err == nil || !strings.Contains(err.Error(), "GOOSE_TABLE") {
		t.Fatalf("got %v, want an error that advises GOOSE_TABLE", err)
	}
	t.Setenv("GOOSE_TABLE", "outflow_version")
	up(t, pool, files(t))
	if err := migrations.Validate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
}
