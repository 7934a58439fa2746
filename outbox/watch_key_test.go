package outbox

import (
	"strings"
	"testing"
)

// A key's text is the same whatever the settings of who writes.
func TestKeyTextDependsOnNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`
		create domain code as varchar(5); create domain short as code check (value <> 'no');
		create table k (i2 int2, i4 int4, i8 int8, o oid, b bool, u uuid, n numeric, nn numeric(5, 2), t text, v varchar(10), c char(5), m name, d short,
			primary key (i2, i4, i8, o, b, u, n, nn, t, v, c, m, d));
		select outbox.watch('k')`)
	const value = `insert into k values (1, 2, 3, 4, true, '0A0B0C0D-0000-0000-0000-000000000001', 1.50, 1.5, 'ä"', 'v', 'c', 'm', 'd')`
	const want = `k:[1, 2, 3, "4", true, "0a0b0c0d-0000-0000-0000-000000000001", 1.50, 1.50, "ä\"", "v", "c    ", "m", "d"]`
	w.steps([]step{
		{"default", value + `; delete from k`, want + " " + want},
		{"other settings", `set datestyle = german; set timezone = 'Asia/Tokyo'; set bytea_output = escape; set extra_float_digits = -10; set intervalstyle = iso_8601;
			set lc_numeric = 'C'; set standard_conforming_strings = on; set quote_all_identifiers = on; set array_nulls = off; ` + value + `; delete from k; reset all`, want + " " + want},
	})
	w.exec(value)
	w.want(strings.TrimPrefix(want, "k:"), `select jsonb_build_array(i2, i4, i8, o, b, u, n, nn, t, v, c, m, d)::text from k`)
	w.exec(`create function keys() returns setof text language plpgsql as $$ begin return query execute (select list from outbox.kinds where kind = 'k'); end $$`)
	w.want(strings.TrimPrefix(want, "k:"), `select keys()`)
}

// Each type that may be a key alone is one, as its text.
func TestSingleKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create extension citext`)
	for typ, c := range map[string]struct{ value, key string }{
		"smallint": {"7", "7"}, "int": {"-7", "-7"}, "bigint": {"7", "7"}, "oid": {"7", "7"}, "boolean": {"true", "true"},
		"uuid": {"'0A0B0C0D-0000-0000-0000-000000000001'", "0a0b0c0d-0000-0000-0000-000000000001"}, "numeric": {"1.00", "1.00"},
		"text": {"'Bob ä'", "Bob ä"}, "varchar(9)": {"'v '", "v "}, "char(9)": {"'c'", "c"}, "name": {"'n'", "n"}, "citext": {"'Bob'", "Bob"},
	} {
		for _, form := range []string{"false", "true"} {
			w.exec(`drop table if exists s; create table s (k ` + typ + ` primary key, v int); select outbox.watch('s', per_row => ` + form + `)`)
			w.steps([]step{{
				typ + ", per_row " + form,
				`insert into s values (` + c.value + `, 1); update s set v = 2; delete from s`, "s:" + c.key + " s:" + c.key + " s:" + c.key,
			}})
			w.exec(`select outbox.unwatch('s')`)
		}
	}
}

// A key that is equal to the old one but has another text is another key.
func TestKeysThatAreEqual(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if w.text(`select exists (select from pg_collation where collprovider = 'i')`) == "false" {
		t.Skip("this PostgreSQL has no ICU")
	}
	w.exec(`
		create extension citext;
		create collation blind (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
		create table n (k numeric primary key); create table c (k citext primary key); create table b (k text collate blind primary key);
		create table nc (a int, k numeric, primary key (a, k));
		select outbox.watch(x::regclass) from unnest('{n,c,b,nc}'::text[]) x;
		insert into n values (1.0); insert into c values ('Bob'); insert into b values ('Bob'); insert into nc values (1, 1.0)`)
	w.steps([]step{
		{"numeric", `update n set k = 1.00`, "n:1.0,1.00"},
		{"citext", `update c set k = 'bob'`, "c:Bob,bob"},
		{"collation", `update b set k = 'bob'`, "b:Bob,bob"},
		{"several columns", `update nc set k = 1.00`, "nc:[1, 1.00],[1, 1.0]"},
	})
}

// Both keys of a row that moves are logged, though the text of a composite key is never null.
func TestCompositeKeysMove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table c (a int, b text, primary key (a, b)); select outbox.watch('c'); insert into c values (1, 'x'), (2, 'x')`)
	w.steps([]step{
		{"one", `update c set a = 7 where a = 1`, `c:[1, "x"],[7, "x"]`},
		{"all", `update c set a = a + 1, b = 'y'`, `c:[2, "x"],[3, "y"],[7, "x"],[8, "y"]`},
	})
}

// Columns may have the names that the generated function uses itself, or that have to be quoted.
func TestColumnNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, name := range []string{"n", "o", "s", "q", "p", "key", "keys", "part", "old", "new", "kind", "outbox_old", "outbox_new", "logged", "tg_op", "found", `"A b"`, `"it's ""x"""`, "select_", "pg_catalog"} {
		for _, form := range []string{"false", "true"} {
			w.exec(`drop table if exists odd; create table odd (id int, ` + name + ` int, v int, primary key (id, ` + name + `)); select outbox.watch('odd', per_row => ` + form + `)`)
			if got, want := w.logged(`insert into odd values (1, 2, 3); update odd set v = 4; update odd set `+name+` = 5; delete from odd`),
				"odd:[1, 2] odd:[1, 2] odd:[1, 2],[1, 5] odd:[1, 5]"; got != want {
				t.Errorf("%d, column %s, per_row %s: logged %q, want %q", i, name, form, got, want)
			}
			w.exec(`select outbox.unwatch('odd')`)
		}
	}
	w.exec(`create schema "Odd One"; create table "Odd One"."t'a" ("I d" int primary key); select outbox.watch('"Odd One"."t''a"', 'odd_table')`)
	w.steps([]step{{"odd names", `insert into "Odd One"."t'a" values (1); drop table "Odd One"."t'a"`, "odd_table:1"}})
}

// Names of kinds may be as long as 63; two that begin alike do not get in each other's way.
func TestLongKinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := strings.Repeat("k", 62)+"a", strings.Repeat("k", 62)+"b"
	w.exec(`create table a (id int primary key); create table b (id int primary key); select outbox.watch('a', '` + a + `'), outbox.watch('b', '` + b + `')`)
	w.steps([]step{
		{"first", `insert into a values (1)`, a + ":1"},
		{"second", `insert into b values (1)`, b + ":1"},
		{"one is enough", `select outbox.unwatch('a'); insert into a values (2); insert into b values (2)`, b + ":2"},
	})
}

// A key that is empty or longer than 2000 bytes fails the write, and nothing is written. Where it cannot be, it is
// not looked for.
func TestKeyBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`
		create table s (k text primary key); create table r (k text primary key); create table c (a text, b text, primary key (a, b));
		create table bounded (a varchar(100), b int, primary key (a, b)); create table late (k text primary key); insert into late values (repeat('x', 2001));
		select outbox.watch('s'), outbox.watch('r', per_row => true), outbox.watch('c'), outbox.watch('bounded')`)
	for _, table := range []string{"s", "r"} {
		w.fails(`insert into `+table+` values ('fine'), ('')`, "a key of kind "+table+" is empty")
		w.fails(`insert into `+table+` values ('fine'), (repeat('x', 2001))`, "a key of kind "+table+" has 2001 bytes, at most 2000 are allowed")
		w.fails(`insert into `+table+` values ('fine'), (repeat('ä', 1001))`, "has 2002 bytes")
		w.steps([]step{{"the longest", `insert into ` + table + ` values (repeat('x', 2000)); delete from ` + table, strings.TrimSpace(strings.Repeat(table+":"+strings.Repeat("x", 2000)+" ", 2))}})
		w.exec(`insert into ` + table + ` values ('fine')`)
		w.fails(`update `+table+` set k = ''`, "is empty")
		w.want("1", `select count(*) from `+table)
	}
	w.fails(`insert into c values (repeat('x', 1000), repeat('x', 1000))`, "a key of kind c has 2008 bytes")
	w.exec(`insert into c values ('', '')`)
	w.want("false", `select prosrc like '%refuse_key%' from pg_proc where proname = 'watch_bounded'`)
	w.want("true", `select prosrc like '%refuse_key%' from pg_proc where proname = 'watch_c'`)
	w.fails(`select outbox.watch('late')`, "a key of kind late has 2001 bytes")
	w.want("0", `select count(*) from outbox.watches where kind = 'late'`)
}
