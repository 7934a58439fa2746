package outbox

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// poolAs is a pool that connects as a role which w.role made.
func (w world) poolAs(name string) *pgxpool.Pool {
	w.Helper()
	config := w.pool.Config()
	config.ConnConfig.User, config.ConnConfig.Password = name, "secret"
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(w.Context()), config)
	w.ok(err)
	w.Cleanup(pool.Close)
	return pool
}

// refused fails unless the role has no permission for each statement.
func (w world) refused(conn *pgx.Conn, statements ...string) {
	w.Helper()
	for _, sql := range statements {
		_, err := conn.Exec(w.Context(), sql, pgx.QueryExecModeSimpleProtocol)
		if err == nil || !strings.Contains(err.Error(), "permission denied") && !strings.Contains(err.Error(), "must be owner") {
			w.Errorf("%s: got %v, want no permission", sql, err)
		}
	}
}

// A role with outbox.grant_writer writes outbox.records and its own tables, and waits for backends; it can neither
// read nor alter the log, nor what workers and the set-up keep.
func TestGrantedWriter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	w.exec(`create table t (id int primary key); select outbox.watch('t')`)
	name, conn := w.role("writer")
	w.exec(`grant insert on t to ` + name + `; select outbox.grant_writer('` + name + `')`)
	pool := w.poolAs(name)
	var token string
	w.ok(pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) (err error) {
		if _, err := tx.Exec(t.Context(), `insert into t values (1)`); err != nil {
			return err
		}
		if err := Put(t.Context(), tx, Record{Kind: "note", Key: "n", Body: 1}); err != nil {
			return err
		}
		if err := Delete(t.Context(), tx, "note", "n"); err != nil {
			return err
		}
		if err := Changed(t.Context(), tx, "t", "7"); err != nil {
			return err
		}
		token, err = Token(t.Context(), tx)
		return err
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := Wait(ctx, pool, token); err == nil || !strings.Contains(err.Error(), "still behind: b") {
		t.Errorf("waiting for a backend that nobody works: %v", err)
	}
	w.exec(`update outbox.lanes set position = pg_current_snapshot()`)
	w.ok(Wait(t.Context(), pool, token))
	w.refused(conn, `select from outbox.log`, `insert into outbox.log (kind, keys) values ('t', '{1}')`, `delete from outbox.log`,
		`select from outbox.lanes`, `update outbox.backends set paused = 'x', paused_by = 'operator', paused_at = now()`, `truncate outbox.records`,
		`delete from outbox.parked`, `select from river.river_job`, `select outbox.grant_writer('`+name+`')`, `select outbox.grant_worker('`+name+`')`,
		`select outbox.rebase()`, `select setval('outbox.idle', 1)`, `select outbox.is_watched('t', 't', '{}', false)`)
}

// A role with outbox.grant_worker cannot write the user's tables, nor change what runs SQL in its own or others' name.
func TestGrantedWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	w.exec(`create table t (id int primary key); select outbox.watch('t')`)
	name, conn := w.role("worker")
	w.exec(`grant select on t to ` + name + `; select outbox.grant_worker('` + name + `')`)
	w.refused(conn, `insert into t values (1)`, `insert into outbox.records (kind, key) values ('note', '1')`,
		`update outbox.kinds set list = 'select'`, `insert into outbox.dependants values ('t', 't', 'select')`, `delete from outbox.watches`,
		`drop table outbox.log`, `create table outbox.x ()`, `create table river.x ()`, `select outbox.unwatch('t')`, `alter table t disable trigger all`,
		`select outbox.kind('other')`, `delete from river.river_migration`, `delete from goose_db_version`,
		`create trigger x after insert on outbox.log execute function outbox.log_records()`)
}

// A worker finds with its few rights that kinds are declared as they are configured, and is refused to change them.
func TestWorkerFindsItsKinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	kinds := []Kind{
		{Name: "note"},
		{Name: "word", List: "select v as key from t;"},
		{Name: "t", Table: "t"},
		{Name: "u", Table: "u", Key: []string{"b", "a"}, PerRow: true, Dependants: map[string]string{"t": `select unnest($1::text[]); `}},
	}
	w.exec(`create table t (id int primary key, v text); create table u (id int primary key, a int not null, b int not null, unique (a, b))`)
	set := func(pool *pgxpool.Pool, kinds ...Kind) error {
		return pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			for _, k := range kinds {
				if err := Watch(t.Context(), tx, k); err != nil {
					return err
				}
			}
			return nil
		})
	}
	w.ok(set(w.pool, kinds...))
	name, _ := w.role("worker")
	w.exec(`grant select on t, u to ` + name + `; select outbox.grant_worker('` + name + `')`)
	pool := w.poolAs(name)
	w.ok(set(pool, kinds...))
	for _, k := range []Kind{
		{Name: "other"},
		{Name: "note", List: "select v as key from t"},
		{Name: "t", Table: "t", PerRow: true},
		{Name: "u", Table: "u", Key: []string{"b", "a"}, PerRow: true},
		{Name: "u", Table: "u", Key: []string{"b", "a"}, PerRow: true, Dependants: map[string]string{"t": "select $1::text[]"}},
		{Name: "u", Table: "u", Key: []string{"a", "b"}, PerRow: true},
	} {
		if err := set(pool, k); err == nil {
			t.Errorf("a worker set up %+v", k)
		}
	}
	w.exec(`alter table t add column x int`)
	w.exec(`alter table t disable trigger outbox_insert`)
	if err := set(pool, kinds[2]); err == nil {
		t.Error("a worker took a watch with a disabled trigger for right")
	}
}

// A writer that row-level security restricts logs its changes as any other, and a reader from whom rows are hidden
// gets an error, for it would take them for deleted.
func TestRowLevelSecurityLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table t (id int primary key, tenant text default current_user); alter table t enable row level security;
		create policy p on t using (tenant = current_user); select outbox.watch('t'); insert into t values (1, 'other')`)
	name, conn := w.role("tenant")
	w.exec(`grant all on t to ` + name + `; select outbox.grant_worker('` + name + `')`)
	last := w.text(`select coalesce(max(id), 0) from outbox.log`)
	w.ok(as(t, conn, `insert into t values (2); update t set id = 3; delete from t`))
	if got, want := w.since(last), "t:2 t:2,3 t:3"; got != want {
		t.Errorf("logged %q, want %q", got, want)
	}
	count := func() (n int, err error) {
		err = ReadTx(t.Context(), w.poolAs(name), []string{"public.t"}, func(c *pgx.Conn) error {
			return c.QueryRow(t.Context(), `select count(*) from t`).Scan(&n)
		})
		return n, err
	}
	if n, err := count(); err == nil || !strings.Contains(err.Error(), "row-level security") {
		t.Errorf("read %d rows: %v, want an error about row-level security", n, err)
	}
	w.exec(`alter role ` + name + ` bypassrls`)
	if n, err := count(); err != nil || n != 1 {
		t.Errorf("read %d rows: %v, want 1", n, err)
	}
}
