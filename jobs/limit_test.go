package jobs_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// stopped waits until the backend is paused because of what it refuses.
func (w *world) stopped() {
	w.t.Helper()
	eventually(w.t, "the backend pauses", func() bool { return value[string](w, `select coalesce(paused_by, '') from outbox.backends`) == "limit" })
	eventually(w.t, "nobody works it", func() bool { return value[int](w, `select count(*) from outbox.lanes where owner is not null`) == 0 })
}

// A backend that refuses masses of records for one reason pauses, and says why. What it refused after the limit is not
// parked, and stays in the log; when the cause was mended and the backend resumed, all of it arrives.
func TestMassesStopTheBackend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.conflicts()
	w.c.Settings.RetryFirst, w.c.Settings.RetryMost = time.Hour, time.Hour
	w.c.Settings.ParkLimit = 100
	stop := w.filled()
	token := w.write(`insert into item select g, 'bad ' || g from generate_series(1001, 2000) g`)
	w.stopped()
	if n := w.parked(); n != 100 {
		t.Errorf("%d records are parked", n)
	}
	if value[bool](w, `select outbox.reached($1::text::xid8, 'main')`, token) {
		t.Error("the position moved past what was refused")
	}
	reason := value[string](w, `select paused from outbox.backends`)
	if err := containsAll(reason, "100 records of kind item", "failed to parse field [v]", "target items", "mend the row", "outflow resume"); err != nil {
		t.Error(err)
	}
	if got := value[string](w, `select format('%s %s %s %s %s %s', what, who, backend, kind, details->>'records', reason = $1) from outbox.events`, reason); got != "paused engine main item 100 t" {
		t.Errorf("events say %s", got)
	}
	stop()
	w.run() // it is not forgotten with the process
	m.mended.Store(true)
	if err := outbox.Resume(t.Context(), w.pool, "main"); err != nil {
		t.Fatal(err)
	}
	w.wait(token) // the page that was under way is written from its beginning
	eventually(t, "nothing is parked", func() bool { return w.parked() == 0 })
	w.agrees()
}

// A paused backend is tried with one record after growing pauses, and nothing else is sent or parked; when that one is
// taken, it goes on by itself, and everything arrives without a hand.
func TestBackendGoesOnAfterASample(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.conflicts()
	w.c.Settings.ParkLimit = 100
	w.filled()
	w.exec(`insert into item select g, 'bad ' || g from generate_series(1001, 2000) g`)
	w.stopped()
	before := m.writes.Load()
	tries := `select tries from outbox.retries where limited`
	first := value[int](w, tries)
	eventually(t, "it was tried again and again", func() bool { return value[int](w, tries) >= first+3 })
	last := value[int](w, tries)
	if n := m.writes.Load() - before; n > int64(last+1) {
		t.Errorf("%d trials were %d requests", last, n)
	}
	if n := w.parked(); n != 100 {
		t.Errorf("%d records are parked", n)
	}
	m.mended.Store(true)
	eventually(t, "everything has arrived", func() bool { return w.parked() == 0 && len(w.store.holds("items")) == 1001 })
	w.agrees()
	if got := value[string](w, `select string_agg(format('%s %s %s', what, who, left(reason, 32)), ', ' order by id) from outbox.events where what = 'resumed'`); got != "resumed engine it was paused: 100 records of ki" {
		t.Errorf("events say %s", got)
	}
}

// A healthy store is no reason to resume a backend that refuses masses of records: the probe of other pauses does not
// touch it.
func TestProbeLeavesMassesAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conflicts()
	w.c.Settings.ParkLimit = 100
	w.c.Settings.RetryFirst, w.c.Settings.RetryMost = time.Hour, time.Hour
	stop := w.filled()
	w.exec(`insert into item select g, 'bad ' || g from generate_series(1001, 2000) g`)
	w.stopped()
	stop()
	var probes atomic.Int64 // they prepare the targets again
	w.store.onPrepare = func(context.Context, int) error { probes.Add(1); return nil }
	w.run() // a new process probes at once what is for it to probe
	w.passes(2 * time.Second)
	if by := value[string](w, `select coalesce(paused_by, 'nobody') from outbox.backends`); by != "limit" || probes.Load() > 0 {
		t.Errorf("paused by %s, after %d probes", by, probes.Load())
	}
}

// A backend that is resumed although the cause holds pauses again, and parks but a few records more.
func TestResumedInVain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conflicts()
	w.c.Settings.ParkLimit = 100
	w.c.Settings.RetryFirst, w.c.Settings.RetryMost = time.Hour, time.Hour
	w.filled()
	w.exec(`insert into item select g, 'bad ' || g from generate_series(1001, 2000) g`)
	w.stopped()
	at := value[time.Time](w, `select paused_at from outbox.backends`)
	if err := outbox.Resume(t.Context(), w.pool, "main"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it pauses again", func() bool {
		return value[bool](w, `select coalesce(paused_by = 'limit' and paused_at > $1, false) from outbox.backends`, at)
	})
	if n := w.parked(); n > 105 {
		t.Errorf("%d records are parked", n)
	}
}

// A large backlog of which a part is refused does not stop, however large that part is, as long as more is taken.
func TestBacklogWithBadRecords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conflicts()
	w.c.Settings.ParkLimit = 100
	w.c.Settings.RetryFirst, w.c.Settings.RetryMost = time.Hour, time.Hour
	w.exec(`insert into item select g, case when g % 3 = 0 then 'bad ' else 'good ' end || g from generate_series(1, 3000) g`)
	w.start()
	w.drained()
	if n := w.parked(); n != 1000 {
		t.Errorf("%d records are parked", n)
	}
	if n := value[int](w, `select count(*) from outbox.events where what = 'paused'`); n != 0 {
		t.Error("the backend paused")
	}
}

// One mapping conflict among 10,000 documents is one parked record: the rest is in.
func TestOneConflictAmongMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.conflicts()
	w.exec(rows(10_000))
	w.exec(`update item set v = 'bad' where id = 4711`)
	w.start()
	w.drained()
	if n := len(w.store.holds("items")); n != 9999 || w.parked() != 1 {
		t.Errorf("the store holds %d records, %d are parked", n, w.parked())
	}
	m.mended.Store(true)
	eventually(t, "nothing is parked", func() bool { return w.parked() == 0 })
	w.agrees()
}

// What several lanes and processes refuse is counted together.
func TestLanesShareTheLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conflicts()
	w.c.Settings.ParkLimit, w.c.Settings.Lanes = 100, 2
	w.c.Settings.RetryFirst, w.c.Settings.RetryMost = time.Hour, time.Hour
	stop := w.filled()
	var of [2][]string
	for id := 1000; len(of[0]) < 60 || len(of[1]) < 60; id++ {
		lane := int(outbox.Hash("item", fmt.Sprint(id)) >> 31)
		if len(of[lane]) < 60 {
			of[lane] = append(of[lane], fmt.Sprint(id))
		}
	}
	insert := func(ids []string) string {
		return `insert into item select u, 'bad ' || u from unnest(array[` + strings.Join(ids, ",") + `]) u`
	}
	w.applied(insert(of[0]))
	w.drained()
	stop()
	w.run()
	w.exec(insert(of[1]))
	w.stopped()
	if n := w.parked(); n != 100 {
		t.Errorf("%d records are parked", n)
	}
}

// Limits can be switched off, for one backend as well, and a group that stops one backend does not stop another.
func TestLimitOfOneBackend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conflicts()
	w.c.Settings.ParkLimit = 100
	w.c.Settings.RetryFirst, w.c.Settings.RetryMost = time.Hour, time.Hour
	other := newFake(t)
	other.refuse = w.store.refuse
	w.c.Backends = append(w.c.Backends, other.config(t, "other"))
	w.c.Limits = map[string]jobs.Limits{"other": {ParkLimit: jobs.NoParkLimit}}
	w.c.Projections = append(w.c.Projections, jobs.Projection{Kind: "item", Backend: "other", Target: "items", Query: itemQuery})
	w.start()
	token := w.write(`insert into item select g, 'bad ' || g from generate_series(1001, 1300) g`)
	w.wait(token, "other")
	eventually(t, "one pauses, and one has parked all", func() bool {
		return value[string](w, `select string_agg(name || coalesce(' by ' || paused_by, ''), ', ' order by name) from outbox.backends`) == "main by limit, other" &&
			value[int](w, `select count(*) from outbox.parked where backend = 'other'`) == 300
	})
}

// Projections that fail for masses of rows, and dependants that cannot be found for masses of keys, stop the backend as
// well, and it goes on once they work.
func TestMassesThatPostgreSQLRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ query, write string }{
		"records":    {`select id as key, v, rooms() as q from item where id = any($1::text[]::int[])`, `insert into item select g, 'v' from generate_series(1, 40) g`},
		"dependants": {itemQuery, `insert into shelf select g, g from generate_series(1, 40) g`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.conflicts()
			w.c.Settings.ParkLimit = 20
			w.exec(`create table shelf (id int primary key, room int)`)
			w.exec(`create function rooms() returns int language plpgsql as $$ begin return 1 / 0; end $$`)
			w.c.Kinds = append(w.c.Kinds, outbox.Kind{Name: "shelf", Table: "shelf", Dependants: map[string]string{
				"item": `select id::text from item where id = any($1::text[]::int[]) and rooms() > 0 union select k from unnest($1::text[]) k where rooms() > 0`,
			}})
			w.c.Projections[0].Query = c.query
			w.start()
			w.drained()
			w.exec(c.write)
			eventually(t, "the backend pauses", func() bool { return value[string](w, `select coalesce(paused_by, '') from outbox.backends`) == "limit" })
			tries := `select coalesce(max(tries), 0) from outbox.retries where limited`
			eventually(t, "it was tried", func() bool { return value[int](w, tries) >= 2 })
			if n := w.parked(); n != 20 {
				t.Errorf("%d records are parked", n)
			}
			w.exec(`create or replace function rooms() returns int language sql as $$ select 1 $$`)
			eventually(t, "nothing is parked", func() bool { return w.parked() == 0 })
			w.drained()
		})
	}
}
