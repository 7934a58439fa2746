package jobs_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// Setup says which projection of which backend cannot work, and records nothing of what it refused.
func TestSetupErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*jobs.Config)
		want   []string
	}{
		"query does not parse": {
			func(c *jobs.Config) { c.Projections[0].Query = `select id as key from item were id = any($1)` },
			[]string{"kind item", "target items", "backend main", "syntax error"},
		},
		"several at once": {
			func(c *jobs.Config) {
				c.Projections[0].Query = `select id as key, nme from item where id = any($1::text[]::int[])`
				c.Projections = append(c.Projections, jobs.Projection{Kind: "item", Backend: "main", Target: "more", Query: `delete from item`})
			},
			[]string{"target items", `column "nme" does not exist`, "target more", "want select or with"},
		},
		"layout refused": {
			func(c *jobs.Config) { c.Projections[0].Settings = map[string]any{"wrong": true} },
			[]string{"kind item", "target items", "backend main", "setting wrong is wrong"},
		},
		"unknown type": {
			func(c *jobs.Config) { c.Backends[0].Type = "none" },
			[]string{"backend main", `unknown type "none"`},
		},
		"unknown kind": {
			func(c *jobs.Config) { c.Projections[0].Kind = "thing" },
			[]string{"kind thing", "backend main", "no such kind"},
		},
		"no such table": {
			func(c *jobs.Config) { c.Kinds[0].Table = "nowhere" },
			[]string{"kind item", `"nowhere" does not exist`},
		},
		"settings without JSON": {
			func(c *jobs.Config) { c.Projections[0].Settings = map[string]any{"f": func() {}} },
			[]string{"kind item", "backend main", "settings", "unsupported type"},
		},
		"bad configuration": {
			func(c *jobs.Config) { c.Projections[0].Backend = "other" },
			[]string{`no backend "other" is configured`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.change(&w.c)
			err := jobs.Setup(t.Context(), w.c)
			if err == nil {
				t.Fatal("no error")
			}
			if err := containsAll(err.Error(), c.want...); err != nil {
				t.Error(err)
			}
			if n := value[int](w, `select count(*) from outbox.projections`) + value[int](w, `select count(*) from outbox.log`); n != 0 {
				t.Errorf("%d rows were recorded", n)
			}
		})
	}
}

// A backend's name belongs to its type.
func TestSetupOtherType(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := jobs.Setup(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	w.exec(`update outbox.backends set type = 'other'`)
	if err := jobs.Setup(t.Context(), w.c); err == nil || containsAll(err.Error(), "backend main is of type other", "but fake is configured", "forget the old one") != nil {
		t.Errorf("got %v", err)
	}
}

// Processes that set up the same at the same time do not get in each other's way, and fill once.
func TestSetupAtTheSameTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var group errgroup.Group
	for range 5 {
		group.Go(func() error { return jobs.Setup(t.Context(), w.c) })
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if n := value[int](w, `select count(*) from outbox.log where backend = 'main'`); n != 1 {
		t.Errorf("%d fills", n)
	}
}

// A projection that was taken out and comes back is filled again: what changed meanwhile passed it by.
func TestProjectionThatComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.c.Projections[:1:1]
	both := slices.Concat(one, []jobs.Projection{{Kind: "item", Backend: "main", Target: "more", Query: itemQuery}})
	w.c.Projections = both
	_, stop := w.start()
	w.applied(rows(3))
	stop()
	w.c.Projections = one
	_, stop = w.start()
	w.applied(`update item set v = 'meanwhile'`, `delete from item where id = 3`)
	stop()
	w.c.Projections = both
	w.start()
	w.drained()
	eventually(t, "it has caught up", func() bool {
		got := w.store.holds("more")
		return len(got) == 2 && got["1"] == `{"v": "meanwhile"}`
	})
}

// A process whose projections are not the recorded ones leaves the backend to those who have them: the fill of a
// projection that it does not know is not lost, and it writes nothing in an old form. Another backend goes on in it.
func TestOutdatedProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	side := newFake(t)
	w.c.Backends = append(w.c.Backends, side.config(t, "side"))
	w.c.Projections = append(w.c.Projections, jobs.Projection{Kind: "item", Backend: "side", Target: "items", Query: itemQuery})
	old, stop := w.start()
	w.applied(rows(20))
	w.drained()
	w.c.Projections = append(w.c.Projections[:2:2], jobs.Projection{Kind: "item", Backend: "main", Target: "more", Query: itemQuery})
	w.c.Projections[0].Query = strings.Replace(itemQuery, ", v", ", upper(v) as v", 1)
	if err := jobs.Setup(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the old process leaves the backend alone", func() bool { return !old.Runs("main") })
	w.wait(w.write(`insert into item values (21, 'late')`), "side")
	if n := len(w.store.holds("items")); n != 20 {
		t.Errorf("the old process wrote to %d records", n)
	}
	w.run()
	w.applied(`insert into item values (22, 'last')`)
	w.drained()
	if got := w.store.holds("more"); len(got) != 22 {
		t.Errorf("the new target has %d records of 22", len(got))
	}
	if got := w.store.holds("items")["1"]; got != `{"v": "V1"}` {
		t.Errorf("item 1 is still %s", got)
	}
	stop()
	if n := value[int](w, `select count(*) from river.river_job where metadata->'output'->>'aside' like 'backend main: its projections are not%'`); n == 0 {
		t.Error("no job says why")
	}
}

// A process does not start with projections that nobody recorded.
func TestStartWithoutSetup(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, err := jobs.New(t.Context(), w.c)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Run(t.Context()); err == nil || containsAll(err.Error(), "backend main", "run Setup") != nil {
		t.Errorf("got %v", err)
	}
}

// What cannot run is refused when an engine is made, and when a backend is added to one.
func TestNewAndAddErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, _ := w.start()
	bad := w.c
	bad.Settings.Lanes = 100
	if _, err := jobs.New(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "set pool_max_conns") {
		t.Errorf("too many lanes: %v", err)
	}
	bad = w.c
	bad.Projections = append(bad.Projections[:0:0], bad.Projections...)
	bad.Projections[0].Query = "select 1"
	if _, err := jobs.New(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "target items of backend main") {
		t.Errorf("a bad projection: %v", err)
	}
	if _, err := jobs.New(t.Context(), jobs.Config{}); err == nil || !strings.Contains(err.Error(), "pool is missing") {
		t.Errorf("no pool: %v", err)
	}
	other := newFake(t).config(t, "other")
	for want, err := range map[string]error{
		"main runs already":               e.Add(t.Context(), w.c.Backends[0], jobs.Limits{}, w.c.Projections),
		"run Setup":                       e.Add(t.Context(), other, jobs.Limits{}, []jobs.Projection{{Kind: "item", Backend: "other", Target: "x", Query: itemQuery}}),
		"must not be empty":               e.Add(t.Context(), other, jobs.Limits{}, []jobs.Projection{{Kind: "item", Backend: "other"}}),
		`no such fake`:                    e.Add(t.Context(), backends.Config{Name: "lost", Type: "fake"}, jobs.Limits{}, nil),
		"backend other does not run":      e.Remove(t.Context(), "other"),
		"removing backend other: no such": jobs.Forget(t.Context(), w.pool, "other"),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// A fill that is interrupted in the middle by the end of its process is done again, by lane after lane; a TRUNCATE
// too. Keys that are null in a list are nobody's.
func TestWildcardIsInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.Lanes, w.c.Settings.Lease = 3, time.Second
	w.c.Kinds = []outbox.Kind{{Name: "item", List: `select id::text as key from item union all select null`}}
	w.exec(rows(1000))
	var deaths atomic.Int64
	w.store.onScan = func(_ context.Context, n int) error {
		if n == 2 && deaths.Add(1) <= 3 {
			w.exec(`update outbox.lanes set epoch = outbox.next_version(version), version = outbox.next_version(version) + 100000, expires = '-infinity' where owner is not null`)
		}
		return nil
	}
	w.start()
	eventually(t, "the fill is complete", func() bool { return len(w.store.holds("items")) == 1000 })
	w.applied(`delete from item where id > 10`, `select outbox.changed_all('item')`)
	w.agrees()
	if deaths.Load() == 0 {
		t.Error("nothing was interrupted")
	}
}

// A key whose dependants cannot be found is parked, and holds nothing up; it leaves when they can be found.
func TestPoisonousDependants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table shelf (id text primary key, divisor int not null)`)
	w.exec(`alter table item add shelf text`)
	w.c.Kinds = append(w.c.Kinds, outbox.Kind{Name: "shelf", Table: "shelf", Dependants: map[string]string{
		"item": `select i.id::text from item i join shelf s on s.id = i.shelf where s.id = any($1) and 1 / s.divisor is not null`,
	}})
	w.c.Projections[0].Query = `select i.id as key, s.divisor::text as v from item i left join shelf s on s.id = i.shelf where i.id = any($1::text[]::int[])`
	w.start()
	w.applied(`insert into shelf select 's' || g, 1 from generate_series(1, 9) g`, `insert into item select g, '', 's' || g from generate_series(1, 9) g`)
	w.applied(`update shelf set divisor = case id when 's5' then 0 else 7 end`)
	if got := value[string](w, `select string_agg(kind || ' ' || target || ' ' || key || ' ' || class, ',') from outbox.parked`); got != "shelf (dependants) s5 rejected" {
		t.Errorf("parked: %s", got)
	}
	if got := w.store.holds("items"); got["4"] != `{"v": "7"}` || got["6"] != `{"v": "7"}` {
		t.Errorf("the others were held up: %v", got)
	}
	w.applied(`update shelf set divisor = 3 where id = 's5'`)
	if got := w.store.holds("items")["5"]; got != `{"v": "3"}` {
		t.Errorf("item 5 is %s", got)
	}
	eventually(t, "nothing is parked", func() bool { return value[int](w, `select count(*) from outbox.parked`) == 0 })
}

// A list or a dependants' query that does not fit the tables any more pauses the backend and says so.
func TestListThatDoesNotFit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.applied(rows(3))
	w.exec(`update outbox.kinds set list = 'select nothing as key from item'`)
	w.exec(`select outbox.changed_all('item')`)
	eventually(t, "the backend pauses and says why", func() bool { // it is probed, and tried again, meanwhile
		why := value[string](w, `select coalesce(max(paused), '') from outbox.backends where paused_by = 'engine'`)
		return containsAll(why, "kind item", `column "nothing" does not exist`) == nil
	})
}

// A dependant that is declared while a tenure goes on holds for every change after that.
func TestDependantDeclaredWhileRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.Linger, w.c.Settings.Slice = time.Minute, time.Minute
	w.exec(`create table shelf (id int primary key, name text)`)
	w.exec(`alter table item add shelf int`)
	w.c.Kinds = append(w.c.Kinds, outbox.Kind{Name: "shelf", Table: "shelf"})
	w.c.Projections[0].Query = `select i.id as key, s.name as v from item i left join shelf s on s.id = i.shelf where i.id = any($1::text[]::int[])`
	w.start()
	w.applied(`insert into shelf values (1, 'low')`, `insert into item values (1, '', 1)`)
	epoch := value[int64](w, `select epoch from outbox.lanes where owner is not null`)
	w.exec(`select outbox.depend('shelf', 'item', 'select id::text from item where shelf = any($1::text[]::int[])')`)
	w.applied(`update shelf set name = 'high'`)
	if got := w.store.holds("items")["1"]; got != `{"v": "high"}` {
		t.Errorf("item 1 is %s", got)
	}
	if now := value[int64](w, `select epoch from outbox.lanes`); now != epoch {
		t.Log("the tenure ended in between: this run shows little")
	}
}
