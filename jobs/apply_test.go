package jobs_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// Apply that is stopped after any of its steps is finished by the next one: the database and the store are as
// after one that was not stopped, and workers fill the store.
func TestApplyStoppedAnywhere(t *testing.T) {
	t.Parallel()
	stopped := errors.New("stopped")
	for at := 1; ; at++ {
		w, _ := planned(t)
		w.exec(rows(3))
		n := 0
		err := w.apply(jobs.ApplyOptions{Done: func(jobs.Step) error {
			if n++; n == at {
				return stopped
			}
			return nil
		}})
		if err == nil {
			if n != 4 {
				t.Errorf("%d steps, want 4", n)
			}
			return
		}
		if !errors.Is(err, stopped) {
			t.Fatal(err)
		}
		if err := w.apply(jobs.ApplyOptions{}); err != nil {
			t.Fatalf("after step %d: %v", at, err)
		}
		if p, got := w.plan(jobs.PlanOptions{}); !p.Empty() {
			t.Errorf("after step %d: left: %s", at, got)
		}
		_, stop := w.run()
		w.drained()
		if r := w.verify(jobs.VerifyOptions{}); !r.OK() || r.Targets[0].Records != 3 {
			t.Errorf("after step %d: %+v", at, r)
		}
		stop()
	}
}

// Apply that finds nothing to do does nothing, and logs nothing.
func TestApplyAgain(t *testing.T) {
	t.Parallel()
	w, _ := planned(t)
	if err := w.apply(jobs.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	before := value[string](w, everything)
	done := 0
	if err := w.apply(jobs.ApplyOptions{Done: func(jobs.Step) error { done++; return nil }}); err != nil || done != 0 {
		t.Errorf("%d steps, %v", done, err)
	}
	if d := cmp.Diff(before, value[string](w, everything)); d != "" {
		t.Error(d)
	}
}

// What is not configured any more is kept, with its positions, until it is asked for: then it is forgotten, and the
// store and the table keep their data.
func TestPrune(t *testing.T) {
	t.Parallel()
	w, _ := planned(t)
	w.exec(`create table old (id int primary key)`)
	w.c.Kinds = append(w.c.Kinds, outbox.Kind{Name: "old", Table: "old"}, outbox.Kind{Name: "listed", List: "select 'a' as key"})
	whole := w.c
	if err := w.apply(jobs.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	w.c.Kinds, w.c.Backends, w.c.Projections = w.c.Kinds[:1], nil, nil
	p, steps := w.plan(jobs.PlanOptions{})
	if steps != "" || len(p.Kept) != 3 || !p.Empty() {
		t.Errorf("%s%+v", steps, p.Kept)
	}
	before := value[string](w, everything)
	if err := w.apply(jobs.ApplyOptions{}); err != nil || value[string](w, everything) != before {
		t.Errorf("something was done without --prune: %v", err)
	}
	o := jobs.PlanOptions{Prune: true}
	if _, got := w.plan(o); got != "unwatch listed\nunwatch old old\ndrop main memory\n" {
		t.Error(got)
	}
	var done []string
	if err := w.apply(jobs.ApplyOptions{PlanOptions: o, Done: func(s jobs.Step) error {
		done = append(done, line(s))
		return nil
	}}); err != nil || strings.Join(done, "; ") != "drop main memory; unwatch listed; unwatch old old" {
		t.Errorf("%q, %v", done, err)
	}
	if got := value[string](w, `select string_agg(kind, ' ') from outbox.kinds`); got != "item" {
		t.Errorf("kinds: %s", got)
	}
	w.c = whole
	if _, got := w.plan(jobs.PlanOptions{}); !strings.Contains(got, "fill main item items the projection is new") || strings.Contains(got, "create") {
		t.Errorf("when it comes back: %s", got)
	}
}

// A backend that a worker works is not forgotten under its hands.
func TestPruneSparesTheLiving(t *testing.T) {
	t.Parallel()
	w, _ := planned(t)
	if err := w.apply(jobs.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	w.exec(`update outbox.lanes set owner = 'somebody', expires = clock_timestamp() + interval '1 hour'`)
	w.c.Backends, w.c.Projections = nil, nil
	o := jobs.ApplyOptions{PlanOptions: jobs.PlanOptions{Prune: true}}
	if err := w.apply(o); err == nil || !strings.Contains(err.Error(), "worker somebody works it") {
		t.Errorf("got %v", err)
	}
	w.exec(`update outbox.lanes set expires = clock_timestamp() - interval '1 hour'`)
	o.Done = func(jobs.Step) error { return nil }
	if err := w.apply(o); err != nil {
		t.Error(err)
	}
}

// A kind that shall come from another table is a problem, and with prune it moves: every key is logged.
func TestPruneMovesAKind(t *testing.T) {
	t.Parallel()
	w, _ := planned(t)
	if err := w.apply(jobs.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	w.exec(`create table item2 (id int primary key, v text); insert into item2 values (7, 'seven'); truncate outbox.log`)
	w.c.Kinds[0].Table = "item2"
	if p, _ := w.plan(jobs.PlanOptions{}); len(p.Problems) != 1 || !strings.Contains(p.Problems[0].Text, "table item feeds it") {
		t.Errorf("%+v", p.Problems)
	}
	if err := w.apply(jobs.ApplyOptions{PlanOptions: jobs.PlanOptions{Prune: true}}); err != nil {
		t.Fatal(err)
	}
	if got := value[string](w, `select rel::text from outbox.watches`); got != "item2" {
		t.Errorf("watched: %s", got)
	}
	if n := value[int](w, `select count(*) from outbox.log where headers @> '{"all":true}'`); n != 1 {
		t.Errorf("%d rows of the log say that every key may have changed", n)
	}
}

// A wrong configuration, and a database that does not answer, are errors of both.
func TestPlanFails(t *testing.T) {
	t.Parallel()
	w, _ := planned(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := jobs.MakePlan(ended, w.c, jobs.PlanOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := jobs.Apply(ended, w.c, jobs.ApplyOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	w.c.Backends = append(w.c.Backends, backends.Config{Name: "main"})
	if _, err := jobs.MakePlan(t.Context(), w.c, jobs.PlanOptions{}); err == nil || !strings.Contains(err.Error(), "configured twice") {
		t.Errorf("got %v", err)
	}
	if _, err := jobs.Apply(t.Context(), w.c, jobs.ApplyOptions{}); err == nil || !strings.Contains(err.Error(), "configured twice") {
		t.Errorf("got %v", err)
	}
}
