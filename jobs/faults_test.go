package jobs_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// A store that fails for a while is written to when it is back, and another backend does not notice.
func TestTransientFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := newFake(t)
	w.c.Backends = append(w.c.Backends, other.config(t, "other"))
	w.c.Projections = append(w.c.Projections, jobs.Projection{Kind: "item", Backend: "other", Target: "items", Query: itemQuery})
	var down atomic.Bool
	down.Store(true)
	var tries atomic.Int64
	w.store.onWrite = func(context.Context, int, []backends.Record) error {
		if down.Load() {
			tries.Add(1)
			return fails(backends.Transient)
		}
		return nil
	}
	w.start()
	token := w.write(rows(50))
	w.wait(token, "other")
	if n := len(w.store.holds("items")); n != 0 {
		t.Errorf("the failing store holds %d records", n)
	}
	eventually(t, "several tries, of several jobs", func() bool {
		return tries.Load() > 3 && value[int](w, `select count(*) from river.river_job where queue = 'main' and cardinality(errors) > 0`) > 0
	})
	down.Store(false)
	w.wait(token)
	w.agrees()
}

// A store that asks for less gets smaller batches.
func TestOverload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store.onWrite = func(_ context.Context, _ int, rs []backends.Record) error {
		if len(rs) > 10 {
			return fails(backends.Overload)
		}
		return nil
	}
	w.start()
	w.applied(rows(100))
	w.agrees()
}

// A record that the store refuses is parked with its reason, the others go in; when it is mended it leaves.
func TestPark(t *testing.T) {
	t.Parallel()
	for name, whole := range map[string]bool{"alone": false, "the whole request": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			poison := func(r backends.Record) bool { return string(r.Doc) == `{"v": "poison"}` }
			if whole {
				w.store.onWrite = func(_ context.Context, _ int, rs []backends.Record) error {
					if slices.ContainsFunc(rs, poison) {
						return fails(backends.Rejected)
					}
					return nil
				}
			} else {
				w.store.refuse = func(r backends.Record) *backends.Error {
					if poison(r) {
						return &backends.Error{Op: "write", Class: backends.Rejected, Advice: "use no \x00 poison", Err: errors.New("poisonous\x00 \xff")}
					}
					return nil
				}
			}
			w.start()
			w.applied(rows(300), `update item set v = 'poison' where id in (7, 200)`)
			if n := len(w.store.holds("items")); n != 298 {
				t.Errorf("the store holds %d records, want 298", n)
			}
			if got := value[string](w, `select string_agg(key || ' ' || class || ' ' || attempts, ', ' order by key) from outbox.parked where backend = 'main' and kind = 'item' and target = 'items' and error <> '' and advice <> ''`); got != "200 rejected 1, 7 rejected 1" {
				t.Errorf("parked: %s", got)
			}
			r := w.verify(jobs.VerifyOptions{})
			if r.OK() || r.Targets[0].Parked != 2 || r.Targets[0].Missing != 0 {
				t.Errorf("verify says %+v", r.Targets[0])
			}
			w.applied(`update item set v = 'good' where id = 7`, `delete from item where id = 200`)
			w.agrees()
			eventually(t, "nothing is parked", func() bool { return value[int](w, `select count(*) from outbox.parked`) == 0 })
		})
	}
}

// A row for which the projection's query fails is parked; it does not block the others.
func TestPoisonousQuery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Projections[0].Query = `select id as key, v, 100 / (id - 77) as q from item where id = any($1::text[]::int[])`
	w.start()
	w.applied(rows(300))
	if n := len(w.store.holds("items")); n != 299 {
		t.Errorf("the store holds %d records, want 299", n)
	}
	if got := value[string](w, `select string_agg(key, ',') from outbox.parked`); got != "77" {
		t.Errorf("parked: %s", got)
	}
	w.applied(`select outbox.changed('item', array['no number'])`)
	if got := value[string](w, `select string_agg(key, ',' order by key) from outbox.parked`); got != "77,no number" {
		t.Errorf("parked: %s", got)
	}
	w.applied(`delete from item where id = 77`)
	eventually(t, "77 is not parked", func() bool { return value[int](w, `select count(*) from outbox.parked where key = '77'`) == 0 })
}

// A projection that yields a key twice, or one that was not asked for, says so.
func TestStrayKeys(t *testing.T) {
	t.Parallel()
	t.Run("twice", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.c.Projections[0].Query = `select id as key, v from item, generate_series(1, case id when 5 then 2 else 1 end) where id = any($1::text[]::int[])`
		w.start()
		w.applied(rows(10))
		if got := value[string](w, `select string_agg(key || ': ' || error, ',') from outbox.parked`); got != "5: the projection yields several rows for the key" {
			t.Errorf("parked: %s", got)
		}
	})
	t.Run("not asked for", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.c.Projections[0].Query = `select id + 1 as key, v from item where id = any($1::text[]::int[])`
		w.start()
		w.exec(rows(3))
		eventually(t, "the backend pauses and says why", func() bool { // it is probed, and tried again, meanwhile
			why := value[string](w, `select coalesce(max(paused), '') from outbox.backends where paused_by = 'engine'`)
			return containsAll(why, "not asked for", "kind item") == nil
		})
	})
}

// An answer that was lost: the records are sent again, and once more later, because the first request may still arrive.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.Lease = 400 * time.Millisecond
	w.c.Settings.SaveEvery = 50 * time.Millisecond
	w.c.Settings.Late = time.Millisecond
	w.c.Settings.Patience = 100 * time.Millisecond
	var lost atomic.Bool
	w.store.afterward = func(int) error {
		if lost.CompareAndSwap(false, true) {
			return errors.New("connection reset")
		}
		return nil
	}
	w.start()
	w.applied(rows(20))
	w.agrees()
	eventually(t, "the suspects were logged again and forgotten", func() bool {
		return value[int](w, `select count(*) from outbox.suspects`) == 0 &&
			value[int](w, `select count(*) from outbox.log where headers ? 'suspect' and backend = 'main'`) >= 1
	})
	eventually(t, "they were written again", func() bool { w.store.mu.Lock(); defer w.store.mu.Unlock(); return w.store.sent >= 60 })
}

// A version in the store that is above ours although the lease is ours comes from a former history: ours rise above it.
func TestVersionsRise(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ahead := int64(1) << 52
	w.store.stored["3"] = ahead
	w.start()
	w.applied(rows(5))
	w.agrees()
	if v := w.store.targets["items"]["3"].Version; v <= ahead || v >= 1<<53 {
		t.Errorf("the version is %d", v)
	}
	w.applied(`update item set v = 'again'`)
	w.agrees()
}

// Who may not write pauses the backend with its reason, and resumes by itself once it may.
func TestDenied(t *testing.T) {
	t.Parallel()
	for class, heal := range map[backends.Class]bool{backends.Denied: true, backends.Schema: false} {
		t.Run(string(class), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var broken atomic.Bool
			broken.Store(true)
			w.store.onWrite = func(context.Context, int, []backends.Record) error {
				if broken.Load() {
					return fails(class)
				}
				return nil
			}
			w.start()
			token := w.write(rows(5))
			eventually(t, "the backend pauses", func() bool {
				return value[bool](w, `select coalesce(paused_by, '') = 'engine' from outbox.backends`) &&
					value[bool](w, `select exists (select from river.river_queue where name = 'main' and paused_at is not null)`)
			})
			if w.store.prepared < 2 && class == backends.Schema {
				t.Error("the target was not prepared again before the pause")
			}
			broken.Store(false)
			if !heal { // an operator is faster than the probe
				if err := outbox.Resume(t.Context(), w.pool, "main"); err != nil {
					t.Fatal(err)
				}
			}
			w.wait(token)
			w.agrees()
		})
	}
}

// A target that went missing is made again without anybody's help.
func TestMissingTargetIsMended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var gone atomic.Bool
	w.store.onWrite = func(context.Context, int, []backends.Record) error {
		if gone.Load() {
			return fails(backends.Schema)
		}
		return nil
	}
	w.store.onPrepare = func(context.Context, int) error { gone.Store(false); return nil }
	w.start()
	w.applied(rows(5))
	gone.Store(true)
	w.applied(`update item set v = 'x'`)
	w.agrees()
}

// An operator pauses and resumes a backend while it works; nothing is lost.
func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.applied(rows(5))
	if err := outbox.Pause(t.Context(), w.pool, "main", "operator", "maintenance"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the lane is free", func() bool { return value[int](w, `select count(*) from outbox.lanes where owner is null`) == 1 })
	eventually(t, "the queue shows it", func() bool {
		return value[int](w, `select count(*) from river.river_queue where name = 'main' and paused_at is not null`) == 1
	})
	token := w.write(`update item set v = 'later'`)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := outbox.Wait(ctx, w.pool, token); err == nil {
		t.Error("a paused backend went on")
	} else if err := containsAll(err.Error(), "main (paused: maintenance)"); err != nil {
		t.Error(err)
	}
	if err := outbox.Resume(t.Context(), w.pool, "main"); err != nil {
		t.Fatal(err)
	}
	w.wait(token)
	w.agrees()
}

// A worker whose lane was taken away while it was sending logs what it sent again.
func TestLostLane(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var taken atomic.Bool
	w.store.onWrite = func(_ context.Context, n int, _ []backends.Record) error {
		if taken.CompareAndSwap(false, true) {
			// Somebody else holds the lane from now on, for a moment.
			w.exec(`update outbox.lanes set owner = 'thief', epoch = outbox.next_version(version), version = outbox.next_version(version) + 100000, expires = clock_timestamp() + interval '300 ms'`)
		}
		return nil
	}
	w.start()
	w.applied(rows(30))
	w.agrees()
	eventually(t, "what was sent without a lease is logged again", func() bool {
		return value[int](w, `select coalesce(sum(cardinality(keys)), 0) from outbox.log where backend = 'main' and keys <> '{}'`) >= 30
	})
	w.applied(`update item set v = 'after'`)
	w.agrees()
}

// Backends come and go while an engine runs.
func TestAddAndRemove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, _ := w.start()
	w.applied(rows(10))
	other := newFake(t)
	more := w.c
	more.Backends = append(more.Backends[:1:1], other.config(t, "second"))
	p := jobs.Projection{Kind: "item", Backend: "second", Target: "items", Query: itemQuery}
	more.Projections = append(more.Projections[:1:1], p)
	if err := jobs.Setup(t.Context(), more); err != nil {
		t.Fatal(err)
	}
	if err := e.Add(t.Context(), more.Backends[1], jobs.Limits{}, more.Projections); err != nil {
		t.Fatal(err)
	}
	if err := e.Add(t.Context(), more.Backends[1], jobs.Limits{}, more.Projections); err == nil {
		t.Error("a backend was added twice")
	}
	eventually(t, "the new backend is filled", func() bool { return len(other.holds("items")) == 10 })
	if err := e.Remove(t.Context(), "second"); err != nil {
		t.Fatal(err)
	}
	if err := e.Remove(t.Context(), "second"); err == nil {
		t.Error("a backend was removed twice")
	}
	w.wait(w.write(`update item set v = 'x'`), "main")
	if got := other.holds("items")["1"]; got != `{"v": "v1"}` {
		t.Errorf("a removed backend was written to: %s", got)
	}
	if err := jobs.Forget(t.Context(), w.pool, "second"); err != nil {
		t.Fatal(err)
	}
	w.applied(`update item set v = 'y'`)
	w.agrees()
}
