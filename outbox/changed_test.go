package outbox

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Keys that are said to have changed are logged, each once, at most 500 in a row.
func TestChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.in(func(tx pgx.Tx) error {
		return errors.Join(Watch(t.Context(), tx, Kind{Name: "doc"}), Changed(t.Context(), tx, "doc", "b", "a", "b"), Changed(t.Context(), tx, "doc"), ChangedAll(t.Context(), tx, "doc"))
	})
	if got, want := w.since("0"), "doc:a,b doc:*"; got != want {
		t.Errorf("logged %q, want %q", got, want)
	}
	w.exec(`truncate outbox.log`)
	keys := make([]string, 12_345)
	for i := range keys {
		keys[i] = fmt.Sprint(i)
	}
	w.in(func(tx pgx.Tx) error { return Changed(t.Context(), tx, "doc", keys...) })
	w.want("12345 500", `select sum(cardinality(keys)) || ' ' || max(cardinality(keys)) from outbox.log`)
	for _, c := range []struct{ kind, key, want string }{
		{"Doc", "x", `kind: "Doc" is no name of a kind`}, {"", "x", "kind: it is empty"}, {"doc", "", "keys[0]: it is empty"}, {"doc", "\xff", "keys[0]: "},
	} {
		for name, err := range map[string]error{"Changed": Changed(t.Context(), nil, c.kind, c.key), "Delete": Delete(t.Context(), nil, c.kind, c.key)} {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s(%q, %q): got %v, want %q", name, c.kind, c.key, err, c.want)
			}
		}
	}
	if err := ChangedAll(t.Context(), nil, "Doc"); err == nil {
		t.Error("ChangedAll takes any kind")
	}
}

// In SQL, outbox.changed answers how many keys it logged, passes headers on, and refuses what is not a key.
func TestChangedInSQL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`select outbox.kind('doc', 'select ''x''::text as key')`)
	w.want("2", `select outbox.changed('doc', '{x,y,x}', '{"trace": 7}')`)
	w.want(`{"trace": 7}`, `select headers from outbox.log`)
	w.want("0", `select outbox.changed('doc', '{}')`)
	for call, want := range map[string]string{
		`'nope', '{x}'`: "unknown kind 'nope'", `null, '{x}'`: "unknown kind null", `'doc', null`: "keys is null", `'doc', '{x,null}'`: "a key of kind doc is null",
		`'doc', '{x,""}'`: "a key of kind doc is empty", `'doc', array[repeat('x', 2001)]`: "has 2001 bytes, at most 2000", `'doc', '{x}', '{"all": true}'`: `without the field "all"`,
		`'doc', '{x}', '[]'`: "headers must be an object",
	} {
		w.fails(`select outbox.changed(`+call+`)`, want)
	}
	w.fails(`select outbox.changed_all('nope')`, "unknown kind 'nope'")
	w.fails(`select outbox.changed_all(null)`, "unknown kind null")
	w.want("1", `select count(*) from outbox.log`)
}

// outbox.records is written in plain SQL as well; each kind's rows of the log are its own.
func TestRecordsInSQL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.steps([]step{
		{"insert", `insert into outbox.records (kind, key) values ('doc', 'a')`, "doc:a"},
		{"unchanged", `update outbox.records set body = body`, ""},
		{"update", `update outbox.records set embedding = '{1}'`, "doc:a"},
		{"key", `update outbox.records set key = 'b'`, "doc:a,b"},
		{"upsert", `insert into outbox.records (kind, key) values ('doc', 'b') on conflict (kind, key) do update set body = '1'`, "doc:b"},
		{"delete", `delete from outbox.records`, "doc:b"},
		{"replication role", `set session_replication_role = replica; insert into outbox.records (kind, key) values ('doc', 'r'); reset session_replication_role`, "doc:r"},
		{"truncate", `truncate outbox.records`, "doc:*"},
	})
	w.exec(`truncate outbox.log; insert into outbox.records (kind, key) select k, g from unnest('{x,y}'::text[]) k, generate_series(1, 501) g; update outbox.records set kind = 'z' where kind = 'x'`)
	w.want("500", `select max(cardinality(keys)) from outbox.log`)
	w.want("x:1002 y:501 z:501", `select string_agg(kind || ':' || n, ' ' order by kind) from (select kind, sum(cardinality(keys)) as n from outbox.log group by 1) q`)
	for values, want := range map[string]string{
		`('Bad', 'x')`: "'Bad' is no name of a kind", `('doc', '')`: "records_key_has_1_to_2000_bytes", `('doc', repeat('x', 2001))`: "records_key_has_1_to_2000_bytes", `(null, 'x')`: `null value in column "kind"`,
	} {
		w.fails(`insert into outbox.records (kind, key) values `+values, want)
	}
	w.exec(`alter table outbox.records disable trigger outbox_insert`)
	w.want("trigger outbox_insert is not enabled ALWAYS", `select problem from outbox.check_watches()`)
	w.exec(w.text(`select advice from outbox.check_watches()`))
	w.want("", `select string_agg(problem, '; ') from outbox.check_watches()`)
}

// The token is that of the transaction, also in a savepoint, and empty if it wrote nothing.
func TestToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	var token string
	w.in(func(tx pgx.Tx) (err error) {
		if token, err = Token(t.Context(), tx); token != "" || err != nil {
			t.Errorf("got %q, %v before the first write", token, err)
		}
		if err := pgx.BeginFunc(t.Context(), tx, func(sub pgx.Tx) error { return Put(t.Context(), sub, Record{Kind: "doc", Key: "x"}) }); err != nil {
			return err
		}
		token, err = Token(t.Context(), tx)
		return err
	})
	w.want(token, `select tx from outbox.log`)
	w.want("false", `select outbox.reached($1::text::xid8, 'b')`, token)
}

// A kind without a table has its records in outbox.records, or a query that lists its keys.
func TestKinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table t (id int primary key); select outbox.watch('t')`)
	w.in(func(tx pgx.Tx) error {
		return errors.Join(Watch(t.Context(), tx, Kind{Name: "doc"}), Watch(t.Context(), tx, Kind{Name: "listed", List: "select id::text as key from t -- all of it\n;  "}))
	})
	w.want("select id::text as key from t -- all of it|f select r.key from outbox.records r where r.kind = 'doc'|t", `select string_agg(list || '|' || records::text::char, ' ' order by list) from outbox.kinds where kind <> 't'`)
	w.exec(`insert into outbox.records (kind, key) values ('doc', 'x')`)
	for sql, want := range map[string]string{
		`select outbox.kind('q', 'select id as key from t')`:                 "must yield one text column named key",
		`select outbox.kind('q', 'select id::text from t')`:                  "must yield one text column named key",
		`select outbox.kind('q', 'select nope')`:                             `column "nope" does not exist`,
		`select outbox.kind('q', 'delete from t returning id::text as key')`: "must yield one text column named key",
		`select outbox.kind('Q')`:                                            "'Q' is no name of a kind",
		`select outbox.kind('t')`:                                            "kind t is fed by table t",
		`select outbox.kind('doc', 'select ''x''::text as key')`:             "kind doc has records in outbox.records",
		`select outbox.drop_kind('t')`:                                       "kind t is in use by table t",
		`select outbox.drop_kind('doc')`:                                     "kind doc is in use by outbox.records",
	} {
		w.fails(sql, want)
	}
	w.exec(`select outbox.drop_kind('listed'), outbox.drop_kind('listed')`)
	w.addBackend("b", 1)
	w.exec(`truncate outbox.records; insert into outbox.projections values ('b', 'doc', 'x', 'y')`)
	w.fails(`select outbox.drop_kind('doc')`, "kind doc is in use by backend b")
}

// Dependants are declared with a query that PostgreSQL has planned, and never in a circle.
func TestDependants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table a (id int primary key); create table b (id int primary key, a_id int)`)
	const query = `select b.id::text from b where b.a_id = any ($1::int[])`
	watch := func(k Kind) { w.in(func(tx pgx.Tx) error { return Watch(t.Context(), tx, k) }) }
	watch(Kind{Name: "b", Table: "b"})
	watch(Kind{Name: "c"})
	watch(Kind{Name: "a", Table: "a", Dependants: map[string]string{"b": query + ";", "c": `select u from unnest($1) u`}})
	w.want("a-b a-c", `select string_agg(kind || '-' || dependant, ' ' order by kind, dependant) from outbox.dependants`)
	w.want(query, `select query from outbox.dependants where dependant = 'b'`)
	w.exec(`select outbox.depend('b', 'c', 'select u from unnest($1) u')`)
	for sql, want := range map[string]string{
		`select outbox.depend('c', 'a', 'select u from unnest($1) u')`:       "a from c: c would depend on itself",
		`select outbox.depend('a', 'a', 'select u from unnest($1) u')`:       "a would depend on itself",
		`select outbox.depend('x', 'y', 'select u from unnest($1) u')`:       "unknown kind 'x', unknown kind 'y'",
		`select outbox.depend('a', null, 'select u from unnest($1) u')`:      "unknown kind NULL",
		`select outbox.depend('a', 'c', 'select ''x''::text')`:               "the query does not use $1",
		`select outbox.depend('a', 'c', null)`:                               "the query does not use $1",
		`select outbox.depend('a', 'c', 'select 1 from unnest($1)')`:         "UNION types text and integer cannot be matched",
		`select outbox.depend('a', 'c', 'select u, u from unnest($1) u')`:    "same number of columns",
		`select outbox.depend('a', 'c', 'select from nowhere where x = $1')`: `relation "nowhere" does not exist`,
	} {
		w.fails(sql, want)
	}
	w.exec(`drop table b cascade`)
	w.want("true", `select bool_or(position('the query for dependant b fails' in problem) > 0) from outbox.check_watches()`)
	watch(Kind{Name: "a", Table: "a", Dependants: map[string]string{"c": `select u || 'x' from unnest($1) u`}})
	w.want("a-c b-c", `select string_agg(kind || '-' || dependant, ' ' order by kind, dependant) from outbox.dependants`)
	w.exec(`select outbox.undepend('a', 'c')`)
	watch(Kind{Name: "a", Table: "a"})
	w.want("b-c", `select string_agg(kind || '-' || dependant, ' ' order by kind, dependant) from outbox.dependants`)
}

// What is wrong with a kind is said before anything is sent, and what PostgreSQL says of it names the kind.
func TestWatchInGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create schema "My"; create table "My"."T" (a int, b int, primary key (a, b), unique (b)); create view v as select 1`)
	w.in(func(tx pgx.Tx) error {
		return Watch(t.Context(), tx, Kind{Name: "t", Table: `"My"."T"`, Key: []string{"b"}, PerRow: true})
	})
	w.want(`t {b} true`, `select kind || ' ' || key_columns::text || ' ' || per_row from outbox.watches`)
	w.in(func(tx pgx.Tx) error { return Watch(t.Context(), tx, Kind{Name: "t", Table: `"My"."T"`}) })
	w.want(`t {a,b} false`, `select kind || ' ' || key_columns::text || ' ' || per_row from outbox.watches`)
	w.in(func(tx pgx.Tx) error {
		return errors.Join(Unwatch(t.Context(), tx, `"My"."T"`), Unwatch(t.Context(), tx, `"My"."T"`))
	})
	w.want("0", `select count(*) from outbox.watches`)

	err := Watch(t.Context(), nil, Kind{Name: "", PerRow: true, Dependants: map[string]string{"X": "", "a": ""}})
	if want := "watching: kind: it is empty\ntable: it is empty, but a key, PerRow or History is given\ndependants[0].kind: "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if err := Watch(t.Context(), nil, Kind{Name: "t", Table: "t", List: "select"}); err == nil || !strings.Contains(err.Error(), "list: the table has the keys") {
		t.Errorf("got %v", err)
	}
	for table, want := range map[string]string{"v": "watching kind t: ERROR: outbox.watch: public.v cannot be watched: it is a view", "absent": `relation "absent" does not exist`, "a b c": "invalid name syntax"} {
		err := pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) error { return Watch(t.Context(), tx, Kind{Name: "t", Table: table}) })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", table, err, want)
		}
	}
}
