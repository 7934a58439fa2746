package jobs_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// While a target is rebuilt under constant writes and deletes, readers see every record that stays, and never an older one;
// in the end they see a generation that is exactly the table, and the former one is gone. Two processes work at it.
func TestRebuildBeside(t *testing.T) {
	t.Parallel()
	w, s := newShelf(t)
	w.start()
	w.run()
	w.applied(rows(0))
	stop := w.busy(s)
	defer stop()
	for _, want := range []string{"2", "3"} {
		w.begin()
		w.rebuilt()
		if got := s.generations(); got != want {
			t.Errorf("the store has generations %s, want %s", got, want)
		}
	}
	stop()
	w.exact(s)
}

// exact waits until everything is applied, and compares what readers see with the table.
func (w *world) exact(s *shelf) {
	w.t.Helper()
	w.applied(`insert into item values (-1, 'last')`)
	want := map[string]string{}
	if err := jsonTo(w, `select jsonb_object_agg(id, jsonb_build_object('v', v)::text) from item`, &want); err != nil {
		w.t.Fatal(err)
	}
	if diff := cmp.Diff(want, s.seen()); diff != "" {
		w.t.Errorf("readers see something else than the table (-want +got):\n%s", diff)
	}
	if r := w.verify(jobs.VerifyOptions{}); !r.OK() {
		w.t.Errorf("verify: %+v", r)
	}
}

func jsonTo(w *world, sql string, v any) error {
	return w.pool.QueryRow(context.WithoutCancel(w.t.Context()), sql).Scan(v)
}

const shoutQuery = `select id as key, upper(v) as v from item where id = any($1::text[]::int[])`

// A changed definition fills the new generation while workers with the former one go on, and what readers see is written
// as it was. Afterwards those leave the backend alone, and one with the new definition goes on.
func TestRebuildWithAnotherDefinition(t *testing.T) {
	t.Parallel()
	w, s := newShelf(t)
	_, stop := w.start()
	w.applied(rows(5))
	held, free := make(chan struct{}), make(chan struct{})
	s.onFinish = func(ctx context.Context, _ backends.Target) error {
		close(held)
		select {
		case <-free:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	old := w.c
	w.c.Projections = []jobs.Projection{{Kind: "item", Backend: "main", Target: "items", Query: shoutQuery}}
	w.begin()
	<-held
	w.applied(`update item set v = 'new' where id = 3`)
	if got := [2]string{s.holds("items@1")["3"], s.holds("items@2")["3"]}; got != [2]string{`{"v": "new"}`, `{"v": "NEW"}`} {
		t.Errorf("the generations have %v", got)
	}
	for name, c := range map[string]jobs.Config{"former": old, "new": w.c} {
		if err := jobs.Setup(t.Context(), c); err != nil {
			t.Errorf("a worker with the %s definition: %v", name, err)
		}
	}
	w.thirdDefinition()
	close(free)
	eventually(t, "readers see the new generation", func() bool { return s.seen()["3"] == `{"v": "NEW"}` })
	eventually(t, "that is recorded", func() bool { return w.state().Serving == 2 })
	stop()
	_, stop = w.start()
	w.rebuilt()
	w.applied(`update item set v = 'last'`)
	if got := s.seen()["5"]; got != `{"v": "LAST"}` || s.generations() != "2" {
		t.Errorf("readers see %s; generations %s", got, s.generations())
	}
	stop()
	if e, err := jobs.New(t.Context(), old); err != nil {
		t.Fatal(err)
	} else if err := e.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "run Setup") {
		t.Errorf("a worker with the former definition: %v", err)
	}
}

// thirdDefinition checks that a target cannot be changed while it is rebuilt with another definition.
func (w *world) thirdDefinition() {
	w.t.Helper()
	c := w.c
	c.Projections = []jobs.Projection{{Kind: "item", Backend: "main", Target: "items", Query: itemQuery + ` and v <> 'x'`}}
	advice := "outflow rebuild main item --beside --cancel"
	if err := jobs.Setup(w.t.Context(), c); err == nil || !strings.Contains(err.Error(), advice) {
		w.t.Errorf("Setup: %v", err)
	}
	if err := jobs.BeginRebuild(w.t.Context(), c, "main"); err == nil || !strings.Contains(err.Error(), advice) {
		w.t.Errorf("BeginRebuild: %v", err)
	}
	p, err := jobs.MakePlan(w.t.Context(), c, jobs.PlanOptions{})
	if err != nil || len(p.Problems) != 1 || !strings.Contains(p.Problems[0].Advice, "--cancel") {
		w.t.Errorf("MakePlan: %+v, %v", p, err)
	}
}

// Wherever its processes end, others bring a rebuild to its end, and readers notice nothing.
func TestRebuildSurvivesItsProcesses(t *testing.T) {
	t.Parallel()
	w, s := newShelf(t)
	_, stop := w.start()
	quiet := w.busy(s)
	defer quiet()
	for _, phase := range []string{"filling", "finishing", "switching", "dropping"} {
		pause := w.pauseAt(s, phase)
		w.begin()
		pause(func() {
			stop()
			w.exec(`delete from river.river_job where kind = 'rebuild'`) // the process has died with it
		})
		_, stop = w.run()
		w.rebuilt()
	}
	quiet()
	w.exact(s)
	if got := s.generations(); got != "5" {
		t.Errorf("the store has generations %s", got)
	}
}

var phases = []string{"logged", "filling", "finishing", "verifying", "ready", "switching", "dropping"}

// pauseAt makes the next rebuild stay at a phase while the answer is called.
func (w *world) pauseAt(s *shelf, phase string) func(func()) {
	reached, ended := make(chan struct{}), make(chan struct{})
	hook := func(ctx context.Context, _ backends.Target) error {
		select {
		case <-ended:
			return nil
		case reached <- struct{}{}:
		}
		<-ctx.Done()
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onFinish, s.onServe, s.onDrop = nil, nil, nil
	switch phase {
	case "finishing":
		s.onFinish = hook
	case "switching":
		s.onServe = hook
	case "dropping":
		s.onDrop = func(ctx context.Context, t backends.Target) error {
			if w.state().Dropping == 0 { // before the filling
				return nil
			}
			return hook(ctx, t)
		}
	default:
		return func(do func()) {
			eventually(w.t, "the rebuild is at "+phase+" or later", func() bool {
				return !w.state().Rebuilding() || slices.Index(phases, w.state().Phase) >= slices.Index(phases, phase)
			})
			do()
		}
	}
	return func(do func()) {
		<-reached
		close(ended)
		do()
	}
}

// A rebuild that is given up leaves nothing behind, and what readers see is as it was. One that switches is not given up.
func TestRebuildCancelled(t *testing.T) {
	t.Parallel()
	w, s := newShelf(t)
	w.start()
	w.applied(rows(5))
	reached := make(chan struct{})
	s.onFinish = func(ctx context.Context, _ backends.Target) error {
		close(reached)
		<-ctx.Done()
		return ctx.Err()
	}
	w.begin()
	<-reached
	if n, err := jobs.CancelRebuild(t.Context(), w.pool, "main", "item"); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	s.mu.Lock()
	s.onFinish = nil
	s.mu.Unlock()
	w.rebuilt()
	w.exact(s)
	if got := s.generations(); got != "1" {
		t.Errorf("the store has generations %s", got)
	}
	if n, err := jobs.CancelRebuild(t.Context(), w.pool, "main"); n != 0 || err != nil {
		t.Errorf("nothing goes on: %d, %v", n, err)
	}
}

// A rebuild that switches is not given up any more, and that is an error.
func TestRebuildCancelledTooLate(t *testing.T) {
	t.Parallel()
	w, _ := newShelf(t)
	if err := jobs.Setup(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	w.begin()
	w.exec(`update outbox.projections set phase = 'switching'`)
	if n, err := jobs.CancelRebuild(t.Context(), w.pool, "main"); n != 0 || err == nil || !strings.Contains(err.Error(), "too late") || w.state().Building != 2 {
		t.Errorf("%d, %v, %+v", n, err, w.state())
	}
}

// While the new generation has refused records readers do not get it, and somebody is told why; when they are mended it
// goes on.
func TestRebuildWaitsForParkedRecords(t *testing.T) {
	t.Parallel()
	w, s := newShelf(t)
	w.start()
	w.applied(rows(5))
	s.mu.Lock() // a write may be under way
	s.refuses = func(t backends.Target, r backends.Record) bool { return t.Building && r.Key == "3" }
	s.mu.Unlock()
	w.begin()
	eventually(t, "it says what it waits for", func() bool { return strings.Contains(w.state().Note, "refused 1 records") })
	w.applied(`update item set v = 'seen' where id = 4`)
	if got := s.seen(); got["4"] != `{"v": "seen"}` || len(got) != 5 {
		t.Errorf("readers see %v", got)
	}
	s.mu.Lock()
	s.refuses = nil
	s.mu.Unlock()
	w.exec(`update item set v = 'mended' where id = 3`)
	w.rebuilt()
	w.exact(s)
	if n := value[int](w, `select count(*)::int from outbox.parked`); n != 0 {
		t.Errorf("%d records are still parked", n)
	}
}

// What cannot be rebuilt is refused with the reason, and a second call sees to the same rebuild.
func TestBeginRebuild(t *testing.T) {
	t.Parallel()
	w, s := newShelf(t)
	other := newFake(t)
	w.c.Backends = append(w.c.Backends, other.config(t, "plain"))
	w.c.Projections = append(w.c.Projections, jobs.Projection{Kind: "item", Backend: "plain", Target: "items", Query: itemQuery})
	if err := jobs.BeginRebuild(t.Context(), w.c, "main"); err == nil || !strings.Contains(err.Error(), "outflow apply sets it up") {
		t.Errorf("before Setup: %v", err)
	}
	if err := jobs.Setup(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	for backend, want := range map[string]string{"plain": "cannot have two generations", "lost": `no backend "lost" is configured`} {
		if err := jobs.BeginRebuild(t.Context(), w.c, backend); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", backend, err)
		}
	}
	if err := jobs.BeginRebuild(t.Context(), w.c, "main", "unknown"); err != nil || w.state().Rebuilding() {
		t.Errorf("a kind that it does not project: %v", err)
	}
	s.onPrepare = func(context.Context, int) error { return errors.New("no space") }
	if err := jobs.BeginRebuild(t.Context(), w.c, "main"); err == nil || !strings.Contains(err.Error(), "no space") || w.state().Rebuilding() {
		t.Errorf("a store that refuses: %v", err)
	}
	s.onPrepare = nil
	w.begin()
	w.begin()
	if n := value[int](w, `select count(*)::int from river.river_job where kind = 'rebuild'`); n != 1 || w.state().Building != 2 {
		t.Errorf("%d jobs, %+v", n, w.state())
	}
	if _, err := jobs.CancelRebuild(t.Context(), w.pool, "main"); err != nil {
		t.Fatal(err)
	}
	if err := jobs.BeginRebuild(t.Context(), w.c, "main"); err == nil || !strings.Contains(err.Error(), "still being removed") {
		t.Errorf("while the former is dropped: %v", err)
	}
	w.exec(`update outbox.projections set dropping = null, query = null, settings = null`) // as an older version recorded it
	w.c.Projections[0].Query = shoutQuery
	if err := jobs.BeginRebuild(t.Context(), w.c, "main"); err == nil || !strings.Contains(err.Error(), "older version") {
		t.Errorf("an unknown former definition: %v", err)
	}
}

// What the job does is in its output, and a backend that is paused or behind is waited for.
func TestRebuildTells(t *testing.T) {
	t.Parallel()
	w, s := newShelf(t)
	w.start()
	w.applied(rows(5))
	if err := outbox.Pause(t.Context(), w.pool, "main", "operator", "by hand"); err != nil {
		t.Fatal(err)
	}
	w.begin()
	eventually(t, "it waits for the backend", func() bool { return strings.Contains(w.state().Note, "paused: by hand") })
	if err := outbox.Resume(t.Context(), w.pool, "main"); err != nil {
		t.Fatal(err)
	}
	w.rebuilt()
	w.exact(s)
	eventually(t, "the job says that it is done", func() bool {
		return value[string](w, `select coalesce(max(metadata #>> '{output,phase}'), '') from river.river_job where kind = 'rebuild' and state = 'completed'`) == "done"
	})
	if got := value[string](w, `select metadata #>> '{output,verified,records}' from river.river_job where kind = 'rebuild' and state = 'completed' limit 1`); got != "5" {
		t.Errorf("verified %s records", got)
	}
}
