package jobs_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/content"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// knowing is a fake that can compare what it holds, and count it.
type knowing struct {
	*fake
	mu       sync.Mutex
	compared []string // keys, in the order of their coming
	widest   int      // bytes of the largest question
	counted  int
	before   func() error // before an answer
}

// knows makes the world's store one that can compare and count.
func (w *world) knows() *knowing {
	w.t.Helper()
	k := &knowing{fake: w.store}
	fakes.Store(w.c.Backends[0].Settings["id"], k)
	return k
}

func (k *knowing) Compare(_ context.Context, t backends.Target, records []backends.Record) ([]backends.Mismatch, error) {
	k.mu.Lock()
	size := 0
	for _, r := range records {
		k.compared = append(k.compared, r.Key)
		size += r.Size()
	}
	k.widest = max(k.widest, size)
	before := k.before
	k.mu.Unlock()
	if before != nil {
		if err := before(); err != nil {
			return nil, err
		}
	}
	var found []backends.Mismatch
	for _, r := range records {
		held := k.held(t.Name, r.Key)
		if held.Key == "" {
			continue
		}
		columns, err := content.Differ(r.Doc, held.Doc)
		if err != nil {
			return nil, err
		}
		if len(columns) > 0 {
			found = append(found, backends.Mismatch{Key: r.Key, Columns: columns})
		}
	}
	return found, nil
}

func (k *knowing) Count(_ context.Context, t backends.Target) (int64, error) {
	k.mu.Lock()
	k.counted++
	k.mu.Unlock()
	return int64(len(k.holds(t.Name))), nil
}

// forge changes what the store holds of keys, behind unchanged digests.
func (w *world) forge(keys ...string) {
	w.t.Helper()
	w.store.set(func(f *fake) {
		for _, key := range keys {
			r := f.targets["items"][key]
			r.Doc = []byte(`{"v": "forged", "w": 1}`)
			f.targets["items"][key] = r
		}
	})
}

// A content that was changed behind an unchanged digest is found by a deep verify alone, by column; the other
// differences are found as ever; the repair mends all of them.
func TestVerifyDeep(t *testing.T) {
	t.Parallel()
	w := filled(t, 4500)
	w.knows()
	w.forge("7", "4400")
	if r := w.verify(jobs.VerifyOptions{}); !r.OK() || r.Targets[0].Deep != 0 {
		t.Fatalf("a shallow verify: %+v", r.Targets[0])
	}
	w.spoil()
	want := jobs.TargetReport{
		Backend: "main", Kind: "item", Target: "items", Counts: &jobs.Counts{Postgres: 4500, Store: 4498}, Records: 4500, Deep: 4500,
		Missing: 3, Extra: 1, Different: 3, Repaired: 7, Columns: map[string]int64{"v": 3, "w": 2},
		Examples: []jobs.Difference{
			{Key: "1", What: "missing"},
			{Key: "2", What: "missing"},
			{Key: "3", What: "missing"},
			{Key: "4", What: "different", Columns: []string{"v"}},
			{Key: "4400", What: "different", Columns: []string{"v", "w"}},
			{Key: "7", What: "different", Columns: []string{"v", "w"}},
			{Key: "900", What: "different"},
		},
	}
	w.store.set(func(f *fake) {
		delete(f.targets["items"], "900")
		f.targets["items"]["9000"] = backends.Record{Key: "9000", Version: 1, Doc: []byte("{}")}
	})
	want.Counts.Store, want.Missing, want.Repaired = 4497, 4, 8
	want.Examples[6] = jobs.Difference{Key: "900", What: "missing"}
	want.Examples = append(want.Examples, jobs.Difference{Key: "9000", What: "extra"})
	r := w.verify(jobs.VerifyOptions{Deep: true, Repair: true})
	if diff := cmp.Diff([]jobs.TargetReport{want}, r.Targets); diff != "" || r.OK() {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	w.run()
	w.drained()
	w.agrees()
	if r := w.verify(jobs.VerifyOptions{Deep: true}); !r.OK() || r.Targets[0].Deep != 4500 {
		t.Errorf("after the repair: %+v", r.Targets[0])
	}
}

// However much is written meanwhile, a deep verify never says that something differs that does not.
func TestVerifyDeepUnderWrites(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.knows()
	w.start()
	w.applied(rows(300))
	n := 0
	k.before = func() error { // between PostgreSQL's answer and the store's
		n++
		_, err := w.pool.Exec(t.Context(), `update item set v = $1 where id % 3 = $2`, fmt.Sprint(n), n%3)
		return err
	}
	for range 3 {
		if r := w.verify(jobs.VerifyOptions{Deep: true, Settle: 200 * time.Millisecond}); !r.OK() {
			t.Errorf("a false alarm: %+v", r.Targets[0])
		}
	}
	k.mu.Lock()
	k.before = nil
	k.mu.Unlock()
	w.drained()
	if r := w.verify(jobs.VerifyOptions{Deep: true}); !r.OK() || r.Targets[0].InFlight != 0 {
		t.Errorf("afterwards: %+v", r.Targets[0])
	}
}

// A deep verify holds a portion of records, and no more, however many there are and however large.
func TestVerifyDeepInBoundedMemory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.PortionBytes = 64 << 10
	k := w.knows()
	w.exec(`insert into item select i, repeat('x', 4000) from generate_series(1, 400) i`)
	_, stop := w.start()
	w.drained()
	stop()
	if r := w.verify(jobs.VerifyOptions{Deep: true}); !r.OK() || r.Targets[0].Deep != 400 {
		t.Fatalf("%+v", r.Targets[0])
	}
	if k.widest == 0 || k.widest > 64<<10+8<<10 {
		t.Errorf("records of %d bytes were compared at once", k.widest)
	}
}

// A store that cannot read back what it holds cannot be verified deeply, and says so; one whose digests are of what it
// holds is verified deeply by them.
func TestVerifyDeepNeedsAStoreThatCan(t *testing.T) {
	t.Parallel()
	w := filled(t, 5)
	if _, err := jobs.Verify(t.Context(), w.c, jobs.VerifyOptions{Deep: true}); err == nil || !strings.Contains(err.Error(), "cannot read back what it holds") {
		t.Errorf("got %v", err)
	}
	w.c.Limits = map[string]jobs.Limits{"main": {Verify: jobs.Schedule{Every: time.Hour, Deep: true}}}
	if _, err := jobs.New(t.Context(), w.c); err == nil || !strings.Contains(err.Error(), "its scheduled verify: its type cannot read back") {
		t.Errorf("a schedule: %v", err)
	}
	w.store.set(func(f *fake) { f.features.Recomputed = true })
	if r := w.verify(jobs.VerifyOptions{Deep: true}); !r.OK() || r.Targets[0].Deep != 5 {
		t.Errorf("%+v", r.Targets[0])
	}
}

// A verify job counts first, shows that in River, and compares content if it is asked to.
func TestVerifyJobDeep(t *testing.T) {
	t.Parallel()
	w := filled(t, 5)
	k := w.knows()
	w.forge("3")
	shown := make(chan string, 10)
	k.before = func() error {
		shown <- value[string](w, `select coalesce((metadata->'output')::text, '') from river.river_job where kind = 'verify'`)
		return nil
	}
	w.run()
	w.enqueue(jobs.VerifyArgs{Backend: "main", Deep: true, Repair: true}, "main")
	if got := <-shown; containsAll(got, `"postgres": 5`, `"store": 5`) != nil {
		t.Errorf("before it compares, the output is %s", got)
	}
	eventually(t, "the verify is done", func() bool {
		return value[int](w, `select count(*) from river.river_job where kind = 'verify' and state = 'completed'`) == 1
	})
	eventually(t, "it is mended", func() bool { return string(w.store.held("items", "3").Doc) != `{"v": "forged", "w": 1}` })
	results, err := jobs.Results(t.Context(), w.pool)
	if err != nil || len(results) != 1 || results[0].Different != 1 || results[0].By != "job" || !results[0].Deeply || results[0].Deep != 5 || results[0].Columns["v"] != 1 {
		t.Errorf("the result is %+v, %v", results, err)
	}
	events, err := outbox.Events(t.Context(), w.pool, outbox.EventFilter{What: "repaired"}, 10)
	if err != nil || len(events) != 1 || events[0].Backend != "main" || !strings.Contains(events[0].Reason, "1 different") {
		t.Errorf("the events are %+v, %v", events, err)
	}
}

// The counts of both sides come before anything is compared; the projection's, not the table's.
func TestVerifyCountsFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Projections[0].Query = `select id as key, v from item where id = any($1::text[]::int[]) and id % 2 = 0`
	k := w.knows()
	_, stop := w.start()
	w.applied(rows(40))
	w.drained()
	stop()
	w.store.set(func(f *fake) {
		delete(f.targets["items"], "2")
		f.onScan = func(context.Context, int) error { return fails(backends.Transient) }
	})
	var counted []jobs.Counts
	o := jobs.VerifyOptions{Counted: func(r jobs.TargetReport) { counted = append(counted, *r.Counts) }}
	if _, err := jobs.Verify(t.Context(), w.c, o); err == nil {
		t.Error("a store that cannot be scanned was verified")
	}
	if diff := cmp.Diff([]jobs.Counts{{Postgres: 20, Store: 19}}, counted); diff != "" || k.counted != 1 {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
}

// A count alone tells equal from different, and both from what cannot be told because changes are under way. A store
// that cannot count is scanned.
func TestVerifyCountAlone(t *testing.T) {
	t.Parallel()
	for _, can := range []bool{true, false} {
		t.Run(strconv.FormatBool(can), func(t *testing.T) {
			t.Parallel()
			w := filled(t, 10)
			if can {
				w.knows()
			}
			count := func(want jobs.Counts, ok bool) {
				t.Helper()
				r := w.verify(jobs.VerifyOptions{Count: true, Settle: 100 * time.Millisecond})
				if diff := cmp.Diff(want, *r.Targets[0].Counts); diff != "" || r.OK() != ok {
					t.Errorf("%v, counts (-want +got):\n%s", r.OK(), diff)
				}
			}
			w.store.set(func(f *fake) { // the content is another: a count does not see it
				r := f.targets["items"]["4"]
				r.Digest = backends.Digest{1}
				f.targets["items"]["4"] = r
			})
			count(jobs.Counts{Postgres: 10, Store: 10}, true)
			w.store.set(func(f *fake) { delete(f.targets["items"], "1") })
			count(jobs.Counts{Postgres: 10, Store: 9, Differ: true}, false)
			w.exec(`insert into item values (11, 'waits')`)
			count(jobs.Counts{Postgres: 11, Store: 9, InFlight: true}, true)
			if results, err := jobs.Results(t.Context(), w.pool); err != nil || len(results) != 0 {
				t.Errorf("counts are kept as results: %+v, %v", results, err)
			}
		})
	}
}

// A record that PostgreSQL cannot make is counted, as it is compared.
func TestVerifyCountsUnprojectable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Projections[0].Query = `select id as key, v from item where id = any($1::text[]::int[]) and 100 / (id - 7) < 200`
	w.knows()
	_, stop := w.start()
	w.applied(rows(20))
	w.drained()
	stop()
	r := w.verify(jobs.VerifyOptions{Count: true, Settle: time.Second})
	if got := *r.Targets[0].Counts; got.Postgres != 20 || got.Store != 19 || !got.Differ {
		t.Errorf("%+v", got)
	}
}
