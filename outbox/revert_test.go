package outbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"
)

// did runs statements in a transaction and answers its id.
func (w world) did(statements ...string) uint64 {
	w.Helper()
	var id uint64
	w.ok(pgx.BeginFunc(w.Context(), w.pool, func(tx pgx.Tx) error {
		for _, s := range statements {
			if _, err := tx.Exec(w.Context(), s, pgx.QueryExecModeSimpleProtocol); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return tx.QueryRow(w.Context(), `select pg_current_xact_id()::text::bigint`).Scan(&id)
	}))
	return id
}

// reverts reverts in a transaction of its own.
func (w world) reverts(r Reversal) (done *Reverted, err error) {
	w.Helper()
	err = pgx.BeginFunc(w.Context(), w.pool, func(tx pgx.Tx) error {
		done, err = Revert(w.Context(), tx, r)
		return err
	})
	return done, err
}

func (w world) mustRevert(tx uint64) uint64 {
	w.Helper()
	done, err := w.reverts(Reversal{Transaction: tx})
	w.ok(err)
	by, err := parseXid(done.Transaction)
	w.ok(err)
	return by
}

// contents is all of a table, byte for byte.
func (w world) contents(table string) string {
	w.Helper()
	return w.text(fmt.Sprintf("select coalesce(string_agg(a_row::text, E'\\n' order by a_row::text collate \"C\"), '') from %s a_row", table))
}

const everyType = `
create type mood as enum ('sad', 'it''s "ok"', 'fine, really');
create type pair as (a int, "B c" text);
create domain positive as int check (value > 0);
create table every (
  id int primary key, b bool, i2 int2, i8 int8, o oid, f4 float4, f8 float8, n numeric, n2 numeric(12, 3), m money, c char(5), v varchar(9), t text, y bytea,
  d date, tm time, tz timetz, ts timestamp, tsz timestamptz, iv interval, u uuid, j json, jb jsonb, x xml, ip inet, ci cidr, ma macaddr, bi bit(5), vb varbit,
  po point, pg polygon, ir int4range, tr tstzrange, ar text[], a2 int[][], tv tsvector, tq tsquery, md mood, pa pair, pp pair[], ps positive, rc regclass, lsn pg_lsn,
  g int generated always as (i2 + 1) stored)`

// everyValue are values of each of those types that are easily spoilt.
var everyValue = map[string][]string{
	"b": {"true", "false"}, "i2": {"-32768", "7"}, "i8": {"9223372036854775807"}, "o": {"4294967295"}, "f4": {"'NaN'", "1.1", "3.4028235e38", "-0"},
	"f8": {"0.1::float8 + 0.2", "'-Infinity'", "1e-320", "'-0'"}, "n": {"1.00", "'NaN'", "1e-30", "12345678901234567890.123"}, "n2": {"1.5", "-0.001"},
	"m": {"'12.34'", "'-0.01'"}, "c": {"'a'", "'  b'"}, "v": {"''", "'(,)'"}, "t": {"''", "'\"q\" \\ (x,y) ''s'", "E'\\n\\t ü'", "'null'", "'NULL'"},
	"y": {`'\x00ff5c'`, "''"}, "d": {"'0044-03-15 BC'", "'infinity'", "'2024-02-29'"}, "tm": {"'23:59:59.999999'"}, "tz": {"'12:00:00.5-07:30'"},
	"ts": {"'-infinity'", "'2001-02-03 04:05:06.789'"}, "tsz": {"'2001-02-03 04:05:06.789+05:45'", "'infinity'"}, "iv": {"'1 mon -2 days 03:04:05.000006'", "'-1 year 00:00:01'"},
	"u": {"'00000000-0000-0000-0000-000000000001'"}, "j": {`'{"a" :  1.00, "a": 2 }'`}, "jb": {`'{"a": 1.00, "ü": null}'`}, "x": {"'<a  b=\"c\"/>'", "'text &amp; more'"},
	"ip": {"'10.0.0.1/8'", "'::1'"}, "ci": {"'10.0.0.0/8'"}, "ma": {"'08:00:2b:01:02:03'"}, "bi": {"B'10101'"}, "vb": {"B''", "B'1'"},
	"po": {"'(0.1,2e-7)'"}, "pg": {"'((0,0),(1,0),(0.3,1))'"}, "ir": {"'[1,5)'", "'empty'"}, "tr": {"'[2001-01-01 00:00+05:45,)'"},
	"ar": {`array['a,b', null, 'NULL', '{"', '']`, "'{}'"}, "a2": {"'[0:1][2:3]={{1,2},{3,null}}'"}, "tv": {`'''a b'':1A,2 c'`}, "tq": {"'a & !b:*'"},
	"md": {`'it''s "ok"'`, "'fine, really'"}, "pa": {`row(null, 'x "y", (z)')`, "row(1, '')"}, "pp": {`array[row(1, 'a,b')::pair, null]`}, "ps": {"3"},
	"rc": {"'pg_class'::regclass", "'public.every'::regclass"}, "lsn": {"'16/B374D848'"},
}

// statement draws one that changes some rows of a table with every type.
func statement(t *rapid.T) string {
	id := rapid.IntRange(1, 6).Draw(t, "id")
	column := rapid.SampledFrom(sortedKeys(everyValue)).Draw(t, "column")
	value := rapid.SampledFrom(append([]string{"null"}, everyValue[column]...)).Draw(t, "value")
	switch rapid.IntRange(0, 5).Draw(t, "what") {
	case 0, 1:
		return fmt.Sprintf("insert into every (id, %s) values (%d, %s) on conflict (id) do update set %[1]s = excluded.%[1]s", column, id, value)
	case 2, 3:
		return fmt.Sprintf("update every set %s = %s where id >= %d", column, value, id)
	case 4:
		return fmt.Sprintf("update every set id = id + 10 where id = %d and not exists (select from every where id = %[1]d + 10)", id)
	default:
		return fmt.Sprintf("delete from every where id %% 3 = %d", id%3)
	}
}

func sortedKeys(m map[string][]string) []string {
	var list []string
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

// Transactions of random statements on a table with columns of every type, reverted the latest first, leave the table as
// it was before each of them, byte for byte, whatever the settings of the sessions are that write and that revert.
// Reverting the reversals leads back again. So it is for triggers of both forms.
func TestRevertRestoresEveryType(t *testing.T) {
	t.Parallel()
	for name, perRow := range map[string]bool{"statements": false, "rows": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.exec(everyType)
			w.exec(fmt.Sprintf(`select outbox.watch('every', per_row => %v, history => true)`, perRow))
			odd := w.connect()
			_, err := odd.Exec(t.Context(), `set datestyle = 'German'; set intervalstyle = 'sql_standard'; set timezone = 'Asia/Kathmandu'; set extra_float_digits = -3;
set bytea_output = 'escape'; set lc_monetary = 'C'; set xmloption = document; set search_path = pg_catalog`, pgx.QueryExecModeSimpleProtocol)
			w.ok(err)
			rapid.Check(t, func(t *rapid.T) { w.roundTrip(t, odd) })
		})
	}
}

func (w world) roundTrip(t *rapid.T, odd *pgx.Conn) {
	type done struct {
		tx     uint64
		before string
	}
	var all []done
	w.exec(`delete from every`)
	for range rapid.IntRange(1, 4).Draw(t, "transactions") {
		before := w.contents("every")
		var list []string
		for range rapid.IntRange(1, 4).Draw(t, "statements") {
			list = append(list, statement(t))
		}
		tx := w.did(list...)
		if w.contents("every") != before {
			all = append(all, done{tx, before})
		}
	}
	after := w.contents("every")
	var reversals []uint64
	for _, d := range slices.Backward(all) {
		var text string
		if err := odd.QueryRow(w.Context(), `select outbox.undo(array[$1::xid8], false, false, '{}')::text`, fmt.Sprint(d.tx)).Scan(&text); err != nil {
			t.Fatalf("reverting %d: %v", d.tx, err)
		}
		if !strings.Contains(text, `"done": true`) {
			t.Fatalf("not reverted: %s", text)
		}
		if got := w.contents("every"); got != d.before {
			t.Fatalf("after reverting:\n%s\nbefore:\n%s", got, d.before)
		}
		x, err := parseXid(w.text(`select reverted_by from outbox.transactions where tx = $1::xid8`, fmt.Sprint(d.tx)))
		w.ok(err)
		reversals = append(reversals, x)
	}
	for _, x := range slices.Backward(reversals) {
		w.mustRevert(x)
	}
	if got := w.contents("every"); got != after {
		t.Fatalf("after reverting the reversals:\n%s\nwant:\n%s", got, after)
	}
}

// A row that was changed since, deleted since, or put there again keeps a transaction from being reverted, and so does a
// foreign change between two transactions of a load: nothing is changed then, all such rows are named, and the caller's
// transaction goes on. Forced, it is reverted all the same.
func TestRevertRefusesWhatChangedSince(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table t (id int primary key, v text); select outbox.watch('t', history => true);
insert into t select i, 'old' from generate_series(1, 4) i`)
	tx := w.did(`update t set v = 'new' where id < 3; delete from t where id = 3; insert into t values (5, 'new')`)
	w.exec(`update t set v = 'other' where id = 1; insert into t values (3, 'other'); delete from t where id = 5`)
	before := w.contents("t")
	_, err := w.reverts(Reversal{Transaction: tx})
	e, ok := errors.AsType[*RevertError](err)
	if !ok || e.Conflicts != 3 || fmt.Sprint(e.Samples) != "[{t 1 changed since} {t 3 changed since} {t 5 deleted since}]" {
		t.Fatalf("got %v", err)
	}
	if got := w.contents("t"); got != before {
		t.Errorf("changed to %s", got)
	}
	done, err := w.reverts(Reversal{Transaction: tx, Force: true, Reason: "because"})
	w.ok(err)
	if got := w.contents("t"); got != "(1,old)\n(2,old)\n(3,old)\n(4,old)" || done.Rows() != 3 {
		t.Errorf("forced: %s, %v", got, done)
	}
	w.want("because", `select reason from outbox.events where what = 'reverted'`)
	w.want(fmt.Sprint(tx), `select headers->>'reverts' from outbox.log order by id desc limit 1`)
	if _, err = w.reverts(Reversal{Transaction: tx}); !contains(err, "was reverted already, by transaction "+done.Transaction) {
		t.Errorf("again: %v", err)
	}
}

// All transactions of a load are reverted as one. What others changed between them is not lost.
func TestRevertLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table t (id int primary key, v int); select outbox.watch('t', history => true); insert into t values (1, 0), (2, 0)`)
	load := `select set_config('outbox.headers', '{"load": "L", "by": "me"}', true)`
	w.did(load, `update t set v = 1`)
	w.did(load, `update t set v = 2 where id = 1; insert into t values (3, 2)`)
	done, err := w.reverts(Reversal{Load: "L"})
	w.ok(err)
	if got := w.contents("t"); got != "(1,0)\n(2,0)" || len(done.Transactions) != 2 {
		t.Errorf("got %s, %v", got, done)
	}
	w.want(`{"by": null, "reverts": "L"}`, `select jsonb_build_object('by', headers->'by', 'reverts', headers->'reverts') from outbox.transactions where tx = $1::xid8`, done.Transaction)
	if _, err := w.reverts(Reversal{Load: "L"}); !contains(err, "nothing is left") {
		t.Errorf("again: %v", err)
	}
	w.did(strings.Replace(load, `"L"`, `"M"`, 1), `update t set v = 1`)
	w.did(`update t set v = 7 where id = 1`)
	w.did(strings.Replace(load, `"L"`, `"M"`, 1), `update t set v = 2`)
	if _, err := w.reverts(Reversal{Load: "M"}); !contains(err, "1 rows were changed since: t 1 was changed by others in between") {
		t.Errorf("with a change in between: %v", err)
	}
}

// Tables that refer to each other are restored in an order that their foreign keys allow; rows of others that would go by a
// cascade keep a transaction from being reverted.
func TestRevertForeignKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table parent (id int primary key, up int references parent); create table child (id int primary key, parent int references parent on delete cascade, v text);
create table a_grandchild (id int primary key, child int not null references child);
select outbox.watch('parent', history => true), outbox.watch('child', history => true), outbox.watch('a_grandchild', history => true);
insert into parent values (1, null), (2, 1); insert into child values (1, 1), (2, 2); insert into a_grandchild values (1, 1)`)
	all := func() string {
		return w.contents("parent") + "|" + w.contents("child") + "|" + w.contents("a_grandchild")
	}
	before := all()
	tx := w.did(`delete from a_grandchild; delete from parent; insert into parent values (3, null), (4, 3); insert into child values (3, 4); insert into a_grandchild values (9, 3)`)
	after := all()
	by := w.mustRevert(tx)
	if got := all(); got != before {
		t.Errorf("got %s, want %s", got, before)
	}
	w.mustRevert(by)
	if got := all(); got != after {
		t.Errorf("got %s, want %s", got, after)
	}
	w.exec(`insert into child values (10, 3)`)
	tx = w.did(`select 1`, `update parent set up = 4 where id = 3`)
	w.mustRevert(tx)
	_, err := w.reverts(Reversal{Transaction: by2(w)})
	if !contains(err, "rows of table public.child refer to rows of table parent") {
		t.Errorf("with a foreign child: %v", err)
	}
	w.want("1", `select count(*) from child where id = 10`)
}

// by2 is the transaction that is present after the reversal of a reversal.
func by2(w world) uint64 {
	x, err := parseXid(w.text(`select tx from outbox.transactions where reverted_by is null and headers ? 'reverts' order by at offset 0 limit 1`))
	w.ok(err)
	return x
}

// What cannot be restored as it was is refused, and says why: other columns, a table without history, a transaction that is
// not known or not over, a history that does not cover all that the transaction changed.
func TestRevertSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table t (id int primary key, v text); create table plain (id int primary key);
select outbox.watch('t', history => true), outbox.watch('plain')`)
	refuses := func(tx uint64, why string) {
		t.Helper()
		if _, err := w.reverts(Reversal{Transaction: tx}); !contains(err, why) {
			t.Errorf("got %v, want %s", err, why)
		}
	}
	both := w.did(`insert into t values (1); insert into plain values (1)`)
	refuses(both, "changed records of kind plain, of which no history was kept")
	_, err := w.reverts(Reversal{Transaction: both, Force: true})
	w.ok(err)
	tx := w.did(`insert into t values (2)`)
	refuses(tx+100000, "nothing is kept of transaction")
	w.exec(`alter table t add more int`)
	refuses(tx, "the columns of table public.t are not what they were: more came")
	w.exec(`alter table t drop more`)
	w.mustRevert(tx)
	tx = w.did(`insert into t values (3)`)
	w.exec(`select outbox.watch('t', history => false)`)
	refuses(tx, "table public.t is not watched with history any more")
	w.exec(`truncate t; select outbox.watch('t', history => true)`)
	if _, err := w.pool.Exec(t.Context(), `truncate t`); !contains(err, "keeps the history of its rows") {
		t.Errorf("truncate: %v", err)
	}
}

// Partitions are restored through their root, whatever the order of their columns, and whoever wrote them; a table with
// children that are no partitions cannot have history. Columns that always are identities or generated are no obstacle.
func TestRevertPartitionsAndGeneratedColumns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table p (k int, id int generated always as identity, v text, d int generated always as (k * 2) stored, primary key (k, id)) partition by range (k);
create table p1 (v text, gone int, id int not null, k int not null, d int generated always as (k * 2) stored); alter table p1 drop gone;
alter table p attach partition p1 for values from (0) to (10);
create table p2 partition of p for values from (10) to (20);
select outbox.watch('p', history => true); insert into p (k, v) values (1, 'a'), (11, 'b'), (2, 'c')`)
	before := w.contents("p")
	tx := w.did(`update p set k = k + 10 where k = 1; update p1 set v = 'x'; delete from p2 where v = 'b'; insert into p (k, v) values (3, 'new')`)
	after := w.contents("p")
	by := w.mustRevert(tx)
	if got := w.contents("p"); got != before {
		t.Errorf("got %s, want %s", got, before)
	}
	w.mustRevert(by)
	if got := w.contents("p"); got != after {
		t.Errorf("got %s, want %s", got, after)
	}
	w.exec(`create table base (id int primary key); create table child () inherits (base)`)
	if _, err := w.pool.Exec(t.Context(), `select outbox.watch('base', history => true)`); !contains(err, "is its child, and no partition") {
		t.Errorf("inheritance: %v", err)
	}
}
