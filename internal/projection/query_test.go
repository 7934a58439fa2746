package projection_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/internal/projection"
)

// read runs a query wrapped for a layout.
func read(tb testing.TB, pool *pgxpool.Pool, query string, layout backends.Layout, keys ...string) ([]backends.Record, error) {
	tb.Helper()
	rows, err := pool.Query(tb.Context(), projection.SQL(query, layout), projection.Formats(layout), append([]string{}, keys...))
	if err != nil {
		return nil, err
	}
	var records []backends.Record
	for r, err := range projection.Read(rows, layout, 7) {
		if err != nil {
			return records, err
		}
		records = append(records, r)
	}
	return records, nil
}

// A parameter is found wherever PostgreSQL sees one and nowhere else, and the query may end as it likes.
func TestParametersAreFound(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	layout := backends.Layout{Doc: []string{"v"}}
	for _, query := range []string{
		`select 'k' as key, 'it''s $1' as v where 'k' = any($1)`,
		`select 'k' as key, E'\'$1' as v where 'k' = any($1)`,
		`select 'k' as key, e'\\' as v where 'k' = any($1) -- $2`,
		`select 'k' as key, $$ $1 $$ || $a$ $$ $1 $a$ as v where 'k' = any($1);`,
		`select 'k' as key, x."$1 ""$2" as v from (select 1 as "$1 ""$2") x where 'k' = any($1); -- end`,
		`/* $2 /* ; */ $3 */ select 'k' as key, 1 as v where 'k' = any($1) /* end */`,
		`select 'k' as key, x.a$1 as v from (select 1 as a$1) x where 'k'=any($1);;`,
		"select 'k' as key, 1 as v -- '\nwhere 'k' = any($1)",
		`with q as (select unnest($1) as key) select key, U&'d!0061t' uescape '!' as v from q where key=any($1)`,
		`select 'k' as key, '{"a": 1}'::jsonb->'a' as v where $1 @> '{k}'`,
		`select 'k' as key, 1.5e1+1e-1 as v where 'k' = any($1::text[]::varchar[])`,
	} {
		if _, _, err := projection.Describe(t.Context(), pool, query); err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if got, err := read(t, pool, query, layout, "k"); err != nil || len(got) != 1 || got[0].Key != "k" {
			t.Errorf("%s: got %v, %v", query, got, err)
		}
	}
}

// A layout without a document, or without raw columns, or with neither, is served.
func TestLayouts(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	const query = "select 'k' as key, 'x'::text as a, null::int as b where 'k' = any($1)"
	for _, c := range []struct {
		layout backends.Layout
		want   backends.Record
	}{
		{backends.Layout{}, backends.Record{}},
		{backends.Layout{Raw: []string{"b", "a"}}, backends.Record{Raw: [][]byte{nil, []byte("x")}}},
		{backends.Layout{Doc: []string{"b"}}, backends.Record{Doc: []byte(`{"b": null}`)}},
	} {
		got, err := read(t, pool, query, c.layout, "k")
		c.want.Key, c.want.Version, c.want.Digest = "k", 7, backends.ContentDigest(c.want.Doc, c.want.Raw)
		if d := cmp.Diff([]backends.Record{c.want}, got); d != "" || err != nil {
			t.Errorf("%v: %v\n%s", c.layout, err, d)
		}
	}
}

// PostgreSQL computes the digest of a record from the same parts.
func TestDigestInSQL(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	layout := backends.Layout{Doc: []string{"a"}, Raw: []string{"v"}}
	got, err := read(t, pool, "select 'k' as key, 'é' as a, '{1.5}'::real[] as v where 'k' = any($1)", layout, "k")
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	err = pool.QueryRow(t.Context(), `select substr(sha256(int8send(octet_length(d)) || d || int8send(octet_length(v)) || v), 1, 8)
		from (select convert_to('{"a": "é"}', 'UTF8') d, array_send('{1.5}'::real[]) v) x`).Scan(&want)
	if err != nil || string(want) != string(got[0].Digest[:]) {
		t.Errorf("got %x, want %x, %v", got[0].Digest, want, err)
	}
}

// Text forms do not depend on the settings of whoever reads, once Locals has run.
func TestLocals(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	query := `select 'k' as key, now() - now() + '1 mon 2 days 3.5 s' as i, '2024-07-01 12:00Z'::timestamptz as z, 0.1::float8 / 3 as f, '\x01'::bytea as b,
		tstzrange('2024-07-01Z', null) as r, 12.5::money as m, array['2024-01-02'::date] as d where 'k' = any($1)`
	layout := backends.Layout{Doc: []string{"i", "z", "f", "b", "r", "m", "d"}}
	docs := map[string]bool{}
	for _, settings := range []string{
		"select 1", "set timezone = 'Asia/Tokyo'; set datestyle = 'German, DMY'; set intervalstyle = 'sql_standard'; set extra_float_digits = -5; set bytea_output = 'escape'",
	} {
		err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), settings); err != nil {
				return err
			}
			if _, err := tx.Exec(t.Context(), projection.Locals); err != nil {
				return err
			}
			rows, err := tx.Query(t.Context(), projection.SQL(query, layout), projection.Formats(layout), []string{"k"})
			if err != nil {
				return err
			}
			for r, err := range projection.Read(rows, layout, 1) {
				if err != nil {
					return err
				}
				docs[string(r.Doc)] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(docs) != 1 {
		t.Errorf("got %v", docs)
	}
}

// A row without a key and a query that fails are errors; records before them have come, and the connection
// is free again.
func TestReadFails(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	layout := backends.Layout{Doc: []string{"v"}}
	got, err := read(t, pool, "select x as key, 1 as v from unnest(array['a', null, 'b']) x where $1 is not null", layout)
	if !errors.Is(err, projection.ErrNoKey) || len(got) != 1 {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err = read(t, pool, "select x::text as key, 1 / (x - 9000) as v from generate_series(1, 9000) x where $1 is not null", layout); err == nil {
		t.Errorf("got %d records and no error", len(got))
	}
	rows, err := pool.Query(t.Context(), projection.SQL("select x::text as key, 1 as v from generate_series(1, 9) x where $1 is not null", layout), projection.Formats(layout), []string{})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range projection.Read(rows, layout, 1) {
		if err != nil {
			t.Error(err)
		}
		break
	}
	if n := pool.Stat().AcquiredConns(); n != 0 {
		t.Errorf("%d connections are not given back", n)
	}
}

// Records own their memory: a later row does not change them.
func TestRecordsOwnTheirMemory(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	layout := backends.Layout{Doc: []string{"v"}, Raw: []string{"b"}}
	got, err := read(t, pool, "select x::text as key, x as v, int4send(x) as b from generate_series(1, 20000) x where $1 is not null", layout)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 20000 {
		t.Errorf("got %d records", len(got))
	}
	for i, r := range got {
		if r.Key != fmt.Sprint(i+1) || string(r.Doc) != fmt.Sprintf(`{"v": %d}`, i+1) || r.Digest != backends.ContentDigest(r.Doc, r.Raw) || cap(r.Doc) > len(r.Doc) {
			t.Fatalf("record %d is %+v", i, r)
		}
	}
}

// Functions whose body is standard SQL are seen through; a table is named once and catalogs not at all.
func TestSourcesBehindFunctions(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	var number int
	if err := pool.QueryRow(t.Context(), "select current_setting('server_version_num')::int").Scan(&number); err != nil || number < 140000 {
		t.Skipf("functions with a parsed body are of PostgreSQL 14: %v", err)
	}
	exec(t, pool, `create schema "S"; create table "S"."T x" (id int); create table u (id int);
		create function f() returns bigint language sql stable begin atomic select count(*) from "S"."T x"; end;
		create function g() returns bigint language sql stable begin atomic select f(); end;
		create materialized view m as select * from u`)
	_, sources, err := projection.Describe(t.Context(), pool, `select u.id as key, g(), (select count(*) from m) as n, (select count(*) from pg_class) as c from u join u w using (id) where u.id::text = any($1)`)
	if d := cmp.Diff([]string{`"S"."T x"`, "public.u"}, sources); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
}

// A key may be of any type whose text is the same for every reader.
func TestKeyTypes(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	exec(t, pool, `create type mood as enum ('sad'); create domain short as varchar(9); create domain shorter as short; create domain at as timestamptz`)
	for typ, ok := range map[string]bool{
		"text": true, "varchar(9)": true, "char(3)": true, "name": true, "int2": true, "int8": true, "numeric(9,2)": true, "uuid": true, "bool": true, "jsonb": true,
		"oid": true, "mood": true, "short": true, "shorter": true, "at": false, "date": false, "timestamptz": false, "bytea": false, "float8": false, "text[]": false, "json": false,
	} {
		_, _, err := projection.Describe(t.Context(), pool, "select null::"+typ+" as key where $1 is not null")
		if (err == nil) != ok {
			t.Errorf("%s: got %v", typ, err)
		}
	}
}

// What is not the query's fault is not of class Rejected.
func TestDescribeFailsOtherwise(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	const query = "select 'k' as key where $1 is not null"
	if _, _, err := projection.Describe(ctx, pool, query); err == nil || backends.ClassOf(err) == backends.Rejected {
		t.Errorf("cancelled: got %v", err)
	}
	exec(t, pool, "create table a (id int); create role nobody_"+pool.Config().ConnConfig.Database)
	defer exec(t, pool, "drop role nobody_"+pool.Config().ConnConfig.Database)
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "set local role nobody_"+pool.Config().ConnConfig.Database); err != nil {
			return err
		}
		_, _, err := projection.Describe(t.Context(), tx, "select id as key from a where id::text = any($1)")
		if err == nil || !strings.Contains(err.Error(), "permission denied for table a") {
			t.Errorf("without the right: got %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// Names of columns are names and nothing else.
func TestColumnNamesAreQuoted(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	name := rapid.StringOfN(rapid.RuneFrom([]rune("ab'\"\\$1; .-%{}[]()@é🚀\n_A")), 1, 12, 60)
	rapid.Check(t, func(rt *rapid.T) {
		a := name.Draw(rt, "name")
		query := "select 'k' as key, 5 as " + pgx.Identifier{a}.Sanitize() + " where 'k' = any($1)"
		columns, _, err := projection.Describe(t.Context(), pool, query)
		if err != nil || len(columns) != 1 || columns[0].Name != a {
			rt.Fatalf("%q: got %v, %v", a, columns, err)
		}
		for _, layout := range []backends.Layout{{Doc: []string{a}}, {Raw: []string{a}}} {
			if got, err := read(t, pool, query, layout, "k"); err != nil || len(got) != 1 {
				rt.Fatalf("%q: got %v, %v", a, got, err)
			}
		}
	})
}

// Any text is either refused or stays, but for $1, as it is.
func FuzzSQL(f *testing.F) {
	for _, s := range []string{"select $1", "select 'a'", "with $1;", "select $$", "select /*", `select "`, "select e'\\", "select $1;--", "", "select $é$ $1 $é$, $1"} {
		f.Add(s)
	}
	layout := backends.Layout{Doc: []string{"a"}}
	f.Fuzz(func(t *testing.T, query string) {
		sql := projection.SQL(query, layout)
		if sql != query && !strings.Contains(sql, "($1::pg_catalog.text[])") {
			t.Errorf("%q became %q", query, sql)
		}
	})
}
