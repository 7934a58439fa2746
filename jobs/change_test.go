package jobs_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// A running engine takes in a backend, another projection of a backend, and leaves one out, while others go on.
func TestChangeWhileItRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := newFake(t)
	e, _ := w.start()
	w.applied(rows(3))
	prepared := w.store.prepared

	w.c.Backends = append(w.c.Backends, other.config(t, "other"))
	w.c.Projections = append(w.c.Projections, jobs.Projection{Kind: "item", Backend: "other", Target: "items", Query: itemQuery})
	if err := e.Change(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new backend is filled", func() bool { return len(other.holds("items")) == 3 })
	if w.store.prepared != prepared {
		t.Error("the backend that did not change was opened again")
	}

	w.c.Projections[1].Query = `select id as key, upper(v) as v from item where id = any($1::text[]::int[])`
	if err := e.Change(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other projection is written", func() bool { return other.holds("items")["1"] == `{"v": "V1"}` })

	w.c.Backends, w.c.Projections = w.c.Backends[:1], w.c.Projections[:1]
	if err := e.Change(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	w.wait(w.write(`update item set v = 'new'`), "main")
	w.agrees()
	if got := other.holds("items")["1"]; got != `{"v": "V1"}` {
		t.Errorf("the backend that was taken out got %s", got)
	}
}

// One backend can have limits of its own: they hold for it alone, are checked, and a running engine takes new ones.
func TestLimitsOfOneBackend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := newFake(t)
	w.c.Backends = append(w.c.Backends, other.config(t, "other"))
	w.c.Projections = append(w.c.Projections, jobs.Projection{Kind: "item", Backend: "other", Target: "items", Query: itemQuery})
	w.c.Limits = map[string]jobs.Limits{"other": {BatchRecords: 2, Lanes: 2}}
	e, _ := w.start()
	w.wait(w.write(rows(9)), "main", "other")
	if got := [2]int{w.store.biggest(), other.biggest()}; got[0] <= 2 || got[1] != 2 {
		t.Errorf("requests of up to %d records, want more than 2 and 2", got)
	}
	lanes := `select string_agg(backend || ' ' || n, ', ' order by backend) from (select backend, count(*) n from outbox.lanes group by 1) l`
	if got := value[string](w, lanes); got != "main 1, other 2" {
		t.Errorf("lanes: %s", got)
	}

	w.c.Limits = map[string]jobs.Limits{"other": {BatchRecords: 3}}
	if err := e.Change(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	w.wait(w.write(`update item set v = 'new'`), "main", "other")
	if got := other.biggest(); got != 3 {
		t.Errorf("after the change requests of up to %d records, want 3", got)
	}

	w.c.Limits = map[string]jobs.Limits{"other": {Request: -1}, "lost": {}}
	err := e.Change(t.Context(), w.c)
	for _, want := range []string{"backend other: settings: request is -1ns", "limits of backend lost: it is not configured"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in: %v", want, err)
		}
	}
}

// A process with a pool too small for all lanes of a split backend works them in turns.
func TestLanesWaitForConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.applied(rows(3))
	if err := outbox.Split(t.Context(), w.pool, "main", 0, 64); err != nil {
		t.Fatal(err)
	}
	if most := int(w.pool.Config().MaxConns); most >= 2*64 {
		t.Fatalf("the pool has %d connections: this shows nothing", most)
	}
	w.applied(`delete from item`, rows(2000))
	w.agrees()
}

// A configuration that cannot work, or that needs another engine, is refused, and the old one goes on.
func TestChangeRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, _ := w.start()
	wrong := w.c
	wrong.Projections = []jobs.Projection{{Kind: "item", Backend: "main", Target: "items", Query: `select nope as key from item where $1 is null`}}
	if _, ok := errors.AsType[*jobs.PlanError](e.Change(t.Context(), wrong)); !ok {
		t.Error("a wrong query is taken")
	}
	wrong = w.c
	wrong.Settings.Lease = time.Hour
	if err := e.Change(t.Context(), wrong); !errors.Is(err, jobs.ErrRestart) {
		t.Errorf("other settings: %v", err)
	}
	wrong = w.c
	for i := range 40 {
		wrong.Backends = append(wrong.Backends, w.store.config(t, "more"+strings.Repeat("x", i)))
	}
	if err := e.Change(t.Context(), wrong); !errors.Is(err, jobs.ErrRestart) {
		t.Errorf("too many backends: %v", err)
	}
	wrong = w.c
	wrong.Backends = append(wrong.Backends, backends.Config{Name: "main"})
	if err := e.Change(t.Context(), wrong); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("a wrong configuration: %v", err)
	}
	w.applied(rows(3))
	w.agrees()
}

// When the configuration cannot be recorded, the backends come back as they were.
func TestChangeThatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, _ := w.start()
	w.applied(rows(3))
	w.exec(`create function no() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
		create trigger no before insert or update on outbox.projections for each row execute function no()`)
	changed := w.c
	changed.Projections = []jobs.Projection{{Kind: "item", Backend: "main", Target: "items", Query: itemQuery + " and true"}}
	if err := e.Change(t.Context(), changed); err == nil || !strings.Contains(err.Error(), "no") {
		t.Errorf("got %v", err)
	}
	w.applied(`update item set v = 'still'`)
	w.agrees()
	w.exec(`drop trigger no on outbox.projections`)
	if err := e.Change(t.Context(), changed); err != nil {
		t.Errorf("again: %v", err)
	}
	w.applied(`update item set v = 'again'`)
	w.agrees()
}
