package jobs_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// A backend that is new is filled with what is there, and follows every change after that.
func TestFillAndFollow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(rows(5000))
	w.start()
	w.applied(`insert into item values (6000, 'new')`, `update item set v = 'x' where id <= 10`, `delete from item where id between 20 and 30`,
		`update item set id = 7000 where id = 40`)
	eventually(t, "the fill is complete", func() bool { return len(w.store.holds("items")) == 4990 })
	w.agrees()
	w.applied(`truncate item`)
	w.agrees()
}

// A record that has gone through many states is written in the latest one, and once for each page at most.
func TestLatestStateWins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, stop := w.start()
	w.applied(`insert into item values (1, 'a')`)
	w.drained()
	stop()
	for i := range 200 {
		w.exec(`update item set v = $1`, fmt.Sprint(i))
	}
	before := w.store.sent
	w.run()
	w.applied(`insert into item values (2, 'b')`)
	w.agrees()
	if n := w.store.sent - before; n > 50 {
		t.Errorf("200 changes of one key were sent as %d records", n)
	}
}

// Lanes share the keys and lose none, also when a lane is split in the middle of a backlog.
func TestLanes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.Lanes, w.c.Settings.PageKeys = 3, 50
	w.start()
	w.exec(rows(3000))
	if err := outbox.Split(t.Context(), w.pool, "main", 1, 2); err != nil {
		t.Fatal(err)
	}
	w.applied(`update item set v = v || '!'`)
	w.agrees()
	if n := value[int](w, `select count(*) from outbox.lanes`); n != 4 {
		t.Errorf("there are %d lanes, want 4", n)
	}
}

// Records are read in portions of bounded bytes: a request is never much larger than the largest record, whatever
// the number of keys in a page.
func TestPortionsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.PortionBytes, w.c.Settings.BatchBytes = 64<<10, 1<<20
	w.exec(`insert into item select g, repeat('x', 20000) from generate_series(1, 300) g`)
	w.start()
	w.applied(`insert into item values (1000, repeat('y', 3000000))`)
	eventually(t, "the fill is complete", func() bool { return len(w.store.holds("items")) == 301 })
	w.agrees()
	if w.store.most > 3_100_000 {
		t.Errorf("a request had %d bytes", w.store.most)
	}
}

// A job's output says what it did.
func TestOutput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, stop := w.start()
	w.drained()
	w.applied(rows(10), `delete from item where id = 1`)
	w.drained()
	stop()
	type output struct{ Pages, Written, Deleted int }
	got := value[output](w, `select row(1, sum((o->>'written')::int), sum((o->>'deleted')::int)) from (select metadata->'output' o from river.river_job where kind = 'project') x`)
	if diff := cmp.Diff(output{1, 9, 1}, got); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	if args := value[string](w, `select args::text from river.river_job where kind = 'project' limit 1`); args != `{"lane": 0, "backend": "main"}` {
		t.Errorf("arguments are %s", args)
	}
}

// A stopped engine has saved its position, let go of its lanes and said goodbye; another goes on where it was.
func TestStopSavesAndReleases(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var slow atomic.Bool
	w.store.onWrite = func(ctx context.Context, _ int, _ []backends.Record) error {
		if slow.Load() {
			time.Sleep(20 * time.Millisecond)
		}
		return nil
	}
	w.c.Settings.PageKeys = 100
	_, stop := w.start()
	w.applied(rows(10))
	slow.Store(true)
	w.exec(`insert into item select g, 'late' from generate_series(1000, 3000) g`)
	eventually(t, "it is at work", func() bool { return len(w.store.holds("items")) > 50 })
	stop()
	if n := value[int](w, `select count(*) from outbox.lanes where owner is not null`); n != 0 {
		t.Errorf("%d lanes are still held", n)
	}
	if n := value[int](w, `select count(*) from outbox.owners where gone_at is null`); n != 0 {
		t.Errorf("%d processes have not left", n)
	}
	if n := value[int](w, `select count(*) from outbox.suspects`); n != 0 {
		t.Errorf("a clean stop left %d suspects", n)
	}
	slow.Store(false)
	w.run()
	w.applied(`update item set v = 'z' where id = 1`)
	w.agrees()
}

// Changes of a kind project its dependants again, directly and through others.
func TestDependants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table shelf (id int primary key, name text)`)
	w.exec(`create table room (id int primary key, name text)`)
	w.exec(`alter table item add shelf int`)
	w.exec(`alter table shelf add room int`)
	w.c.Kinds = append(w.c.Kinds,
		outbox.Kind{Name: "shelf", Table: "shelf", Dependants: map[string]string{"item": `select id::text from item where shelf = any($1::text[]::int[])`}},
		outbox.Kind{Name: "room", Table: "room", Dependants: map[string]string{"shelf": `select id::text from shelf where room = any($1::text[]::int[])`}})
	w.c.Projections[0].Query = `select i.id as key, i.v || '/' || s.name || '/' || r.name as v
	  from item i left join shelf s on s.id = i.shelf left join room r on r.id = s.room where i.id = any($1::text[]::int[])`
	w.start()
	w.applied(`insert into room values (1, 'hall')`, `insert into shelf select g, 's' || g, 1 from generate_series(1, 3) g`,
		`insert into item select g, 'v' || g, g % 3 + 1 from generate_series(1, 3000) g`)
	check := func(id, want string) {
		t.Helper()
		if got := w.store.holds("items")[id]; got != fmt.Sprintf(`{"v": %q}`, want) {
			t.Errorf("item %s is %s, want %s", id, got, want)
		}
	}
	check("3", "v3/s1/hall")
	w.applied(`update shelf set name = 'top' where id = 1`)
	check("3", "v3/top/hall")
	w.applied(`update room set name = 'attic'`) // the token covers what follows from it
	check("3000", "v3000/top/attic")
	w.applied(`truncate room`)
	if got := w.store.holds("items")["3"]; got != `{"v": null}` {
		t.Errorf("after the truncate item 3 is %s", got)
	}
}

// A kind that goes into two targets of a backend is the same in both.
func TestTwoTargets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Projections = append(w.c.Projections, jobs.Projection{Kind: "item", Backend: "main", Target: "short", Query: `select id as key, left(v, 1) as v from item where id = any($1::text[]::int[]) and id < 5`})
	w.start()
	w.applied(rows(9))
	w.agrees()
	if n := len(w.store.holds("short")); n != 4 {
		t.Errorf("the filtered target has %d records, want 4", n)
	}
	w.applied(`update item set id = 3000 where id = 4`)
	if got := w.store.holds("short"); len(got) != 3 || got["4"] != "" {
		t.Errorf("a record that left the filter is still there: %v", got)
	}
}

// A projection that changed is filled again; one that did not is not.
func TestChangedProjectionIsFilledAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, stop := w.start()
	w.applied(rows(100))
	w.drained()
	stop()
	before := w.store.sent
	_, stop = w.start()
	w.applied(`insert into item values (500, 'n')`)
	w.drained()
	stop()
	if w.store.sent != before+1 {
		t.Errorf("setting up again sent %d records", w.store.sent-before)
	}
	w.c.Projections[0].Query = strings.Replace(itemQuery, ", v", ", upper(v) as v", 1)
	w.start()
	eventually(t, "all are upper case", func() bool {
		for _, doc := range w.store.holds("items") {
			if strings.ToUpper(doc) != strings.Replace(doc, `"v":`, `"V":`, 1) {
				return false
			}
		}
		return true
	})
}
