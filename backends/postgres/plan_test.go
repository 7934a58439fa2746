package postgres

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outflow-db/outflow/backends"
)

// plan is what Plan says, a line for each change.
func (f *fixture) plan() string {
	f.Helper()
	changes, err := f.Plan(f.Context(), []backends.Target{f.target})
	if err != nil {
		f.Fatal(err)
	}
	lines := make([]string, len(changes))
	for i, c := range changes {
		lines[i] = c.String()
	}
	return strings.Join(lines, "\n")
}

// Plan tells each column, index and setting that Prepare would add, change or drop, and nothing once it did.
func TestPlanTellsEveryPart(t *testing.T) {
	t.Parallel()
	f := newFixture(t, backends.Target{Kind: "k", Name: "t", Columns: append(columns("a", "b"), backends.Column{Name: "v", Type: "real[]"})})
	for _, c := range []struct {
		settings map[string]any
		want     []string
	}{
		{map[string]any{"text": "a", "language": "german"}, []string{"alter t.language: english becomes german", "alter t.words: tsvector", "create t.index words: _outflow_"}},
		{map[string]any{"vector": "v"}, []string{"alter t.language: german becomes english", "alter t.words: tsvector goes", "alter t.vector: real[]", "alter t.signs: bit varying"}},
		{map[string]any{"edge": map[string]any{"from": "a", "to": "b"}}, []string{"alter t.vector: real[] goes", "alter t.edge_from: text", "create t.index from: ", "create t.index to: "}},
		{map[string]any{"edge": map[string]any{"from": "b", "to": "a"}}, []string{"E'a') stored becomes text", "E'b') stored becomes text"}},
	} {
		f.target.Settings = c.settings
		got := f.plan()
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%v: %q is missing in:\n%s", c.settings, want, got)
			}
		}
		f.prepare()
		if left := f.plan(); left != "" {
			t.Errorf("%v: left: %s", c.settings, left)
		}
	}
}

// Structures of an older Outflow are told as what they become, a lost index as what is made, and a foreign table as
// what Prepare refuses.
func TestPlanOfWhatOthersMade(t *testing.T) {
	t.Parallel()
	f := newFixture(t, backends.Target{Kind: "k", Name: "t", Columns: columns("a")})
	f.strings("with x as (update readmodel._outflow_version set made = '0 for PostgreSQL 9' returning 1) select '' from x")
	if got := f.plan(); !strings.HasPrefix(got, "alter functions: version 0 for PostgreSQL 9 becomes version 1 for") {
		t.Error(got)
	}
	f.prepare()
	if _, err := f.admin.Exec(t.Context(), "create table readmodel.foreign_one (a int); drop index readmodel."+(&model{name: "t"}).indexName("deleted")); err != nil {
		t.Fatal(err)
	}
	if got := f.plan(); !strings.HasPrefix(got, "create t.index deleted: _outflow_") {
		t.Error(got)
	}
	f.target.Name = "foreign_one"
	if d := cmp.Diff(`rebuild foreign_one: a table that is not Outflow's becomes table "readmodel"."foreign_one"`, f.plan()); d != "" {
		t.Error(d)
	}
}

// A target that cannot be served is refused as Layout refuses it.
func TestPlanRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t, backends.Target{Kind: "k", Name: "t", Columns: columns("a")})
	f.target.Settings = map[string]any{"text": "b"}
	if _, err := f.Plan(t.Context(), []backends.Target{f.target}); backends.ClassOf(err) != backends.Rejected {
		t.Errorf("got %v", err)
	}
}
