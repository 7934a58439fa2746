package outbox

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// role makes a login role of that name for the test's database, with a schema of its own, and connects as it.
func (w world) role(prefix string) (name string, conn *pgx.Conn) {
	w.Helper()
	name = prefix + "_" + w.pool.Config().ConnConfig.Database
	w.exec(`create role ` + name + ` login password 'secret'; create schema ` + name + ` authorization ` + name)
	w.Cleanup(func() {
		_, err := w.pool.Exec(context.Background(), `drop owned by `+name+` cascade; drop role `+name, pgx.QueryExecModeSimpleProtocol)
		w.ok(err)
	})
	config := w.pool.Config().ConnConfig.Copy()
	config.User, config.Password = name, "secret"
	conn, err := pgx.ConnectConfig(w.Context(), config)
	w.ok(err)
	w.Cleanup(func() { _ = conn.Close(context.Background()) })
	return name, conn
}

// as runs statements on a connection and answers the error.
func as(t *testing.T, conn *pgx.Conn, sql string) error {
	t.Helper()
	_, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
	return err
}

// Who writes a watched table needs rights on that table alone, and may say what changed; the log itself, and all that
// sets Outflow up, is out of its reach.
func TestWriterNeedsNoRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table t (id int primary key, v text); create table r (id int primary key, v text); select outbox.watch('t'), outbox.watch('r', per_row => true)`)
	name, conn := w.role("writer")
	w.exec(`grant insert, update, delete, select, truncate on t, r, outbox.records to ` + name)
	last := w.text(`select coalesce(max(id), 0) from outbox.log`)
	w.ok(as(t, conn, `insert into t values (1, 'x'); update t set v = 'y'; delete from t; truncate t; insert into r values (1, 'x'); truncate r;
		insert into outbox.records (kind, key) values ('note', 'n'); update outbox.records set body = '1'; delete from outbox.records; truncate outbox.records;
		select outbox.changed('t', '{7}'), outbox.changed_all('r'), outbox.token()`))
	if got, want := w.since(last), "t:1 t:1 t:1 t:* r:1 r:* note:n note:n note:n note:* t:7 r:*"; !strings.Contains(want, got) {
		t.Errorf("logged %q, want %q", got, want)
	}
	w.ok(as(t, conn, `create table `+name+`.mine (id int primary key); set search_path = `+name+`, public`))
	for _, sql := range []string{
		`select from outbox.log`, `insert into outbox.log (kind, keys) values ('t', '{1}')`, `insert into outbox.log (tx, kind, keys) values ('5', 't', '{1}')`,
		`delete from outbox.watches`, `insert into outbox.kinds values ('x', 'select')`,
		`select outbox.watch('t')`, `select outbox.unwatch('t')`, `select outbox.kind('x')`, `select outbox.drop_kind('t')`,
		`select outbox.depend('t', 'r', 'select $1')`, `select outbox.undepend('t', 'r')`, `select outbox.add_backend('b', 'x')`, `select outbox.rebase()`,
		`select outbox.wake()`, `select outbox.log_all('t')`, `select outbox.refresh_watch('t', true)`, `select setval('outbox.idle', 1)`,
		`create trigger x after insert on mine for each row execute function outbox.watch_r()`,
		`create trigger x after insert on mine for each row execute function outbox.log_records()`,
	} {
		if err := as(t, conn, sql); err == nil || !strings.Contains(err.Error(), "permission denied") && !strings.Contains(err.Error(), "must be") {
			t.Errorf("%s: got %v, want no permission", sql, err)
		}
	}
}

// Nobody but the owner of a table watches it, and nobody but who belongs to the owner of the log.
func TestWatchNeedsTheOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	name, conn := w.role("owner")
	other, _ := w.role("other")
	w.exec(`grant create on schema public to ` + name + `;
		grant insert, select, update, delete on outbox.watches, outbox.kinds, outbox.dependants, outbox.log to ` + name + `;
		grant execute on all functions in schema outbox to ` + name + `; create table ` + other + `.t (id int primary key)`)
	w.exec(`alter table ` + other + `.t owner to ` + other + `; grant usage on schema ` + other + ` to ` + name)
	if err := as(t, conn, `select outbox.watch('`+other+`.t')`); err == nil || !strings.Contains(err.Error(), "its owner is "+other+", not "+name) {
		t.Errorf("got %v, want an error that names owner and role", err)
	}
	if err := as(t, conn, `create table mine (id int primary key); select outbox.watch('mine')`); err == nil || !strings.Contains(err.Error(), "permission denied for schema outbox") {
		t.Errorf("got %v, want no permission", err)
	}
}

// Migrations, watching and writing need no superuser: event triggers are then left out, with a notice.
func TestWithoutSuperuser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	name, _ := w.role("plain")
	w.exec(`drop schema outbox cascade; grant create on database ` + w.pool.Config().ConnConfig.Database + ` to ` + name)
	config := w.pool.Config().ConnConfig.Copy()
	config.User, config.Password = name, "secret"
	var notices []string
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notices = append(notices, n.Message) }
	conn, err := pgx.ConnectConfig(t.Context(), config)
	w.ok(err)
	defer conn.Close(t.Context())
	for _, file := range outboxMigrations(t) {
		w.ok(as(t, conn, file))
	}
	if got := strings.Join(notices, " "); !strings.Contains(got, "event triggers need a superuser") {
		t.Errorf("notices: %q", got)
	}
	w.want("0", `select count(*) from pg_event_trigger`)
	w.ok(as(t, conn, `create schema app; create table app.t (id int primary key); select outbox.watch('app.t')`))
	w.want(name, `select pg_get_userbyid(proowner) from pg_proc where proname = 'watch_t'`)
	w.steps([]step{{"by another role", `insert into app.t values (1)`, "t:1"}})
	w.ok(as(t, conn, `alter table app.t add column v int default 1`))
	w.want("column v integer is new", `select problem from outbox.check_watches()`)
}

// A superuser who watches somebody's table does not lend that table's writers a superuser's rights.
func TestFunctionBelongsToTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	name, conn := w.role("log")
	w.exec(`alter table outbox.log owner to ` + name + `; grant usage, create on schema outbox to ` + name + `;
		create table t (id int primary key); select outbox.watch('t')`)
	w.want(name, `select pg_get_userbyid(proowner) from pg_proc where proname = 'watch_t'`)
	w.exec(`alter table outbox.log owner to postgres`)
	w.ok(as(t, conn, `select 1`))
}

// Where row-level security hides rows from who reads, check_watches tells that reader.
func TestRowLevelSecurityIsReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table t (id int primary key, tenant text); insert into t values (1, 'a'); alter table t enable row level security;
		create policy p on t using (tenant = current_setting('app.tenant', true)); select outbox.watch('t')`)
	w.want("", `select string_agg(problem, '; ') from outbox.check_watches()`)
	name, conn := w.role("reader")
	w.exec(`grant select on t to ` + name)
	if got, want := text(t, conn, `select string_agg(problem || ': ' || advice, '; ') from outbox.check_watches()`),
		"row-level security hides rows of t from "+name+": alter role "+name+" bypassrls"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	w.exec(`alter role ` + name + ` bypassrls`)
	if got := text(t, conn, `select string_agg(problem, '; ') from outbox.check_watches()`); got != "" {
		t.Errorf("got %q, want nothing", got)
	}
}
