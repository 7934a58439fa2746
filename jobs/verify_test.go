package jobs_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// filled is a world whose store holds n rows, with no engine running any more.
func filled(t *testing.T, n int) *world {
	t.Helper()
	w := newWorld(t)
	_, stop := w.start()
	w.applied(rows(n))
	w.drained()
	stop()
	w.agrees()
	return w
}

// spoil makes the store differ: 1 to 3 are missing, 4 is different, x is extra.
func (w *world) spoil() {
	w.t.Helper()
	w.store.set(func(f *fake) {
		for _, k := range []string{"1", "2", "3"} {
			delete(f.targets["items"], k)
		}
		r := f.targets["items"]["4"]
		r.Doc, r.Digest = []byte(`{"v": "other"}`), backends.Digest{1}
		f.targets["items"]["4"] = r
		f.targets["items"]["900"] = backends.Record{Key: "900", Version: 1}
	})
}

// Verify finds what is missing, extra and different, names some, and repairs nothing unless it is asked to; then the
// store comes to agree.
func TestVerifyAndRepair(t *testing.T) {
	t.Parallel()
	w := filled(t, 50)
	if r := w.verify(jobs.VerifyOptions{}); !r.OK() || r.Targets[0].Records != 50 {
		t.Fatalf("a store that agrees: %+v", r)
	}
	w.spoil()
	want := jobs.TargetReport{
		Backend: "main", Kind: "item", Target: "items", Records: 50, Missing: 3, Extra: 1, Different: 1,
		Examples: []jobs.Difference{{Key: "1", What: "missing"}, {Key: "2", What: "missing"}, {Key: "3", What: "missing"}, {Key: "4", What: "different"}, {Key: "900", What: "extra"}},
	}
	logged := value[int](w, `select count(*) from outbox.log`)
	r := w.verify(jobs.VerifyOptions{Settle: time.Minute})
	if diff := cmp.Diff([]jobs.TargetReport{want}, r.Targets); diff != "" || r.OK() {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if value[int](w, `select count(*) from outbox.log`) != logged {
		t.Error("something was repaired")
	}
	want.Repaired, want.Examples = 5, want.Examples[:2]
	r = w.verify(jobs.VerifyOptions{Repair: true, Limit: 2})
	if diff := cmp.Diff([]jobs.TargetReport{want}, r.Targets); diff != "" {
		t.Errorf("report of the repair (-want +got):\n%s", diff)
	}
	w.run()
	w.drained()
	w.agrees()
	if r := w.verify(jobs.VerifyOptions{}); !r.OK() {
		t.Errorf("after the repair: %+v", r)
	}
}

// Verify compares only what it is asked for, says how far it is, and knows which names mean nothing.
func TestVerifyOptions(t *testing.T) {
	t.Parallel()
	w := filled(t, 30)
	other := newFake(t)
	w.c.Backends = append(w.c.Backends, other.config(t, "other"))
	w.c.Projections = append(w.c.Projections, jobs.Projection{Kind: "item", Backend: "other", Target: "things", Query: itemQuery})
	if err := jobs.Setup(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	if r := w.verify(jobs.VerifyOptions{Backends: []string{"main"}}); len(r.Targets) != 1 || !r.OK() {
		t.Errorf("one backend: %+v", r)
	}
	var done, total int64
	r := w.verify(jobs.VerifyOptions{
		Backends: []string{"other"}, Kinds: []string{"item"}, Settle: time.Millisecond,
		Progress: func(d, n int64) { done, total = d, n },
	})
	if len(r.Targets) != 1 || r.Targets[0].Target != "things" || done != 30 || total != 30 {
		t.Errorf("the other backend: %+v, progress %d of %d", r, done, total)
	}
	if _, err := jobs.Verify(t.Context(), w.c, jobs.VerifyOptions{Backends: []string{"nobody"}, Kinds: []string{"nothing"}}); err == nil ||
		containsAll(err.Error(), `no backend "nobody"`, `no projection of kind "nothing"`) != nil {
		t.Errorf("unknown names: %v", err)
	}
	if _, err := jobs.Verify(t.Context(), jobs.Config{}, jobs.VerifyOptions{}); err == nil {
		t.Error("an empty configuration was verified")
	}
}

// A target that was never prepared is empty, not an error; its fill, which waits, is no difference.
func TestVerifyBeforeTheFill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(rows(10))
	if err := jobs.Setup(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	r := w.verify(jobs.VerifyOptions{Settle: 10 * time.Millisecond})
	if got := r.Targets[0]; got.InFlight != 10 || !r.OK() || got.Records != 10 {
		t.Errorf("%+v", got)
	}
	w.run()
	w.drained()
	if r := w.verify(jobs.VerifyOptions{}); !r.OK() || r.Targets[0].InFlight != 0 {
		t.Errorf("after the fill: %+v", r.Targets[0])
	}
}

// A record that PostgreSQL cannot make is a difference, parked if a worker met it.
func TestVerifyUnprojectable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Projections[0].Query = `select id as key, v, 100 / (id - 7) as q from item where id = any($1::text[]::int[])`
	_, stop := w.start()
	w.applied(rows(20))
	w.drained()
	stop()
	if got := w.verify(jobs.VerifyOptions{}).Targets[0]; got.Parked != 1 || got.Missing != 0 || got.Records != 20 || got.Examples[0].Key != "7" || got.Examples[0].What != "parked" {
		t.Errorf("%+v", got)
	}
	w.exec(`delete from outbox.parked`)
	if got := w.verify(jobs.VerifyOptions{}).Targets[0]; got.Parked != 0 || got.Missing != 1 {
		t.Errorf("not parked: %+v", got)
	}
	w.store.set(func(f *fake) { f.targets["items"]["no number"] = backends.Record{Key: "no number"} })
	if got := w.verify(jobs.VerifyOptions{}).Targets[0]; got.Extra != 1 {
		t.Errorf("a key that cannot be: %+v", got)
	}
}

// However much is written meanwhile, verify never says that something differs that does not.
func TestVerifyUnderWrites(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.Lanes = 2
	w.start()
	w.applied(rows(200))
	ctx, stop := context.WithCancel(t.Context())
	var group errgroup.Group
	var wrote atomic.Int64
	for n := range 2 {
		group.Go(func() error {
			for i := 0; ctx.Err() == nil; i++ {
				sql := []string{`update item set v = $1 where id % 7 = $2`, `delete from item where v <> $1 and id % 20 = $2`, `insert into item values (1000 + $2, $1) on conflict (id) do update set v = $1`}[i%3]
				if _, err := w.pool.Exec(context.WithoutCancel(ctx), sql, fmt.Sprint(i), (n+2*i)%40); err != nil {
					return err
				}
				wrote.Add(1)
			}
			return nil
		})
	}
	for range 4 {
		before := wrote.Load()
		if r := w.verify(jobs.VerifyOptions{Settle: 300 * time.Millisecond}); !r.OK() {
			t.Errorf("a false alarm: %+v", r.Targets[0])
		}
		eventually(t, "something was written meanwhile", func() bool { return wrote.Load() > before })
	}
	stop()
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	w.drained()
	w.agrees()
	if r := w.verify(jobs.VerifyOptions{}); !r.OK() || r.Targets[0].InFlight != 0 {
		t.Errorf("afterwards: %+v", r.Targets[0])
	}
}

// Many differences are counted all, and named up to the limit.
func TestVerifyCountsAll(t *testing.T) {
	t.Parallel()
	w := filled(t, 4503)
	w.store.set(func(f *fake) {
		for i := range 4500 {
			delete(f.targets["items"], strconv.Itoa(i+1))
		}
	})
	got := w.verify(jobs.VerifyOptions{}).Targets[0]
	if got.Missing != 4500 || got.Records != 4503 || len(got.Examples) != 20 {
		t.Errorf("%d missing of %d, %d named", got.Missing, got.Records, len(got.Examples))
	}
}

// The connection that a verify used goes back as it came, also when the store fails in the middle.
func TestVerifyCleansUp(t *testing.T) {
	t.Parallel()
	w := filled(t, 3)
	w.store.set(func(f *fake) { f.onScan = func(context.Context, int) error { return fails(backends.Transient) } })
	if _, err := jobs.Verify(t.Context(), w.c, jobs.VerifyOptions{}); err == nil || containsAll(err.Error(), "kind item in target items of backend main", "as commanded") != nil {
		t.Errorf("got %v", err)
	}
	if n := value[int](w, `select count(*) from pg_class where relname like 'verify\_%'`); n != 0 {
		t.Errorf("%d temporary tables are left", n)
	}
}

// A verify job records what it found in each target; when one fails, the next attempt goes on with that one and
// keeps what is known of the others.
func TestVerifyJobResumes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Projections = append(w.c.Projections, jobs.Projection{Kind: "item", Backend: "main", Target: "more", Query: itemQuery})
	w.start()
	w.applied(rows(5))
	w.drained()
	var scans atomic.Int64
	w.store.set(func(f *fake) {
		delete(f.targets["items"], "2")
		f.onScan = func(context.Context, int) error {
			if scans.Add(1) == 2 { // the second target
				return fails(backends.Transient)
			}
			return nil
		}
	})
	w.enqueue(jobs.VerifyArgs{Backend: "main"}, "main")
	job := `select coalesce(max(%s), '') from river.river_job where kind = 'verify'`
	eventually(t, "the verify is done", func() bool { return value[string](w, fmt.Sprintf(job, "state::text")) == "completed" })
	if n := scans.Load(); n != 3 {
		t.Errorf("%d scans: the first target was compared again", n)
	}
	got := value[string](w, fmt.Sprintf(job, `(metadata->'output'->'targets')::text`))
	if strings.Count(got, `"kind"`) != 2 || containsAll(got, `"missing": 1`, `"target": "items"`, `"target": "more"`) != nil {
		t.Errorf("the output is %s", got)
	}
}

// A verify job of a backend that this process does not have waits for one that has it.
func TestVerifyJobWaitsForItsProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.enqueue(jobs.VerifyArgs{Backend: "other"}, "main")
	eventually(t, "it was looked at", func() bool {
		return value[int](w, `select count(*) from river.river_job where kind = 'verify' and metadata->>'snoozes' is not null and attempt = 0`) == 1
	})
}

// What a backend has not applied because nobody works it is in flight, not different.
func TestVerifyOfPausedBackend(t *testing.T) {
	t.Parallel()
	w := filled(t, 5)
	if err := outbox.Pause(t.Context(), w.pool, "main", "operator", "maintenance"); err != nil {
		t.Fatal(err)
	}
	w.exec(`update item set v = 'waiting' where id = 1`)
	w.exec(`delete from item where id = 2`)
	r := w.verify(jobs.VerifyOptions{Settle: 20 * time.Millisecond})
	if got := r.Targets[0]; !r.OK() || got.InFlight != 2 {
		t.Errorf("%+v", got)
	}
}
