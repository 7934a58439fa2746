package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/backendtest"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// memories finds what an opened backend of type memory shall be.
var memories sync.Map

func init() {
	backends.Register("memory", func(_ context.Context, cfg backends.Config) (backends.Backend, error) {
		open, ok := memories.Load(cfg.Settings["id"])
		if !ok {
			return nil, errors.New("no such memory")
		}
		return open.(func() *backendtest.Memory)(), nil
	})
}

// planned is a world whose store can tell what would change in it.
func planned(t *testing.T) (w *world, memory *backendtest.Memory) {
	t.Helper()
	w = newWorld(t)
	memory = &backendtest.Memory{Name: "main", Promises: backendtest.Everything(), Store: &backendtest.MemoryStore{}}
	memories.Store(t.Name(), func() *backendtest.Memory {
		return &backendtest.Memory{Name: memory.Name, Promises: memory.Promises, Store: memory.Store, Before: memory.Before}
	})
	w.c.Backends = []backends.Config{{Name: "main", Type: "memory", Settings: map[string]any{"id": t.Name()}}}
	return w, memory
}

// steps is a plan, a line for each step.
func (w *world) plan(o jobs.PlanOptions) (*jobs.Plan, string) {
	w.t.Helper()
	p, err := jobs.MakePlan(w.t.Context(), w.c, o)
	if err != nil {
		w.t.Fatal(err)
	}
	var b strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintln(&b, line(s))
	}
	return p, b.String()
}

func line(s jobs.Step) string {
	return strings.Join(strings.Fields(strings.Join([]string{string(s.Do), s.Backend, s.Kind, s.Target, s.Field, s.From, s.To, s.Why}, " ")), " ")
}

func (w *world) apply(o jobs.ApplyOptions) error {
	w.t.Helper()
	_, err := jobs.Apply(w.t.Context(), w.c, o)
	return err
}

// everything is what the database has recorded and logged.
const everything = `select jsonb_build_array(
 (select jsonb_agg(w order by kind) from (select kind, rel::text, key_columns from outbox.watches) w),
 (select jsonb_agg(b order by name) from (select name, type from outbox.backends) b),
 (select jsonb_agg(p order by backend, kind, target) from outbox.projections p),
 (select jsonb_agg(d order by kind) from outbox.dependants d),
 (select count(*) from outbox.log))::text`

// A plan tells all that is new, in the order of Apply, and changes neither the database nor the store.
func TestPlanOfNothing(t *testing.T) {
	t.Parallel()
	w, _ := planned(t)
	before := value[string](w, everything)
	p, got := w.plan(jobs.PlanOptions{})
	want := "watch item watch item, key (id)\nadd main memory, lanes: 1\nfill main item items the projection is new\ncreate main item items a map\n"
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if len(p.Warnings)+len(p.Problems)+len(p.Unreachable)+len(p.Kept) > 0 {
		t.Errorf("%+v", p)
	}
	if again := value[string](w, everything); again != before {
		t.Errorf("the plan changed something: %s, was %s", again, before)
	}
	if _, twice := w.plan(jobs.PlanOptions{}); twice != got {
		t.Errorf("the second plan: %s", twice)
	}
}

// After Apply there is nothing to do; what is configured otherwise later is the whole of the next plan.
func TestPlanOfChanges(t *testing.T) {
	t.Parallel()
	w, memory := planned(t)
	if err := w.apply(jobs.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	if p, got := w.plan(jobs.PlanOptions{}); !p.Empty() {
		t.Fatalf("left: %s", got)
	}
	w.exec(`create table other (id int primary key)`)
	for _, c := range []struct {
		name   string
		change func()
		want   string
	}{
		{"a query", func() { w.c.Projections[0].Query += " and true" }, "fill main item items the projection has changed\n"},
		{"a target", func() { w.c.Projections[0].Target = "things" }, "fill main item things the projection is new\nforget main item items\ncreate main item things a map\n"},
		{"a lost target", func() { *memory.Store = backendtest.MemoryStore{} }, "fill main item things the store lacks what it was filled with\ncreate main item things a map\n"},
		{"a kind", func() { w.c.Kinds = append(w.c.Kinds, outbox.Kind{Name: "other", Table: "other"}) }, "watch other watch other, key (id)\n"},
		{"a watch", func() { w.c.Kinds[0].PerRow = true }, "rewatch item triggers for each row\n"},
	} {
		c.change()
		if _, got := w.plan(jobs.PlanOptions{}); got != c.want {
			t.Errorf("%s: %s", c.name, cmp.Diff(c.want, got))
		}
		if err := w.apply(jobs.ApplyOptions{}); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if p, got := w.plan(jobs.PlanOptions{}); !p.Empty() {
			t.Errorf("%s: left: %s", c.name, got)
		}
	}
}

// All that would make Apply fail is in the plan at once, and Apply does nothing then.
func TestPlanProblems(t *testing.T) {
	t.Parallel()
	w, _ := planned(t)
	w.exec(`insert into outbox.backends (name, type) values ('second', 'fake'); create table elsewhere (id int primary key); select outbox.watch('elsewhere', 'moved')`)
	w.c.Kinds = append(w.c.Kinds, outbox.Kind{Name: "nowhere", Table: "nowhere"}, outbox.Kind{Name: "moved", Table: "item"})
	second := w.c.Backends[0]
	second.Name = "second"
	w.c.Backends = append(w.c.Backends, second)
	w.c.Projections = append(w.c.Projections,
		jobs.Projection{Kind: "item", Backend: "second", Target: "x", Query: `select id as key from item were $1`},
		jobs.Projection{Kind: "unknown", Backend: "main", Target: "y", Query: itemQuery})
	before := value[string](w, everything)
	p, _ := w.plan(jobs.PlanOptions{})
	var got strings.Builder
	for _, x := range p.Problems {
		fmt.Fprintln(&got, x)
	}
	if err := containsAll(got.String(), `kind nowhere: relation "nowhere" does not exist`, "kind moved: table elsewhere feeds it in this database, but item is configured (outflow apply --prune",
		"backend second: it is of type fake in this database, but memory is configured", "backend main: kind unknown: target y: no such kind", "target x of backend second"); err != nil {
		t.Error(err)
	}
	err := w.apply(jobs.ApplyOptions{})
	e, ok := errors.AsType[*jobs.PlanError](err)
	if !ok || len(e.Problems) != len(p.Problems) || !strings.Contains(e.Error(), "no such kind") {
		t.Errorf("Apply: %v", err)
	}
	if after := value[string](w, everything); after != before {
		t.Errorf("something was done: %s", after)
	}
}

// A projection that no index serves is a warning that names the table.
func TestPlanWarnsOfWholeReads(t *testing.T) {
	t.Parallel()
	w, _ := planned(t)
	w.c.Projections[0].Query = `select id as key, v from item where id::text = any($1)`
	p, _ := w.plan(jobs.PlanOptions{})
	if len(p.Warnings) != 1 || containsAll(p.Warnings[0].String(), "public.item", "backend main: kind item: target items: ", "create an index") != nil || len(p.Problems) > 0 {
		t.Errorf("%+v", p)
	}
}

// A store that does not answer is told beside the rest of the plan; Apply does the rest, and fails in the end. The
// next one makes its targets.
func TestPlanWithoutTheStore(t *testing.T) {
	t.Parallel()
	w, memory := planned(t)
	down := true
	memory.Before = func(context.Context, string, backends.Target, []backends.Record) error {
		if down {
			return &backends.Error{Op: "plan", Backend: "main", Class: backends.Transient, Err: errors.New("connection refused")}
		}
		return nil
	}
	p, got := w.plan(jobs.PlanOptions{})
	if len(p.Unreachable) != 1 || p.Unreachable[0].Text != "transient: connection refused" || !strings.Contains(got, "fill main") || p.Empty() {
		t.Errorf("%s%+v", got, p)
	}
	if err := w.apply(jobs.ApplyOptions{}); backends.ClassOf(err) != backends.Transient {
		t.Errorf("Apply: %v", err)
	}
	down = false
	if _, got := w.plan(jobs.PlanOptions{}); got != "fill main item items the store lacks what it was filled with\ncreate main item items a map\n" {
		t.Errorf("left: %s", got)
	}
	if err := w.apply(jobs.ApplyOptions{}); err != nil {
		t.Error(err)
	}
}

// A store whose type cannot tell is a warning, and is prepared all the same.
func TestPlanOfAMuteStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, _ := w.plan(jobs.PlanOptions{})
	if len(p.Warnings) != 1 || p.Warnings[0].Text != "backends of type fake cannot tell what would change in the store" {
		t.Errorf("%+v", p.Warnings)
	}
	if err := w.apply(jobs.ApplyOptions{}); err != nil || w.store.prepared != 1 {
		t.Errorf("prepared %d times, %v", w.store.prepared, err)
	}
}
