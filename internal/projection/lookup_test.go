package projection_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/internal/projection"
)

// A lookup that no index serves names the table, however small it is; one that an index serves names none.
func TestWholeReads(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	if _, err := pool.Exec(t.Context(), `
create schema app;
create table app.item (id int primary key, code text, owner int);
create table app.owner (id int primary key, name text);
create table app.part (item int, name text);
create table app.day (id int, at date, primary key (id, at)) partition by range (at);
create table app.day1 partition of app.day for values from ('2020-01-01') to ('2021-01-01');
create table app.pair (a int, b text, primary key (a, b));
insert into app.item select g, 'c' || g, g from generate_series(1, 20) g;
insert into app.owner select g, 'n' || g from generate_series(1, 20) g;
analyze app.item, app.owner`); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		query string
		want  []string
	}{
		"by the primary key":      {`select id as key, code from app.item where id = any($1::text[]::int[])`, nil},
		"by its text":             {`select id as key, code from app.item where id::text = any($1)`, []string{"app.item"}},
		"by another column":       {`select code as key from app.item where code = any($1)`, []string{"app.item"}},
		"joined by its key":       {`select i.id as key, o.name from app.item i join app.owner o on o.id = i.owner where i.id = any($1::text[]::int[])`, nil},
		"joined without an index": {`select i.id as key, p.name from app.item i join app.part p on p.item = i.id where i.id = any($1::text[]::int[])`, []string{"app.part"}},
		"in a subquery": {
			`select id as key, (select count(*) from app.part p where p.item = i.id) from app.item i where id = any($1::text[]::int[])`,
			[]string{"app.part"},
		},
		"several columns": {
			`select k.key, p.b from unnest($1::text[]) k(key) join app.pair p on p.a = (k.key::jsonb->>0)::int and p.b = k.key::jsonb->>1`, nil,
		},
		"a partition":   {`select id as key from app.day where id = any($1::text[]::int[])`, nil},
		"its partition": {`select at::text as key from app.day where at::text = any($1)`, []string{"app.day1"}},
		"no table":      {`select k as key from unnest($1::text[]) k`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := projection.WholeReads(t.Context(), pool, c.query)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What cannot be planned is told with its place.
func TestWholeReadsRefuses(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	for query, want := range map[string]string{
		`delete from item`: "want select or with",
		"select id as key\nfrom nowhere where id = any($1)": "line 2, column 6",
	} {
		_, err := projection.WholeReads(t.Context(), pool, query)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", query, err, want)
		}
	}
}
