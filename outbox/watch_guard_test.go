package outbox

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/outflow-db/outflow/migrations"
)

// outboxMigrations are the statements of our own migrations that make the schema outbox.
func outboxMigrations(t *testing.T) []string {
	t.Helper()
	names, err := fs.Glob(migrations.FS, "*_outbox_*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("%d migrations: %v", len(names), err)
	}
	var list []string
	for _, name := range names {
		if strings.Contains(name, "_river_") {
			continue
		}
		b, err := fs.ReadFile(migrations.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		up, _, _ := strings.Cut(string(b), "-- +goose Down")
		list = append(list, up)
	}
	return list
}

// without takes a guard out of a function, whose source must have it.
func (w world) without(function, guard, instead string) {
	w.Helper()
	def := w.text(`select pg_get_functiondef($1::text::regproc)`, function)
	if !strings.Contains(def, guard) {
		w.Fatalf("%s has no %q:\n%s", function, guard, def)
	}
	w.exec(strings.ReplaceAll(def, guard, instead))
}

// joins runs statements and answers the plans by which their triggers pair old and new rows.
func (w world) joins(sql string) string {
	w.Helper()
	var b strings.Builder
	config := w.pool.Config().ConnConfig.Copy()
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if strings.Contains(n.Message, "join outbox_new") {
			b.WriteString(n.Message + "\n")
		}
	}
	conn, err := pgx.ConnectConfig(w.Context(), config)
	w.ok(err)
	defer conn.Close(w.Context())
	if _, err := conn.Exec(w.Context(), `load 'auto_explain'`); err != nil {
		w.Skipf("this PostgreSQL shows no plans of triggers: %v", err)
	}
	_, err = conn.Exec(w.Context(), `set client_min_messages = log; set auto_explain.log_min_duration = 0; set auto_explain.log_nested_statements = on; set auto_explain.log_level = log; `+sql,
		pgx.QueryExecModeSimpleProtocol)
	w.ok(err)
	return b.String()
}

// A plan that was made for one row is kept for any number: it must not be a nested loop. With an inner join it is.
func TestPlanOfUpdates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table a (id int primary key, v int); create table b (id text primary key, v int);
		insert into a select g, 0 from generate_series(1, 2000) g; insert into b select g, 0 from generate_series(1, 2000) g; analyze;
		select outbox.watch('a'), outbox.watch('b'); insert into outbox.records (kind, key) select 'k', g from generate_series(1, 2000) g`)
	const update = `update a set v = 1 where id = 7; update b set v = 1 where id = '7'; update outbox.records set body = '1' where key = '7';
		update a set v = 2; update b set v = 2; update outbox.records set body = '2'`
	if got := w.joins(update); strings.Contains(got, "Nested Loop") || strings.Count(got, "Full Join") < 6 {
		t.Errorf("want six full joins and no nested loop:\n%s", got)
	}
	for _, f := range []string{"outbox.watch_a", "outbox.watch_b", "outbox.log_records"} {
		w.without(f, "full join", "join")
	}
	if got := w.joins(strings.ReplaceAll(update, "= 2", "= 3")); !strings.Contains(got, "Nested Loop") {
		t.Errorf("the guard guards nothing: no nested loop without it:\n%s", got)
	}
}

// Each of the rules by which functions are generated is there because something breaks without it.
func TestRulesOfTheGenerator(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ about, setup, guard, instead, sql, want, broken string }{
		{
			"a key that moves is logged with its old text", `create table t (a int, b int, primary key (a, b)); insert into t values (1, 1)`,
			"case when n.a is null then pg_catalog.jsonb_build_array(o.a, o.b)::pg_catalog.text else pg_catalog.jsonb_build_array(n.a, n.b)::pg_catalog.text end",
			"coalesce(pg_catalog.jsonb_build_array(n.a, n.b)::pg_catalog.text, pg_catalog.jsonb_build_array(o.a, o.b)::pg_catalog.text)",
			`update t set a = 2`, "t:[1, 1],[2, 1]", "t:[2, 1],[null, null]",
		}, {
			"rows are compared as images", `create table t (id int primary key, x numeric); insert into t values (1, 1.0)`,
			"o.* operator(pg_catalog.*<>) n.*", "o is distinct from n", `update t set x = 1.00`, "t:1", "",
		}, {
			"keys are compared as text", `create table t (id numeric primary key); insert into t values (1.0)`,
			`o.id::pg_catalog.text operator(pg_catalog.=) n.id::pg_catalog.text collate pg_catalog."C"`, "o.id = n.id", `update t set id = 1.00`, "t:1.0,1.00", "t:1.00",
		}, {
			"rows that did not change are left out", `create table t (id int primary key, v int); insert into t values (1, 1)`,
			"o.* operator(pg_catalog.*<>) n.*", "true", `update t set v = 1`, "", "t:1",
		}, {
			"more than 500 keys take several rows", `create table t (id int primary key)`,
			"operator(pg_catalog./) 500", "operator(pg_catalog./) 5000", `insert into t select generate_series(1, 600)`, "t:500 keys t:100 keys", "t:600 keys",
		},
	} {
		w := newWorld(t)
		w.exec(c.setup + `; select outbox.watch('t')`)
		if got := strings.Join(strings.Fields(w.logged(`begin; `+c.sql+`; commit`)), " "); got != c.want && got != "t:100 keys t:500 keys" {
			t.Errorf("%s: logged %q, want %q", c.about, got, c.want)
		}
		w = newWorld(t)
		w.exec(c.setup + `; select outbox.watch('t')`)
		w.without("outbox.watch_t", c.guard, c.instead)
		if got := w.logged(c.sql); got != c.broken {
			t.Errorf("%s: without the guard logged %q, want %q", c.about, got, c.broken)
		}
	}
}

// Who writes cannot make the function, which runs as the owner of the log, call a function or an operator of theirs.
// It would with names that are not qualified.
func TestSearchPathAttack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table t (id int primary key, v text, k text); create table s (k text primary key, v int); create table r (k text primary key, v int);
		select outbox.watch('t'), outbox.watch('s'), outbox.watch('r', per_row => true)`)
	name, conn := w.role("evil")
	w.exec(`grant insert, update, delete, select, truncate on t, s, r to ` + name + `; grant create on schema ` + name + ` to postgres`)
	w.exec(evil(name))
	attack := func() error {
		return as(t, conn, `set search_path = `+name+`, pg_catalog, public;
			insert into public.t values (1, 'x'); update public.t set v = 'y'; update public.t set id = 2; delete from public.t; truncate public.t;
			insert into public.s select g::pg_catalog.text, 1 from generate_series(1, 600) g; update public.s set v = 2; delete from public.s;
			insert into public.r values ('a', 1); update public.r set k = 'b'; delete from public.r; truncate public.r;
			select outbox.changed('t', '{1,2}'), outbox.changed_all('t'), outbox.token()`)
	}
	w.ok(attack())
	// The function's own search path is one guard, qualified names are the other: each is enough.
	for _, f := range []string{"t", "s", "r"} {
		w.exec(`alter function outbox.watch_` + f + `() reset search_path`)
	}
	w.ok(attack())
	for _, f := range []string{"outbox.watch_t", "outbox.watch_s", "outbox.watch_r"} {
		w.exec(regexp.MustCompile(`operator\(pg_catalog\.([^)]+)\)`).ReplaceAllString(w.text(`select pg_get_functiondef($1::text::regproc)`, f), "$1"))
	}
	if err := attack(); err == nil || !strings.Contains(err.Error(), "evil code runs as postgres") {
		t.Errorf("the guards guard nothing: without them got %v", err)
	}
}

// evil makes functions and operators in the schema that shadow PostgreSQL's and betray who runs them.
func evil(schema string) string {
	var b strings.Builder
	betray := ` language plpgsql as $$ begin raise exception 'evil code runs as %', current_user; end $$; `
	for i, op := range []string{"=", "<>", ">", "<", ">=", "<=", "-", "/", "*<>", "*=", "||"} {
		for _, types := range []string{"int, int", "bigint, int", "bigint, bigint", "text, text", "record, record"} {
			one, two, _ := strings.Cut(types, ", ")
			f := schema + ".f" + string(rune('a'+i))
			b.WriteString("create function " + f + "(" + types + ") returns boolean" + betray)
			b.WriteString("create operator " + schema + "." + op + " (leftarg = " + one + ", rightarg = " + two + ", function = " + f + "); ")
		}
	}
	for _, f := range []string{
		"cardinality(anyarray)", "octet_length(text)", "array_agg(anyelement)", "pg_sequence_last_value(regclass)", "pg_sequence_last_value(text)",
		"row_number()", "jsonb_build_array(variadic \"any\")", "pg_notify(text, text)", "clock_timestamp()", "pg_current_xact_id()", "unnest(anyarray)", "left(text, int)",
	} {
		if !strings.Contains(f, `"any"`) {
			b.WriteString("create function " + schema + "." + f + " returns int" + betray)
		}
	}
	b.WriteString("create domain " + schema + ".text as pg_catalog.int4; grant usage on schema " + schema + " to public;")
	return b.String()
}
