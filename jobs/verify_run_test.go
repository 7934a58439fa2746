package jobs_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// scheduled makes the world's backend one that is verified by a schedule.
func (w *world) scheduled(s jobs.Schedule) {
	w.c.Limits = map[string]jobs.Limits{"main": {Verify: s}}
}

// result waits for what a scheduled verify finds.
func (w *world) result() jobs.Result {
	w.t.Helper()
	eventually(w.t, "the scheduled verify is over", func() bool {
		return value[int](w, `select count(*) from outbox.verifying where ended is not null`) == 1
	})
	results, err := jobs.Results(w.t.Context(), w.pool)
	if err != nil || len(results) != 1 {
		w.t.Fatalf("results: %+v, %v", results, err)
	}
	return results[0]
}

// A verify that is due begins by itself, finds what differs in either direction, mends it, and is not due again.
func TestScheduledVerify(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ counts, deep bool }{{false, false}, {true, true}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			t.Parallel()
			w := filled(t, 2500)
			w.spoil()
			w.store.set(func(f *fake) {
				f.targets["items"]["9000"] = backends.Record{Key: "9000", Version: 1, Doc: []byte("{}")}
			})
			if c.counts {
				w.knows()
				w.forge("2499")
			}
			w.scheduled(jobs.Schedule{Every: 24 * time.Hour, Repair: true, Deep: c.deep, Rate: 1_000_000})
			e, _ := w.run()
			got := w.result()
			want := jobs.TargetReport{
				Backend: "main", Kind: "item", Target: "items", Records: 2500, Missing: 3, Extra: 1, Different: 2, Repaired: 6,
				Examples: []jobs.Difference{{Key: "1", What: "missing"}, {Key: "2", What: "missing"}, {Key: "3", What: "missing"}, {Key: "4", What: "different"}, {Key: "900", What: "different"}},
			}
			if c.counts {
				want.Counts, want.Deep, want.Different, want.Repaired = &jobs.Counts{Postgres: 2500, Store: 2498}, 2500, 3, 7
				want.Columns = map[string]int64{"v": 3, "w": 1}
				want.Examples[2], want.Examples[3] = jobs.Difference{Key: "2499", What: "different", Columns: []string{"v", "w"}}, want.Examples[2]
				want.Examples[4] = jobs.Difference{Key: "4", What: "different", Columns: []string{"v"}}
			}
			if diff := cmp.Diff(want, got.TargetReport); diff != "" || got.By != "schedule" || got.Deeply != c.deep || !got.Repair {
				t.Errorf("%+v, report (-want +got):\n%s", got, diff)
			}
			w.drained()
			w.agrees()
			if err := e.ScheduleVerifies(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := value[int](w, `select count(*) from river.river_job where kind = 'verify'`); n != 1 {
				t.Errorf("%d verifies were begun", n)
			}
			output := value[string](w, `select (metadata->'output')::text from river.river_job where kind = 'verify'`)
			if containsAll(output, `"missing": 3`, `"extra": 1`) != nil {
				t.Errorf("River shows %s", output)
			}
			w.spoilAgain(e)
		})
	}
}

// spoilAgain makes a verify due once more, of a store without differences.
func (w *world) spoilAgain(e *jobs.Engine) {
	w.t.Helper()
	w.exec(`update outbox.verifying set began = began - interval '2 days'`)
	eventually(w.t, "another one is begun", func() bool { // once River knows that the one before is over
		if err := e.ScheduleVerifies(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		return value[int](w, `select count(*) from river.river_job where kind = 'verify'`) == 2
	})
	if got := w.result(); !got.OK() || got.Records != 2500 {
		w.t.Errorf("the next one: %+v", got)
	}
}

// When the engine ends in the middle, the verify goes on at the key that it had reached, with what it had found.
func TestScheduledVerifyGoesOn(t *testing.T) {
	t.Parallel()
	w := filled(t, 9000)
	k := w.knows()
	w.store.set(func(f *fake) { delete(f.targets["items"], "1") })
	w.scheduled(jobs.Schedule{Every: time.Hour, Deep: true, Rate: 1_000_000})
	reached, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	k.before = func() error {
		if len(k.seen()) > 4000 {
			once.Do(func() { close(reached) })
			<-goOn
		}
		return nil
	}
	_, stop := w.run()
	<-reached
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop() }()
	eventually(t, "the engine is ending", func() bool { return value[int](w, `select count(*) from outbox.verifying where ended is null`) == 1 })
	close(goOn)
	<-stopped
	first := k.seen()
	slices.Sort(first)
	if len(first) < 4000 || len(first) == 9000 {
		t.Fatalf("%d records were compared before the end", len(first))
	}
	_, stop = w.run()
	defer stop()
	got := w.result()
	if got.Records != 9000 || got.Deep != 9000 || got.Missing != 1 || got.Different+got.Extra+got.InFlight != 0 || got.Counts.Store != 8999 {
		t.Errorf("%+v", got.TargetReport)
	}
	again := 0
	for _, key := range k.seen()[len(first):] {
		if _, twice := slices.BinarySearch(first, key); twice {
			again++
		}
	}
	if again > 2000+1 { // the step that was cut, and what was missing
		t.Errorf("%d records of %d were compared again", again, len(first))
	}
}

// seen are the keys that were compared.
func (k *knowing) seen() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.compared)
}

// However many processes look whether one is due, one begins; and none while the backend is paused, or one is under way.
func TestScheduledVerifyBeginsOnce(t *testing.T) {
	t.Parallel()
	w := filled(t, 3)
	w.scheduled(jobs.Schedule{Every: time.Minute})
	if err := outbox.Pause(t.Context(), w.pool, "main", "operator", "maintenance"); err != nil {
		t.Fatal(err)
	}
	engines := make([]*jobs.Engine, 3)
	for i := range engines {
		engines[i], _ = w.run()
	}
	begin := func() int {
		t.Helper()
		var group errgroup.Group
		for range 4 {
			for _, e := range engines {
				group.Go(func() error { return e.ScheduleVerifies(context.WithoutCancel(t.Context())) })
			}
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		return value[int](w, `select count(*) from river.river_job where kind = 'verify'`)
	}
	if n := begin(); n != 0 {
		t.Errorf("%d verifies of a paused backend were begun", n)
	}
	if err := outbox.Resume(t.Context(), w.pool, "main"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one is begun", func() bool { return begin() > 0 })
	if n := begin(); n != 1 {
		t.Errorf("%d verifies were begun", n)
	}
	w.result()
	w.exec(`update river.river_job set state = 'scheduled', finalized_at = null, scheduled_at = now() + interval '1 day' where kind = 'verify'`)
	w.exec(`update outbox.verifying set began = began - interval '1 day'`)
	if n := begin(); n != 1 {
		t.Errorf("%d verifies were begun while one was under way", n)
	}
}

// No more records are read in a second than the rate says.
func TestScheduledVerifyKeepsItsRate(t *testing.T) {
	t.Parallel()
	w := filled(t, 450)
	k := w.knows()
	w.scheduled(jobs.Schedule{Every: time.Hour, Deep: true, Rate: 300})
	var began atomic.Int64
	k.before = func() error {
		began.CompareAndSwap(0, time.Now().UnixNano())
		return nil
	}
	w.run()
	before := time.Now()
	got := w.result()
	if took := time.Since(before); got.Records != 450 || took < 400*time.Millisecond { // the first 300 come at once
		t.Errorf("%d records in %s", got.Records, took)
	}
}
