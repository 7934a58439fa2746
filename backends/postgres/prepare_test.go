package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/outflow-db/outflow/backends"
)

// What the settings newly ask for is added to a table that holds records, and what they no longer ask for
// is dropped; the records stay.
func TestPrepareMends(t *testing.T) {
	t.Parallel()
	f := newFixture(t, backends.Target{Kind: "k", Name: "t", Columns: append(columns("a", "b"), backends.Column{Name: "v", Type: "real[]"})})
	f.put("x", map[string]any{"a": "1", "b": "2", "v": nil})
	for _, c := range []struct {
		settings map[string]any
		columns  string
	}{
		{map[string]any{"text": "a"}, "words"},
		{map[string]any{"vector": "v", "edge": map[string]any{"from": "a", "to": "b"}}, "vector signs edge_from edge_to edge_type"},
		{map[string]any{"edge": map[string]any{"from": "b", "to": "a"}}, "edge_from edge_to edge_type"},
		{map[string]any{"edge": map[string]any{"from": "b", "to": "a", "type": "b"}}, "edge_from edge_to edge_type"},
		{nil, ""},
	} {
		f.target.Settings = c.settings
		f.prepare()
		f.prepare()
		got := f.strings(`select string_agg(attname, ' ' order by attname) from pg_attribute
			where attrelid = 'readmodel.t'::regclass and attnum > 4 and not attisdropped having count(*) > 0`)
		if d := cmp.Diff(sorted(c.columns), sorted(strings.Join(got, " "))); d != "" {
			t.Errorf("%v: %s", c.settings, d)
		}
		if c.settings["edge"] != nil && c.settings["vector"] == nil {
			if got := f.strings("select edge_from || edge_to || coalesce(edge_type, '') from readmodel.t"); !strings.HasPrefix(got[0], "21") {
				t.Errorf("%v: the edge is %v", c.settings, got)
			}
		}
	}
	if got := f.strings("select key from readmodel.t"); len(got) != 1 {
		t.Errorf("the records are gone: %v", got)
	}
}

func sorted(words string) map[string]bool {
	set := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		set[w] = true
	}
	return set
}

// What cannot be mended is an error of class Schema or Rejected that says what to do.
func TestPrepareRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t, backends.Target{Kind: "k", Name: "t", Columns: columns("a")})
	f.exec("create table readmodel.mine (id int)")
	mine := f.target
	mine.Name = "mine"
	klingon := f.target
	klingon.Settings = map[string]any{"text": "a", "language": "klingon"}
	for want, target := range map[string]backends.Target{"is not Outflow's": mine, "no dictionary klingon_stem": klingon} {
		err := f.Prepare(t.Context(), []backends.Target{f.target, target})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "choose") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	f.exec("update readmodel._outflow_version set version = 99")
	if err := f.Prepare(t.Context(), nil); backends.ClassOf(err) != backends.Schema || !strings.Contains(err.Error(), "newer Outflow") {
		t.Errorf("got %v", err)
	}
}

// A schema made by an older version, or for another server, is brought up to date.
func TestPrepareUpdates(t *testing.T) {
	t.Parallel()
	f := newFixture(t, backends.Target{Kind: "k", Name: "t", Columns: columns("a"), Settings: map[string]any{"text": "a"}})
	f.put("x", map[string]any{"a": "hello"})
	f.exec("update readmodel._outflow_version set made = 'older'")
	f.exec("create or replace function readmodel.search(target text, query text, max int default 20) returns table (key text, rank real, body jsonb) language sql as 'select null::text, null::real, null::jsonb where false'")
	f.prepare()
	if got := f.strings("select key from readmodel.search('t', 'hello')"); fmt.Sprint(got) != "[x]" {
		t.Errorf("got %v", got)
	}
}

// The functions work without the bit_count that PostgreSQL 13 does not have.
func TestPostgreSQL13(t *testing.T) {
	t.Parallel()
	f := vectors(t, map[string]any{})
	f.exec("create or replace function readmodel._outflow_ones(bit varying) returns bigint language sql immutable strict parallel safe as $$ select " + onesBefore14 + " $$")
	f.put("a", map[string]any{"name": ""}, rawVector([]float32{1, 0.1}))
	f.put("b", map[string]any{"name": ""}, rawVector([]float32{-0.1, 1}))
	if got := f.strings("select key from readmodel.nearest('vectors', '{1,0}', 1, 1)"); fmt.Sprint(got) != "[a]" {
		t.Errorf("got %v", got)
	}
}

// Names of targets and columns, and keys, are the users': whatever they are, they are names and nothing else.
func TestNamesAreQuoted(t *testing.T) {
	t.Parallel()
	f := newFixture(t, backends.Target{Kind: "k", Name: "first", Columns: columns("a")})
	name := rapid.StringOfN(rapid.RuneFrom([]rune("ab'\"\\$; .-%{}[]()@é🚀\n_A")), 1, 12, 60)
	rapid.Check(t, func(rt *rapid.T) {
		target, from, to := name.Draw(rt, "target"), name.Draw(rt, "from"), name.Draw(rt, "to")
		if strings.HasPrefix(target, reserved) {
			rt.Skip()
		}
		f.target = backends.Target{Kind: "k", Name: target, Columns: columns(from, to), Settings: map[string]any{
			"text": []any{from}, "edge": map[string]any{"from": from, "to": to},
		}}
		f.prepare()
		f.put("key", map[string]any{from: "here", to: "there"})
		at := "here"
		if from == to {
			at = "there"
		}
		if got := f.strings("select key from readmodel.search($1, $2)", target, at); fmt.Sprint(got) != "[key]" {
			rt.Fatalf("search in %q: %v", target, got)
		}
		if got := f.strings("select key from readmodel.traverse($1, $2)", target, at); len(got) != 1 && from != to {
			rt.Fatalf("traverse in %q: %v", target, got)
		}
		if got, err := f.Lookup(t.Context(), f.target, []string{"key"}); err != nil || len(got) != 1 {
			rt.Fatalf("lookup in %q: %v, %v", target, got, err)
		}
	})
}

// Each target has indexes of its own, also where another target has the same settings.
func TestIndexesAreTheTargets(t *testing.T) {
	t.Parallel()
	f := newFixture(t, backends.Target{Kind: "k", Name: "one", Columns: columns("a", "b"), Settings: map[string]any{
		"text": "a", "edge": map[string]any{"from": "a", "to": "b"},
	}})
	f.target.Name = "two"
	f.prepare()
	got := f.strings("select format('%s %s', tablename, count(*)) from pg_indexes where schemaname = 'readmodel' and tablename in ('one', 'two') group by tablename order by 1")
	if d := cmp.Diff([]string{"one 5", "two 5"}, got); d != "" {
		t.Error(d)
	}
}
