package outbox

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

func (w world) compare(k Kind) Drift {
	w.Helper()
	d, err := Compare(w.Context(), w.pool, k)
	w.ok(err)
	return d
}

func (w world) watch(k Kind) error {
	return pgx.BeginFunc(w.Context(), w.pool, func(tx pgx.Tx) error { return Watch(w.Context(), tx, k) })
}

// Compare tells what Watch changes, step by step, and nothing once Watch has run.
func TestCompareTellsWhatWatchDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table a (id int primary key, b text not null unique); create table s (id int primary key); insert into a values (1, 'x'), (2, 'y'); analyze a`)
	if err := w.watch(Kind{Name: "s", Table: "s"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		before string
		k      Kind
		want   []string
	}{
		{"", Kind{Name: "a", Table: "a"}, []string{"watch a, key (id)"}},
		{"", Kind{Name: "a", Table: "a", PerRow: true}, []string{"triggers for each row"}},
		{"", Kind{Name: "a", Table: "a"}, []string{"triggers for each statement"}},
		{"", Kind{Name: "a", Table: "a", Key: []string{"id"}}, []string{"the key is fixed"}},
		{"", Kind{Name: "a", Table: "a", Key: []string{"b"}}, []string{"the key becomes (b), was (id)"}},
		{"", Kind{Name: "a2", Table: "a", Key: []string{"b"}}, []string{"a is watched as kind a"}},
		{"alter table a add c int", Kind{Name: "a2", Table: "a", Key: []string{"b"}}, nil}, // the event trigger was there first
		{"alter table a disable trigger outbox_insert", Kind{Name: "a2", Table: "a", Key: []string{"b"}}, []string{"trigger outbox_insert of public.a is disabled"}},
		{"", Kind{Name: "a2", Table: "a", Key: []string{"b"}, Dependants: map[string]string{"s": "select k from unnest($1) k;"}}, []string{"s depends on it"}},
		{"", Kind{Name: "a2", Table: "a", Key: []string{"b"}, Dependants: map[string]string{"s": "select k || 'x' from unnest($1) k"}}, []string{"s depends on it by another query"}},
		{"", Kind{Name: "a2", Table: "a", Key: []string{"b"}}, []string{"s does not depend on it any more"}},
		{"", Kind{Name: "n"}, []string{"declare it: its records are in outbox.records"}},
		{"", Kind{Name: "n", List: "select b as key from a;"}, []string{"another list query"}},
		{"", Kind{Name: "m", List: "select b as key from a"}, []string{"declare it by a list query"}},
	} {
		if c.before != "" {
			w.exec(c.before)
		}
		log := w.text(`select count(*) from outbox.log`)
		if d := cmp.Diff(c.want, w.compare(c.k).Changes); d != "" {
			t.Errorf("%+v: %s", c.k, d)
		}
		w.want(log, `select count(*) from outbox.log`)
		if err := w.watch(c.k); err != nil {
			t.Fatalf("%+v: %v", c.k, err)
		}
		if left := w.compare(c.k); len(left.Changes)+len(left.Refused) > 0 || left.New {
			t.Errorf("%+v: left: %+v", c.k, left)
		}
	}
	if got := w.compare(Kind{Name: "a2", Table: "a", Key: []string{"b"}}).Rows; got != 2 {
		t.Errorf("about %d rows, want 2", got)
	}
}

// What Watch refuses, Compare refuses, and says the same.
func TestCompareRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table a (id int primary key); create table b (id int primary key); create table nokey (a int); create view v as select * from a;
		select outbox.watch('b'); insert into outbox.records (kind, key) values ('kept', 'x');
		create table p (id int primary key) partition by range (id); create table p1 partition of p for values from (1) to (9)`)
	for _, c := range []struct {
		k    Kind
		want string
	}{
		{Kind{Name: "x", Table: "nowhere"}, `relation "nowhere" does not exist`},
		{Kind{Name: "x", Table: "no.where"}, `schema "no" does not exist`},
		{Kind{Name: "x", Table: "a b"}, `invalid name syntax`},
		{Kind{Name: "x", Table: "v"}, "table v: it is a view"},
		{Kind{Name: "x", Table: "nokey"}, "table nokey has no primary key: name the columns of its key"},
		{Kind{Name: "x", Table: "a", Key: []string{"nope"}}, "column nope does not exist"},
		{Kind{Name: "x", Table: "p1"}, "p1 is a partition or child of another table"},
		{Kind{Name: "kept", Table: "a"}, "it has its records in outbox.records"},
		{Kind{Name: "kept", List: "select 'x' as key"}, "it has records in outbox.records"},
		{Kind{Name: "x", List: "select 1"}, "its list query must yield one text column named key"},
		{Kind{Name: "x", Dependants: map[string]string{"b": "select nope from nowhere where $1 is null"}}, "the query for its dependant b: relation"},
	} {
		if got := strings.Join(w.compare(c.k).Refused, "; "); !strings.Contains(got, c.want) {
			t.Errorf("%+v: got %q, want %q", c.k, got, c.want)
		}
		if err := w.watch(c.k); err == nil {
			t.Errorf("%+v: Watch does not refuse it", c.k)
		}
	}
	for _, k := range []Kind{{Name: "b", Table: "a"}, {Name: "b"}} {
		if got := w.compare(k); got.Holder != "b" || w.watch(k) == nil {
			t.Errorf("%+v: the holder is %q", k, got.Holder)
		}
	}
}

// A kind that cannot be one, and a server that does not answer, are errors.
func TestCompareFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := Compare(t.Context(), w.pool, Kind{Name: "Bad"}); err == nil || !strings.Contains(err.Error(), "comparing: kind") {
		t.Errorf("got %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, k := range []Kind{{Name: "x"}, {Name: "x", Table: "x"}} {
		if _, err := Compare(ended, w.pool, k); err == nil || !strings.Contains(err.Error(), "comparing kind x") {
			t.Errorf("got %v", err)
		}
	}
}
