package projection_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/internal/projection"
)

func exec(tb testing.TB, pool *pgxpool.Pool, sql string) {
	tb.Helper()
	if _, err := pool.Exec(context.Background(), sql); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}

// Describe tells the columns besides the key in the query's order, with types, and the tables behind views,
// partitions and functions.
func TestDescribeTellsColumnsAndTables(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	exec(t, pool, `
		create table a (id bigint primary key, v real[], n numeric(10,2));
		create table "B ""x" (id bigint, part int) partition by list (part);
		create table b1 partition of "B ""x" for values in (1);
		create view va as select id, v, n from a;
		create view vva as select * from va;
		create table unread (id int);`)
	columns, sources, err := projection.Describe(t.Context(), pool, `
		select x.id as key, x.v, x.n as "od""d", 'c' as c, (select count(*) from pg_class) as n
		  from vva x join "B ""x" b using (id) -- join $1
		 where x.id = any($1::text[]::bigint[]); -- done`)
	if err != nil {
		t.Fatal(err)
	}
	for i := range columns {
		columns[i].OID = 0
	}
	want := []backends.Column{
		{Name: "v", Type: "real[]", Base: "real[]", Form: "b"},
		{Name: `od"d`, Type: "numeric(10,2)", Base: "numeric", Form: "b"},
		{Name: "c", Type: "text", Base: "text", Form: "b"},
		{Name: "n", Type: "bigint", Base: "bigint", Form: "b"},
	}
	if d := cmp.Diff(want, columns); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{`public."B ""x"`, "public.a"}, sources); d != "" {
		t.Error(d)
	}
	var left int
	if err := pool.QueryRow(t.Context(), "select count(*) from pg_class where relname = 'outflow_projection'").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d views left behind, %v", left, err)
	}
}

// A domain tells the type under it, an array the form of its elements.
func TestDescribeTellsTypesOfUsers(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	exec(t, pool, `
		create type mood as enum ('sad');
		create type pair as (a int, b text);
		create domain short as varchar(9);
		create domain shorter as short;
		create table a (id bigint primary key, m mood, ms mood[], p pair, ps pair[], s shorter, r int4range)`)
	columns, _, err := projection.Describe(t.Context(), pool, "select id as key, m, ms, p, ps, s, r from a where id::text = any($1)")
	if err != nil {
		t.Fatal(err)
	}
	for i := range columns {
		columns[i].OID = 0
	}
	want := []backends.Column{
		{Name: "m", Type: "mood", Base: "mood", Form: backends.FormEnum},
		{Name: "ms", Type: "mood[]", Base: "mood[]", Form: backends.FormEnum},
		{Name: "p", Type: "pair", Base: "pair", Form: backends.FormComposite},
		{Name: "ps", Type: "pair[]", Base: "pair[]", Form: backends.FormComposite},
		{Name: "s", Type: "shorter", Base: "character varying", Form: backends.FormBase},
		{Name: "r", Type: "int4range", Base: "int4range", Form: backends.FormRange},
	}
	if d := cmp.Diff(want, columns); d != "" {
		t.Error(d)
	}
}

// A query that cannot serve is refused with class Rejected and the place of the fault.
func TestDescribeRefuses(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	exec(t, pool, `create table a (id bigint primary key, at timestamptz)`)
	for name, c := range map[string]struct{ query, want string }{
		"empty":            {" -- nothing", "it is empty"},
		"no parameter":     {"select id as key from a", "does not use $1"},
		"only in quotes":   {"select id as key, '$1', $x$ $1 $x$, \"$1\" from (select id, 1 as \"$1\" from a /* $1 */) a", "does not use $1"},
		"other parameter":  {"select id::text as key from a\nwhere id::text = any($1) or id = $2", "line 2, column 34: it uses $2"},
		"two statements":   {"select 1 as key where 'x' = any($1); select 2", "line 1, column 36: a second statement"},
		"not a select":     {"delete from a where id::text = any($1)", `it starts with "delete"`},
		"open quote":       {"select 'x as key, $1", "line 1, column 8: a quote or comment does not end"},
		"no key":           {"select id from a where id::text = any($1)", "no column named key"},
		"unsteady key":     {"select at as key from a where at::text = any($1)", "timestamp with time zone, whose text depends on settings"},
		"nameless":         {"select id as key, 1+1 from a where id::text = any($1)", "column 2 has no name"},
		"twice":            {"select id as key, id as x, at as x from a where id::text = any($1)", `column "x" specified more than once`},
		"unknown column":   {"select id as key,\n 'é' as e, nme from a where id::text = any($1)", `line 2, column 12: column "nme" does not exist`},
		"after $1":         {"select id as key from a where id::text = any($1) and nme", "line 1, column 54: column \"nme\""},
		"untyped $1":       {"select id as key from a where id = any($1)", "operator does not exist: bigint = text"},
		"temporary table":  {"select id as key from pg_temp.tmp where id::text = any($1)", "temporary table"},
		"changes data":     {"with d as (delete from a returning id) select id as key from d where id::text = any($1)", "data-modifying"},
		"locks rows":       {"select id as key from a where id::text = any($1) for update", "read-only transaction"},
		"several problems": {"table a where x = $2", "it starts with \"table\": want select or with\nline 1, column 19: it uses $2"},
	} {
		t.Run(name, func(t *testing.T) {
			tx, err := pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback(context.Background())
			if _, err := tx.Exec(t.Context(), "create temp table tmp (id int)"); err != nil {
				t.Fatal(err)
			}
			_, _, err = projection.Describe(t.Context(), tx, c.query)
			if err == nil || backends.ClassOf(err) != backends.Rejected || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// What PostgreSQL reads through the wrapped query is the record: document, raw values in binary, digest.
func TestReadMakesRecords(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	exec(t, pool, `create table a (id int primary key, "n ame" text, v real[], b bytea);
		insert into a values (1, 'x', '{1,2}', '\x00ff'), (2, null, null, ''), (3, 'unasked', null, null)`)
	layout := backends.Layout{Doc: []string{"n ame", "b"}, Raw: []string{"v", "b"}}
	sql := projection.SQL(`select id as key, a.* from a where id = any($1::text[]::int[]) order by id -- end`, layout)
	rows, err := pool.Query(t.Context(), sql, projection.Formats(layout), []string{"1", "2", "9"})
	if err != nil {
		t.Fatal(err)
	}
	var got []backends.Record
	for r, err := range projection.Read(rows, layout, 7) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	vector := []byte("\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02\xbc\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x04\x3f\x80\x00\x00\x00\x00\x00\x04\x40\x00\x00\x00")
	want := []backends.Record{
		{Key: "1", Version: 7, Doc: []byte(`{"b": "\\x00ff", "n ame": "x"}`), Raw: [][]byte{vector, {0, 0xff}}},
		{Key: "2", Version: 7, Doc: []byte(`{"b": "\\x", "n ame": null}`), Raw: [][]byte{nil, {}}},
	}
	for i := range want {
		want[i].Digest = backends.ContentDigest(want[i].Doc, want[i].Raw)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
