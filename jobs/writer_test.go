package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
)

// patient makes tenures long and saves rare, so that a test decides when either happens.
func (w *world) patient() {
	w.c.Settings.Lease, w.c.Settings.Slice, w.c.Settings.Linger, w.c.Settings.SaveEvery = time.Minute, time.Minute, time.Minute, 25*time.Second
}

// holding says whether a batch has the key.
func holding(rs []backends.Record, key string) bool {
	return slices.ContainsFunc(rs, func(r backends.Record) bool { return r.Key == key })
}

// failures is how many jobs have failed.
func (w *world) failures() int {
	w.t.Helper()
	return value[int](w, `select count(*) from river.river_job where cardinality(errors) > 0`)
}

// has waits until the store holds a document for a key.
func (w *world) has(key, v string) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("item %s is %s", key, v), func() bool { return w.store.holds("items")[key] == fmt.Sprintf(`{"v": %q}`, v) })
}

// A record that is refused twice between two saves is parked once, and one that is refused and then taken is not.
func TestLastOutcomeCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.patient()
	var refused sync.Map
	w.store.refuse = func(r backends.Record) *backends.Error {
		if bytesHave(r.Doc, "poison") {
			refused.Store(string(r.Doc), true)
			return fails(backends.Rejected)
		}
		return nil
	}
	seen := func(v string) func() bool {
		return func() bool { _, ok := refused.Load(fmt.Sprintf(`{"v": %q}`, v)); return ok }
	}
	_, stop := w.start()
	w.applied(rows(3)) // saved at once; what follows is saved in the end
	for _, v := range []string{"poison one", "poison two"} {
		w.exec(`update item set v = $1 where id < 3`, v)
		eventually(t, "it is refused", seen(v))
	}
	w.exec(`update item set v = 'good' where id = 1`)
	w.has("1", "good")
	stop()
	if n := w.failures(); n != 0 {
		t.Errorf("%d jobs failed: %s", n, value[string](w, `select string_agg(errors::text, ' ') from river.river_job`))
	}
	if got := value[string](w, `select string_agg(key || ' ' || attempts, ',') from outbox.parked`); got != "2 1" {
		t.Errorf("parked: %s", got)
	}
}

// A failure in the answer for one record decides about that record: what may have arrived is suspect, whatever the
// others say.
func TestEachAnswerCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var first sync.Map
	w.store.refuse = func(r backends.Record) *backends.Error {
		if _, again := first.LoadOrStore(r.Key, true); again {
			return nil
		}
		return map[string]*backends.Error{"1": fails(backends.Unknown), "2": fails(backends.Transient), "3": fails(backends.Overload)}[r.Key]
	}
	w.start()
	w.applied(rows(4))
	w.agrees()
	if got := value[string](w, `select string_agg(keys::text, ',') from outbox.suspects`); got != "{1}" {
		t.Errorf("suspect: %s", got)
	}
}

// A page that a store keeps waiting does not hold up the position behind the page before; and what was sent of it is
// logged again when the lane is lost, although a save came in between.
func TestSavesGoOnWhileAStoreHangs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.PortionBytes, w.c.Settings.SaveEvery, w.c.Settings.Slice = 1<<10, 300*time.Millisecond, time.Minute
	w.c.Settings.Lease, w.c.Settings.Linger = 5*time.Second, 10*time.Second
	hangs, free := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.store.onWrite = func(ctx context.Context, _ int, rs []backends.Record) error {
		if holding(rs, "104") {
			once.Do(func() { close(hangs) })
			select {
			case <-free:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
	w.start()
	w.applied(rows(1))
	before := w.write(`insert into item values (2, 'before')`)
	w.has("2", "before")
	w.exec(`insert into item select g, repeat('x', 600) from generate_series(100, 109) g`)
	<-hangs
	w.wait(before)
	if _, sent := w.store.holds("items")["100"]; !sent {
		t.Error("the page is one portion: the test shows nothing")
	}
	w.exec(`update outbox.lanes set owner = 'thief', epoch = outbox.next_version(version), version = outbox.next_version(version) + 100000, expires = clock_timestamp() + interval '300 ms'`)
	eventually(t, "what was sent without a lease is logged again", func() bool {
		return value[int](w, `select count(distinct k) from outbox.log, unnest(keys) k where backend = 'main' and k in ('100', '104')`) == 2
	})
	close(free)
	w.applied(`update item set v = 'after' where id = 1`)
	w.agrees()
}

// The position moves behind a page when its last record is acknowledged, not before; and it is saved no more often
// than SaveEvery.
func TestPositionsFollowAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.SaveEvery = 100 * time.Millisecond
	w.exec(`create table saves (epoch bigint, at timestamptz default clock_timestamp())`)
	w.exec(`create function note_save() returns trigger language plpgsql as $$ begin
		if new.position::text <> old.position::text and new.owner is not null then insert into saves (epoch) values (new.epoch); end if; return new; end $$`)
	w.exec(`create trigger note_save after update on outbox.lanes for each row execute function note_save()`)
	has, answers := make(chan struct{}), make(chan struct{})
	var hold atomic.Bool
	w.store.afterward = func(int) error {
		if hold.CompareAndSwap(true, false) {
			close(has)
			<-answers
		}
		return nil
	}
	w.start()
	w.applied(rows(10))
	w.drained()
	hold.Store(true)
	token := w.write(`update item set v = 'held'`)
	<-has
	for range 20 {
		if value[bool](w, `select outbox.reached($1::text::xid8, 'main')`, token) {
			t.Fatal("the position moved before the answer")
		}
	}
	close(answers)
	w.wait(token)
	for i := range 30 {
		w.exec(`update item set v = $1`, fmt.Sprint(i))
	}
	w.applied(`update item set v = 'last'`)
	w.drained()
	var early int
	if err := w.pool.QueryRow(t.Context(), `
select count(*) from (select at - lag(at) over w as gap, lead(at) over w is null as last from saves window w as (partition by epoch order by at)) s
 where gap < interval '100 ms' and not last`).Scan(&early); err != nil { // the end of a tenure saves at any time
		t.Fatal(err)
	}
	if early > 0 {
		t.Errorf("%d saves came early", early)
	}
}

// A process that ends between a write and the save repeats the write; the next owner suspects what it had in hand.
func TestEndBetweenWriteAndSave(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.Lease = time.Second
	var ended atomic.Bool
	w.store.afterward = func(int) error {
		if ended.CompareAndSwap(false, true) { // as if the process were gone: its lease runs out, nobody saves for it
			w.exec(`update outbox.lanes set epoch = outbox.next_version(version), version = outbox.next_version(version) + 100000, expires = '-infinity'`)
		}
		return nil
	}
	_, stop := w.start()
	w.applied(rows(20))
	w.agrees()
	stop()
	if w.store.sent < 40 {
		t.Errorf("20 records were sent %d times in all", w.store.sent)
	}
}

// A version that the store holds, and does not tell, is asked for.
func TestVersionsRiseAboveWhatIsNotTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ahead := int64(1) << 52
	w.store.silent = true
	w.store.targets["items"] = map[string]backends.Record{"3": {Key: "3", Version: ahead}}
	w.start()
	w.applied(rows(5))
	w.agrees()
	if v := w.store.held("items", "3").Version; v <= ahead {
		t.Errorf("the version is %d", v)
	}
}

// A version that is none of ours parks the record instead of using up all numbers.
func TestForeignVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store.stored["4"] = 1 << 53
	w.start()
	w.applied(rows(5))
	if got := value[string](w, `select key || ': ' || error || advice from outbox.parked`); containsAll(got, "4: the store holds version 9007199254740992", "delete it in the store") != nil {
		t.Errorf("parked: %s", got)
	}
	if n := len(w.store.holds("items")); n != 4 {
		t.Errorf("the store holds %d records", n)
	}
}

// Versions that rise in turns with another writer's end in an error that says so, not in a race.
func TestRivalWriter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.Patience = 300 * time.Millisecond
	var rival atomic.Bool
	rival.Store(true)
	w.store.claim = func(r backends.Record) int64 {
		if r.Key == "2" && rival.Load() {
			return r.Version + 1
		}
		return 0
	}
	w.start()
	token := w.write(rows(3))
	eventually(t, "a job fails", func() bool { return w.failures() > 0 })
	if err := containsAll(value[string](w, `select errors::text from river.river_job where cardinality(errors) > 0 limit 1`), "ever higher versions", "another database"); err != nil {
		t.Error(err)
	}
	rival.Store(false)
	w.wait(token)
	w.agrees()
}

// What a store at its limit found out for one batch holds for the next.
func TestOverloadIsRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.BatchRecords = 100
	w.store.features.Concurrency = 1
	var overloads atomic.Int64
	w.store.onWrite = func(_ context.Context, _ int, rs []backends.Record) error {
		if len(rs) > 10 {
			overloads.Add(1)
			return fails(backends.Overload)
		}
		return nil
	}
	w.start()
	w.applied(rows(600))
	w.agrees()
	if n := overloads.Load(); n > 12 { // four to find the limit, the others to try it again
		t.Errorf("it was asked for too much %d times", n)
	}
}

// A request has as many records as are configured, or as suit the backend, and never more than it takes.
func TestRecordsOfARequest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ configured, suit, most, want int }{
		{0, 0, 0, 1000}, {0, 70, 0, 70}, {0, 70, 50, 50}, {40, 70, 50, 40}, {90, 70, 0, 90}, {0, 2000, 5000, 2000}, {90, 0, 80, 80},
	} {
		w := newWorld(t)
		w.c.Settings.BatchRecords, w.store.features.Records, w.store.features.MaxRecords = c.configured, c.suit, c.most
		w.start()
		w.applied(rows(1)) // the fill is over
		w.applied(`insert into item select i, 'x' from generate_series(2, 3500) i`)
		if w.store.widest != c.want {
			t.Errorf("%+v: the largest request has %d records", c, w.store.widest)
		}
	}
}

// A backend that panics is one that fails: the process goes on, and so does the lane.
func TestPanickingBackend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store.onWrite = func(_ context.Context, n int, _ []backends.Record) error {
		if n == 1 {
			panic("as commanded")
		}
		return nil
	}
	w.start()
	w.applied(rows(5))
	w.agrees()
}

// An outage in which every answer is lost makes records suspect once a job, not with every try.
func TestSuspectsAreFew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.Patience = 20 * time.Second
	w.c.Settings.Lease = 30 * time.Second
	var tries atomic.Int64
	w.store.onWrite = func(context.Context, int, []backends.Record) error {
		if tries.Add(1) <= 5 {
			return errors.New("connection reset")
		}
		return nil
	}
	w.start()
	w.applied(rows(5))
	w.agrees()
	if n := value[int](w, `select count(*) from outbox.suspects`); n != 1 {
		t.Errorf("five tries made %d suspects", n)
	}
}

// The batches of a portion are under way at the same time, as many as the store takes.
func TestBatchesAreParallel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store.features = backends.Features{Concurrency: 3, MaxRecords: 10}
	var barrier sync.WaitGroup
	barrier.Add(3)
	w.store.onWrite = func(_ context.Context, n int, _ []backends.Record) error {
		if n <= 3 {
			barrier.Done()
			barrier.Wait() // for ever, if they came one after the other
		}
		return nil
	}
	w.exec(rows(30))
	w.start()
	eventually(t, "all batches are written", func() bool { return len(w.store.holds("items")) == 30 })
}

// A backend with a missing target is prepared again once a store has other trouble no more.
func TestMendingWaitsForTheStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var gone atomic.Bool
	w.store.onWrite = func(context.Context, int, []backends.Record) error {
		if gone.Load() {
			return fails(backends.Schema)
		}
		return nil
	}
	var tries atomic.Int64
	w.store.onPrepare = func(context.Context, int) error {
		if gone.Load() && tries.Add(1) < 3 {
			return fails(backends.Transient)
		}
		gone.Store(false)
		return nil
	}
	w.start()
	w.applied(rows(5))
	gone.Store(true)
	w.applied(`update item set v = 'x'`)
	w.agrees()
	if n := w.failures(); n != 0 {
		t.Errorf("%d jobs failed", n)
	}
	if diff := cmp.Diff(true, w.verify(jobs.VerifyOptions{}).OK()); diff != "" {
		t.Error(diff)
	}
}
