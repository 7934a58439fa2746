package outbox

import (
	"strings"
	"testing"
)

// What cannot be watched is an error that says why, and leaves nothing behind.
func TestWatchRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`
		create table t (id int primary key, a int); create view v as select * from t; create materialized view m as select * from t;
		create table nokey (a int); create table times (at timestamptz primary key, f float8 not null unique, b bytea not null unique, d date not null unique);
		create type mood as enum ('a'); create table enums (k mood primary key); create table chars (k "char" primary key, l bpchar not null unique);
		create unlogged table fleeting (id int primary key); create table nulls (id int unique); create table twice (id int not null, b int not null);
		create table partial (id int not null, v int); create unique index on partial (id) where v > 0; create unique index on partial ((id + 1));
		create table "Odd" (id int primary key); create sequence s;
		create extension postgres_fdw; create server far foreign data wrapper postgres_fdw; create foreign table f (id int) server far;
		create table p (id int primary key); create foreign table pf () inherits (p) server far;
		create table taken (id int primary key); select outbox.watch('taken'); insert into outbox.records (kind, key) values ('kept', 'x')`)
	before := w.text(`select count(*) from outbox.log`)
	for _, c := range []struct{ call, want string }{
		{`'v'`, "public.v cannot be watched: it is a view: watch the tables behind it"},
		{`'m'`, "public.m cannot be watched: it is a view"},
		{`'f'`, "public.f cannot be watched: it is a foreign table"},
		{`'s'`, "public.s cannot be watched: it is no table"},
		{`'t_pkey'`, "public.t_pkey cannot be watched: it is no table"},
		{`'fleeting'`, "public.fleeting cannot be watched: it is unlogged: a crash empties it without a trace"},
		{`'pg_class'`, "pg_class cannot be watched: it belongs to the system or to Outflow"},
		{`'outbox.log'`, "outbox.log cannot be watched: it belongs to the system or to Outflow"},
		{`99999999`, "99999999 cannot be watched: there is no such table"},
		{`null`, "cannot be watched: there is no such table"},
		{`'absent'`, `relation "absent" does not exist`},
		{`'nokey'`, "the key of public.nokey: it has no primary key: name key columns"},
		{`'times'`, "column at has type timestamp with time zone, whose text can differ without a write"},
		{`'times', key_columns => '{f}'`, "column f has type double precision"},
		{`'times', key_columns => '{b,d,at,zz}'`, "column b has type bytea, whose text can differ without a write; column d has type date, whose text can differ without a write; column at has type timestamp with time zone, whose text can differ without a write; column zz does not exist"},
		{`'enums'`, "column k has type public.mood, whose text can differ without a write"},
		{`'chars'`, `column k has type "char"`},
		{`'chars', key_columns => '{l}'`, "column l has type bpchar"},
		{`'nulls', key_columns => '{id}'`, "column id can be null"},
		{`'t', key_columns => '{id,nope}'`, "column nope does not exist"},
		{`'t', key_columns => '{ctid}'`, "column ctid does not exist"},
		{`'t', key_columns => '{id,id}'`, "column id is named twice"},
		{`'twice', key_columns => '{id,b}'`, "its columns (id, b) are not unique: a key stands for one record"},
		{`'partial', key_columns => '{id}'`, "its columns (id) are not unique"},
		{`'"Odd"'`, "'Odd' is no name of a kind"},
		{`'t', 'Bad-Kind'`, "'Bad-Kind' is no name of a kind"},
		{`'t', ''`, "'' is no name of a kind"},
		{`'t', '` + strings.Repeat("x", 64) + `'`, "is no name of a kind"},
		{`'t', 'taken'`, "kind taken belongs to table public.taken"},
		{`'t', 'kept'`, "kind kept belongs to outbox.records"},
	} {
		w.fails(`select outbox.watch(`+c.call+`)`, c.want)
	}
	w.fails(`begin; create temp table temporary (id int primary key); select outbox.watch('temporary')`, "it is a temporary table: readers cannot see it")
	w.fails(`select outbox.watch('p')`, "public.pf cannot be watched: it is a foreign table")
	w.want("taken", `select string_agg(kind, ' ') from outbox.watches`)
	w.want("kept taken", `select string_agg(kind, ' ' order by kind) from outbox.kinds`)
	w.want("4", `select count(*) from pg_trigger where tgname like 'outbox%' and tgrelid <> 'outbox.records'::regclass`)
	w.want("1", `select count(*) from pg_proc where proname like 'watch\_%' and prorettype = 'trigger'::regtype`)
	w.want(before, `select count(*) from outbox.log`)
}

// Key columns named in place of the primary key must be unique; a unique index over some of them is enough.
func TestWatchNamedKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table t (id int primary key, code text not null unique, v int not null); select outbox.watch('t', 'thing', '{code}')`)
	w.steps([]step{
		{"by the code", `insert into t values (1, 'a', 1); update t set id = 2; update t set code = 'b'`, "thing:a thing:a thing:a,b"},
		{"again, as it is", `select outbox.watch('t')`, ""},
		{"a column more", `select outbox.watch('t', key_columns => '{code,v}'); insert into t values (3, 'c', 1)`, `thing:* thing:["c", 1]`},
		{"back to the primary key", `select outbox.watch('t', key_columns => '{}'); insert into t values (4, 'd', 1)`, "thing:* thing:4"},
		{"another kind", `select outbox.watch('t', 'item'); insert into t values (5, 'e', 1)`, "item:5"},
		{"a kind that was known", `select outbox.watch('t', 'thing'); insert into t values (6, 'f', 1)`, "thing:* thing:6"},
		{"for each row", `select outbox.watch('t', per_row => true); insert into t values (7, 'g', 1), (8, 'h', 1)`, "thing:7 thing:8"},
		{"unwatched", `select outbox.unwatch('t'), outbox.unwatch('t'); insert into t values (9, 'i', 1)`, ""},
		{"watched anew", `select outbox.watch('t', 'thing'); insert into t values (10, 'j', 1), (11, 'k', 1)`, "thing:* thing:10,11"},
	})
	w.want("1", `select count(*) from pg_proc where proname like 'watch\_%' and prorettype = 'trigger'::regtype`)
}

// Watching again when all is right takes no lock that a writer could notice, nor waits for one.
func TestWatchAgainTakesNoLocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(partitioned + `create table t (id int primary key); select outbox.watch('t'), outbox.watch('pt')`)
	writer := w.begin()
	_, err := writer.conn.Exec(t.Context(), `lock table t, pt in share row exclusive mode`)
	w.ok(err)
	other := w.begin()
	_, err = other.conn.Exec(t.Context(), `set local lock_timeout = '5s'; select outbox.watch('t', 't', '{}', false), outbox.watch('pt'), outbox.watch('pt0')`)
	w.ok(err)
	if got := text(t, other.conn, `select count(*) from pg_locks where pid = pg_backend_pid() and (mode ~ 'Exclusive' and relation in ('t'::regclass, 'pt'::regclass) or locktype = 'transactionid')`); got != "0" {
		t.Errorf("%s locks are held", got)
	}
}

// Two who watch the same table at the same time both succeed.
func TestWatchTwiceAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table t (id int primary key)`)
	first := w.begin()
	_, err := first.conn.Exec(t.Context(), `select outbox.watch('t')`)
	w.ok(err)
	done := make(chan error)
	go func() {
		_, err := w.pool.Exec(t.Context(), `select outbox.watch('t')`)
		done <- err
	}()
	w.blocked()
	first.commit()
	w.ok(<-done)
	w.steps([]step{{"once", `insert into t values (1)`, "t:1"}})
}
