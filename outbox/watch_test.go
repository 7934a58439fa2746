package outbox

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// step is statements, each in a transaction of its own unless they say otherwise, and what they put into the log.
type step struct{ about, sql, want string }

// logged runs statements and answers what they put into the log: kind:keys, or kind:* for all keys, by row.
func (w world) logged(sql string) string {
	w.Helper()
	last := w.text(`select coalesce(max(id), 0) from outbox.log`)
	w.exec(sql)
	return w.since(last)
}

func (w world) since(last string) string {
	w.Helper()
	return w.text(`
		select string_agg(kind || ':' || case when headers @> '{"all":true}' then '*'
		         when cardinality(keys) > 8 then cardinality(keys) || ' keys'
		         else (select string_agg(k, ',' order by k collate "C") from unnest(keys) k) end, ' ' order by id)
		  from outbox.log where id > $1::text::bigint`, last)
}

// steps runs steps one after the other.
func (w world) steps(steps []step) {
	w.Helper()
	for _, s := range steps {
		if got := w.logged(s.sql); got != s.want {
			w.Errorf("%s: logged %q, want %q", s.about, got, s.want)
		}
	}
}

// version is the server's, such as 15.
func (w world) version() int {
	w.Helper()
	var n int
	w.ok(w.pool.QueryRow(w.Context(), `select current_setting('server_version_num')::int / 10000`).Scan(&n))
	return n
}

// fails runs statements that must fail with a message that has the text, and answers the message.
func (w world) fails(sql, text string) {
	w.Helper()
	_, err := w.pool.Exec(w.Context(), sql, pgx.QueryExecModeSimpleProtocol)
	if err == nil || !strings.Contains(err.Error(), text) {
		w.Errorf("%s: got %v, want an error with %q", sql, err, text)
	}
}

// Every form of writing is logged once, with the keys whose content it changed, and nothing else is.
func TestWatchStatements(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table t (id bigint primary key, a int, b text); select outbox.watch('t')`)
	w.steps([]step{
		{"insert", `insert into t select g, 1, 'x' from generate_series(1, 3) g`, "t:1,2,3"},
		{"insert of no rows", `insert into t select g, 1, 'x' from generate_series(1, 0) g`, ""},
		{"upsert: one the same, one changed, two new", `insert into t values (1, 9, 'x'), (2, 1, 'x'), (4, 1, 'x'), (5, 1, 'x')
			on conflict (id) do update set a = excluded.a, b = excluded.b`, "t:1 t:4,5"},
		{"on conflict do nothing", `insert into t values (1, 0, '') on conflict do nothing`, ""},
		{"update to the same content", `update t set a = a`, ""},
		{"update of no rows", `update t set a = 0 where id = 99`, ""},
		{"update of the key", `update t set id = 6 where id = 5`, "t:5,6"},
		{"keys that change places", `begin; update t set id = -id where id in (1, 2); update t set id = case id when -1 then 2 else 1 end where id in (-1, -2); commit`, "t:-1,-2,1,2 t:-1,-2,1,2"},
		{"delete", `delete from t where id in (6, 99)`, "t:6"},
		{"delete of no rows", `delete from t where id = 99`, ""},
		{"two updates in one statement", `with x as (update t set a = 100 where id = 1 returning id) update t set a = 101 where id = 2`, "t:1,2"},
		{"a key that is deleted and inserted", `with x as (delete from t where id = 4 returning *) insert into t select 7, a, b from x`, "t:4 t:7"},
		{"rolled back", `begin; insert into t values (50, 1, ''); rollback`, ""},
		{"savepoint rolled back", `begin; insert into t values (50, 1, ''); savepoint s; insert into t values (51, 1, ''); rollback to s; commit`, "t:50"},
		{"exception block", `do $$ begin insert into t values (52, 1, ''); begin insert into t values (53, 1, ''); raise 'no'; exception when others then null; end; end $$`, "t:52"},
		{"replication role", `set session_replication_role = replica; insert into t values (60, 1, ''); reset session_replication_role`, "t:60"},
		{"truncate", `truncate t`, "t:*"},
		{"truncate twice in a transaction", `begin; truncate t; insert into t values (1, 1, ''); truncate t; commit`, "t:* t:1"},
	})
}

// COPY is logged as INSERT is, and rows of the log have at most 500 keys.
func TestWatchManyRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table t (id bigint primary key, a int); select outbox.watch('t')`)
	_, err := w.pool.CopyFrom(t.Context(), pgx.Identifier{"t"}, []string{"id", "a"},
		pgx.CopyFromSlice(1200, func(i int) ([]any, error) { return []any{i, 0}, nil }))
	w.ok(err)
	const distinct = `(select count(distinct k) from outbox.log, unnest(keys) k)`
	w.want("500 500 200 of 1200", `select string_agg(cardinality(keys)::text, ' ' order by cardinality(keys) desc) || ' of ' || `+distinct+` from outbox.log`)
	for _, s := range []step{
		{"update of 1200", `update t set a = 1`, "500 500 200 of 1200"},
		{"update of 1200 to the same", `update t set a = 1`, ""},
		{"update of 500 of 1200", `update t set a = case when id < 500 then 2 else a end`, "500 of 500"},
		{"501 of 1200", `update t set a = case when id <= 500 then 3 else a end`, "500 1 of 501"},
		{"250 keys that move", `update t set id = -id where id between 1 and 250`, "500 of 500"},
		{"251 keys that move", `update t set id = id + 10000 where id between 300 and 550`, "500 2 of 502"},
		{"delete of 501", `delete from t where id in (select id from t order by id limit 501)`, "500 1 of 501"},
		{"insert of 500", `insert into t select g, 0 from generate_series(100001, 100500) g`, "500 of 500"},
		{"insert of 501", `insert into t select g, 0 from generate_series(200001, 200501) g`, "500 1 of 501"},
	} {
		w.exec(`truncate outbox.log; ` + s.sql)
		w.want(s.want, `select string_agg(cardinality(keys)::text, ' ' order by cardinality(keys) desc) || ' of ' || `+distinct+` from outbox.log`)
	}
}

// MERGE is logged once for each of its actions that was used.
func TestWatchMerge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if w.version() < 15 {
		t.Skip("MERGE came with PostgreSQL 15")
	}
	w.exec(`create table t (id int primary key, a int); insert into t values (1, 1), (3, 1); select outbox.watch('t')`)
	got := strings.Fields(w.logged(`merge into t using (values (1, 5), (3, 5), (77, 5)) s (id, a) on t.id = s.id
		when matched and s.id = 3 then delete when matched then update set a = s.a when not matched then insert values (s.id, s.a)`))
	if diff := cmp.Diff(map[string]bool{"t:1": true, "t:3": true, "t:77": true}, set(got)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func set(list []string) map[string]bool {
	m := map[string]bool{}
	for _, s := range list {
		m[s] = true
	}
	return m
}

// What foreign keys do to other tables is logged with these.
func TestWatchCascades(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`
		create table parent (id int primary key);
		create table child (id int primary key, parent_id int references parent on delete cascade on update cascade);
		create table loose (id int primary key, parent_id int references parent on delete set null);
		insert into parent select generate_series(1, 10);
		insert into child select g, 1 + g % 10 from generate_series(1, 20) g;
		insert into loose values (1, 1), (2, 2);
		select outbox.watch('parent'), outbox.watch('child'), outbox.watch('loose')`)
	w.steps([]step{
		{"delete one", `delete from parent where id = 10`, "parent:10 child:19,9"},
		{"delete two in one statement", `delete from parent where id in (8, 9)`, "parent:8,9 child:17,18,7,8"},
		{"set null", `delete from parent where id = 1`, "parent:1 child:10,20 loose:1"},
		{"on update", `update parent set id = 70 where id = 7`, "parent:7,70 child:16,6"},
		{"truncate cascade", `truncate parent cascade`, "parent:* child:* loose:*"},
	})
}

// Writes through views end in tables.
func TestWatchViews(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`
		create table t (id int primary key, a int); insert into t values (1, 1); select outbox.watch('t');
		create view plain as select * from t where a > 0;
		create view other as select id, a from t;
		create function other_insert() returns trigger language plpgsql as 'begin insert into t values (new.id, new.a); return new; end';
		create trigger i instead of insert on other for each row execute function other_insert()`)
	w.steps([]step{
		{"updatable view", `update plain set a = 7 where id = 1`, "t:1"},
		{"instead of", `insert into other values (5, 1)`, "t:5"},
	})
}

// Types that cannot be compared, or are equal without being the same, are compared as they are stored.
func TestWatchImages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table t (id int primary key, j json, n numeric, x xml, p point, s text collate "C"); select outbox.watch('t');
		create table r (id int primary key, j json, n numeric, x xml, p point); select outbox.watch('r', per_row => true)`)
	for _, table := range []string{"t", "r"} {
		w.steps([]step{
			{"insert", `insert into ` + table + ` values (1, '{"a":1}', 1.0, '<a/>', '(1,2)')`, table + ":1"},
			{"the same", `update ` + table + ` set j = '{"a":1}', x = '<a/>', p = '(1,2)'`, ""},
			{"json", `update ` + table + ` set j = '{"a": 1}'`, table + ":1"},
			{"numeric", `update ` + table + ` set n = 1.00`, table + ":1"},
			{"null", `update ` + table + ` set x = null`, table + ":1"},
		})
	}
}

// A prepared transaction's changes appear when it commits. That works while nobody has to be notified.
func TestWatchPrepared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table t (id int primary key); select outbox.watch('t'); create table r (id int primary key); select outbox.watch('r', per_row => true)`)
	w.exec(`begin; insert into t values (1); insert into r values (1); insert into outbox.records (kind, key) values ('k', '1'); prepare transaction 'one'`)
	w.want("0", `select count(*) from outbox.log`)
	w.exec(`commit prepared 'one'`)
	w.want("t:1 r:1 k:1", `select string_agg(kind || ':' || keys[1], ' ' order by id) from outbox.log`)
}

// The form for each row logs what the form for each statement does, a row of the log for each row.
func TestWatchPerRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table t (id int primary key, a int); select outbox.watch('t', per_row => true);
		create table c (a int, b text, v int, primary key (a, b)); select outbox.watch('c', per_row => true)`)
	w.steps([]step{
		{"insert", `insert into t values (1, 1), (2, 1)`, "t:1 t:2"},
		{"the same", `update t set a = 1`, ""},
		{"update", `update t set a = 2 where id = 1`, "t:1"},
		{"key", `update t set id = 3 where id = 1`, "t:1,3"},
		{"upsert", `insert into t values (3, 2), (2, 5) on conflict (id) do update set a = excluded.a`, "t:2"},
		{"delete", `delete from t where id = 2`, "t:2"},
		{"truncate", `truncate t`, "t:*"},
		{"several columns", `insert into c values (1, 'x', 1); update c set b = 'y'; delete from c`, `c:[1, "x"] c:[1, "x"],[1, "y"] c:[1, "y"]`},
	})
}
