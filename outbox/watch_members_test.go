package outbox

import (
	"strings"
	"testing"
)

const partitioned = `
create table pt (id bigint, r int, v text, primary key (id, r)) partition by list (r);
create table pt0 partition of pt for values in (0);
create table pt1 partition of pt for values in (1, 2) partition by list (r);
create table pt11 partition of pt1 for values in (1);
create table pt12 partition of pt1 for values in (2);
`

// A write to a partitioned table is logged once, by whatever table's name it comes, with old and new keys.
func TestWatchPartitions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(partitioned + `select outbox.watch('pt')`)
	w.steps([]step{
		{"insert by the parent", `insert into pt values (1, 0, 'a'), (2, 1, 'b'), (3, 2, 'c')`, `pt:[1, 0],[2, 1],[3, 2]`},
		{"move by the parent", `update pt set r = 1 where id = 1`, `pt:[1, 0],[1, 1]`},
		{"move by a partition", `update pt1 set r = 2 where id = 1`, `pt:[1, 1],[1, 2]`},
		{"leaf", `update pt11 set v = 'leaf'`, `pt:[2, 1]`},
		{"insert into a leaf", `insert into pt0 values (9, 0, '')`, `pt:[9, 0]`},
		{"delete from a leaf", `delete from pt12 where id = 3`, `pt:[3, 2]`},
		{"truncate a leaf", `truncate pt0`, `pt:*`},
		{"truncate the parent", `truncate pt`, `pt:*`},
	})
}

// The same holds for the form for each row, where a move is a deletion and an insertion.
func TestWatchPartitionsPerRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(partitioned + `select outbox.watch('pt', per_row => true)`)
	w.steps([]step{
		{"insert by the parent", `insert into pt values (1, 0, 'a'), (2, 1, 'b')`, `pt:[1, 0] pt:[2, 1]`},
		{"move by the parent", `update pt set r = 1 where id = 1`, `pt:[1, 0] pt:[1, 1]`},
		{"leaf", `update pt11 set v = 'leaf' where id = 2`, `pt:[2, 1]`},
		{"a new partition, replication role", `create table pt3 partition of pt for values in (3);
			set session_replication_role = replica; insert into pt3 values (1, 3, ''); reset session_replication_role`, `pt:[1, 3]`},
		{"truncate a leaf", `truncate pt3`, `pt:*`},
	})
	w.want("", `select string_agg(problem, '; ') from outbox.check_watches()`)
	w.exec(`select outbox.watch('pt', per_row => false)`)
	w.want("", `select string_agg(problem, '; ') from outbox.check_watches()`)
	w.steps([]step{{"for each statement again", `insert into pt values (5, 0, ''), (6, 1, '')`, `pt:[5, 0],[6, 1]`}})
}

// A child's rows are rows of its parent, and are logged once, by whatever table's name they are written.
func TestWatchInheritance(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"false", "true"} {
		w := newWorld(t)
		w.exec(`create table p (id int primary key, v int); create table c (x int, primary key (id)) inherits (p); select outbox.watch('p', per_row => ` + form + `)`)
		w.steps([]step{
			{"insert into the child", `insert into c values (1, 1, 1)`, "p:1"},
			{"update by the parent", `update p set v = 2`, "p:1"},
			{"update of the child", `update c set x = 3`, "p:1"},
			{"insert into the parent", `insert into p values (2, 1)`, "p:2"},
			{"delete from the child", `delete from c`, "p:1"},
			{"a new child", `create table d () inherits (p); insert into d values (7, 7)`, "p:7"},
			{"no child any more", `alter table d no inherit p; insert into d values (8, 8)`, "p:7"},
		})
	}
}

// DDL that changes content without firing triggers is logged: exactly for partitions that come or go with their rows,
// as all keys otherwise. DDL that leaves content alone is not.
func TestWatchDDL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create schema app;
		create table app.p (id bigint primary key, v text) partition by range (id); create table app.p1 partition of app.p for values from (0) to (10);
		create table app.e (id int primary key, v int); create type mood as enum ('a', 'b');
		select outbox.watch('app.p'), outbox.watch('app.e')`)
	w.steps([]step{
		{"an empty partition", `create table app.p2 partition of app.p for values from (10) to (20)`, ""},
		{"is watched", `insert into app.p2 values (11, 'x'); insert into app.p1 values (1, 'x')`, "p:11 p:1"},
		{"attach", `create table app.p3 (id bigint primary key, v text); insert into app.p3 values (21, 'a'), (22, 'b');
			alter table app.p attach partition app.p3 for values from (20) to (30)`, "p:21,22"},
		{"is watched, too", `update app.p3 set v = 'z' where id = 21`, "p:21"},
		{"detach", `alter table app.p detach partition app.p3`, "p:21,22"},
		{"is watched no more", `insert into app.p3 values (23, 'c')`, ""},
		{"drop of a partition", `drop table app.p2`, "p:*"},
		{"column without content", `alter table app.e add column n int`, ""},
		{"column with a default", `alter table app.e add column d int default 5`, "e:*"},
		{"column with a volatile default", `alter table app.e add column f float default random()`, "e:*"},
		{"using, same type", `alter table app.e alter column v type int using v + 1`, "e:*"},
		{"other type", `alter table app.e alter column v type bigint`, "e:*"},
		{"drop of a column", `alter table app.e drop column f`, "e:*"},
		{"rename of a column", `alter table app.e rename column d to dd`, "e:*"},
		{"rename of the key", `alter table app.e rename column id to ident`, "e:*"},
		{"is watched by its new name", `insert into app.e values (1, 1)`, "e:1"},
		{"rename of the table", `alter table app.e rename to e2; update app.e2 set v = 9`, "e:1"},
		{"a label more", `alter table app.e2 add column m mood; alter type mood add value 'c'`, ""},
		{"another label", `alter type mood rename value 'c' to 'd'`, "e:*"},
		{"what is stored elsewhere", `vacuum full app.e2`, ""},
		{"what is stored in another order", `cluster app.e2 using e_pkey`, ""},
		{"options, constraints, indexes", `alter table app.e2 set (fillfactor = 50); alter table app.e2 add check (v > 0); create index on app.e2 (v)`, ""},
		{"another table", `create table app.x (id int); alter table app.x add column b int default 1; drop table app.x`, ""},
	})
	w.want("select t.ident::pg_catalog.text as key from app.e2 t", `select list from outbox.kinds where kind = 'e'`)
	w.want("", `select string_agg(problem, '; ') from outbox.check_watches()`)
}

// Without event triggers, which need a superuser, check_watches reports what DDL left behind, and watching again
// makes up for it.
func TestWatchWithoutEventTriggers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`drop event trigger outbox_ddl; drop event trigger outbox_drop; drop event trigger outbox_rewrite`)
	const setup = `drop schema if exists app cascade; select outbox.unwatch(rel) from outbox.watches; delete from outbox.kinds;
		create schema app; set search_path = app;
		create table p (id bigint primary key, v text) partition by range (id); create table p1 partition of p for values from (0) to (10);
		create table e (id int primary key, v int); insert into e values (1, 1);
		select outbox.watch('p'), outbox.watch('e'), outbox.watch('p')`
	for _, c := range []struct{ about, sql, problem, want string }{
		{"partition", `create table p2 partition of p for values from (10) to (20)`, "app.p2 is new", "p:*"},
		{"detach", `alter table p detach partition p1`, "app.p1 is gone", "p:*"},
		{"default", `alter table e add column d int default 5`, "column d integer is new", "e:*"},
		{"null", `alter table e add column d int`, "column d integer is new", ""},
		{"type", `alter table e alter column v type bigint`, "column v bigint is new", "e:*"},
		{"key", `alter table e rename column id to ident`, "the primary key is another one", "e:*"},
		{"table", `alter table e rename to e2`, "the table has another name", ""},
		{"trigger dropped", `drop trigger outbox_update on e`, "trigger outbox_update of app.e is missing", "e:*"},
		{"trigger disabled", `alter table e disable trigger outbox_update`, "trigger outbox_update of app.e is disabled", "e:*"},
		{"restored without triggers", `alter table e disable trigger all; alter table e enable trigger all`, "trigger outbox_insert of app.e is not enabled ALWAYS", "e:*"},
		{"function", `create or replace function outbox.watch_e() returns trigger language plpgsql security definer as 'begin return null; end'`, "the function of its triggers is of another version", ""},
		{"key can be null", `alter table e drop constraint e_pkey; alter table e alter column id drop not null; alter table e add unique (id)`, "it has no primary key", "error"},
	} {
		w.exec(setup)
		w.want("", `select string_agg(problem, '; ') from outbox.check_watches()`)
		w.exec(`set search_path = app; ` + c.sql)
		if got := w.text(`select string_agg(problem, '; ') from outbox.check_watches()`); !strings.Contains(got, c.problem) {
			t.Errorf("%s: reported %q, want %q", c.about, got, c.problem)
		}
		advice := w.text(`select min(advice) from outbox.check_watches()`)
		if c.want == "error" {
			w.fails(advice, c.problem)
			continue
		}
		w.steps([]step{{c.about + ", as advised: " + advice, advice, c.want}})
		w.want("", `select string_agg(problem, '; ') from outbox.check_watches()`)
	}
}

// A trigger that somebody disables stays disabled, though event triggers are there; enabling it makes up for what it
// missed.
func TestWatchDisabled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table e (id int primary key, v int); select outbox.watch('e')`)
	w.steps([]step{
		{"disabled", `alter table e disable trigger all; insert into e values (1, 1)`, ""},
		{"other DDL", `alter table e add column d int default 1`, ""},
		{"enabled", `alter table e enable trigger all; insert into e values (2, 1)`, "e:* e:2"},
		{"replication role", `set session_replication_role = replica; insert into e values (3, 1); reset session_replication_role`, "e:3"},
	})
}

// DDL never fails because of a watch: what cannot be followed is left to check_watches.
func TestWatchNeverBreaksDDL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table e (id int primary key, v int); create table p (id int primary key) partition by range (id);
		create table q (id int primary key); select outbox.watch('e'), outbox.watch('p'), outbox.watch('q');
		alter table e drop constraint e_pkey; alter table p attach partition q for values from (0) to (10)`)
	for _, want := range []string{"it has no primary key", "public.q is new", "it is a partition or child of another table"} {
		w.want("true", `select bool_or(position($1 in problem) > 0) from outbox.check_watches()`, want)
	}
	w.fails(`select outbox.watch('p')`, "public.q is watched already, as kind q: unwatch it")
	w.exec(`alter table e add primary key (id); select outbox.unwatch('q'), outbox.watch('p')`)
	w.want("", `select string_agg(problem, '; ') from outbox.check_watches()`)
	w.exec(`drop schema outbox cascade; create table x (id int)`)
}

// A table that was dropped is reported; its successor is watched as the same kind, and logs all keys.
func TestWatchDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table e (id int primary key); select outbox.watch('e'); drop table e`)
	w.want("the table was dropped", `select string_agg(problem, '; ') from outbox.check_watches()`)
	w.steps([]step{{"watched again", `create table e (id int primary key); select outbox.watch('e'); insert into e values (1)`, "e:* e:1"}})
	w.want("", `select string_agg(problem, '; ') from outbox.check_watches()`)
	w.exec(`drop table e`)
	w.exec(w.text(`select advice from outbox.check_watches()`))
	w.want("select outbox.drop_kind('e')", `select advice from outbox.check_watches()`)
	w.exec(`select outbox.drop_kind('e')`)
	w.want("", `select string_agg(problem, '; ') from outbox.check_watches()`)
}

// A partition has the kind and key of its parent, and watching it makes the parent's watch right.
func TestWatchLeaf(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(partitioned)
	w.fails(`select outbox.watch('pt0')`, "public.pt0 is a partition or child of another table: watch that one")
	w.exec(`select outbox.watch('pt', 'part'); drop trigger outbox_insert on pt0`)
	w.steps([]step{{"leaf", `select outbox.watch('pt0'); insert into pt0 values (1, 0, '')`, "part:* part:[1, 0]"}})
	w.fails(`select outbox.watch('pt0', 'other')`, "public.pt0 belongs to public.pt, which is watched as kind part with key (id, r)")
	w.fails(`select outbox.watch('pt11', key_columns => '{id}')`, "belongs to public.pt")
	w.want("1", `select count(*) from outbox.watches`)
}
