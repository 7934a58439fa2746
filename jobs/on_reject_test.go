package jobs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// newRejecting is a world whose table has history and three rows, and whose store refuses poison; another backend, "tame", takes everything.
func newRejecting(t *testing.T) (w *world, tame *fake) {
	t.Helper()
	w, tame = newWorld(t), newFake(t)
	w.c.Kinds[0].History = true
	w.c.Backends = append(w.c.Backends, tame.config(t, "tame"))
	w.c.Projections = append(w.c.Projections, jobs.Projection{Kind: "item", Backend: "tame", Target: "items", Query: itemQuery})
	w.store.refuse = func(r backends.Record) *backends.Error {
		if bytesHave(r.Doc, "poison") {
			return fails(backends.Rejected)
		}
		return nil
	}
	return w, tame
}

// headers sets those of a transaction.
func headers(text string) string { return `set local outbox.headers = '` + text + `'` }

// ofLoad is those of a load that asks to be reverted.
func ofLoad(id string) string { return headers(`{"load": "` + id + `", "on_reject": "revert"}`) }

// tableText is the table, as one text.
func (w *world) tableText() string {
	w.t.Helper()
	return value[string](w, `select coalesce(string_agg(id || '=' || v, ' ' order by id), '') from item`)
}

// settled waits until the reversals that were asked for are over, and the log is drained.
func (w *world) settled() {
	w.t.Helper()
	eventually(w.t, "nothing is left to revert", func() bool {
		return value[bool](w, `select not exists (select from outbox.reversals where not done) and not exists (select from outbox.lag where rows > 0)`)
	})
}

// event waits for one, and answers its reason.
func (w *world) event(what string) (reason string) {
	w.t.Helper()
	eventually(w.t, "the event "+what, func() bool {
		reason = value[string](w, `select coalesce(max(reason), '') from outbox.events where what = $1`, what)
		return reason != ""
	})
	return reason
}

// When a store refuses one record of a load that asks for it, all of the load's transactions are undone, in PostgreSQL and
// in every store, also those that were committed when the first were reverted already; nothing stays parked, everything agrees,
// and events say what happened and why. A load of that name that comes much later is another one.
func TestRejectedLoadIsReverted(t *testing.T) {
	t.Parallel()
	w, tame := newRejecting(t)
	_, stop := w.start()
	w.applied(rows(3))
	before := w.tableText()
	w.write(ofLoad("L"), `insert into item select g, 'new' || g from generate_series(10, 500) g`)
	w.write(ofLoad("L"), `update item set v = 'changed' where id in (1, 10)`, `delete from item where id = 2`)
	w.write(ofLoad("L"), `insert into item values (600, 'poison')`, `update item set v = 'late' where id = 1`)
	eventually(t, "the load is reverted", func() bool { return w.tableText() == before })
	w.write(ofLoad("L"), `insert into item values (700, 'good, but late')`, `delete from item where id = 3`)
	eventually(t, "what came late is reverted", func() bool {
		return value[int](w, `select count(*) from outbox.transactions where reverted_by is not null and headers ? 'on_reject'`) == 4
	})
	w.settled()
	if got := w.tableText(); got != before {
		t.Errorf("the table has %s, want %s", got, before)
	}
	w.agrees()
	if n := len(tame.holds("items")); n != 3 {
		t.Errorf("the other store has %d records, want 3", n)
	}
	if r := w.verify(jobs.VerifyOptions{}); !r.OK() {
		t.Errorf("verify found %+v", r.Targets)
	}
	if n := value[int](w, `select count(*) from outbox.parked`); n != 0 {
		t.Errorf("%d records are parked, want none", n)
	}
	if err := containsAll(w.event("reverted"), "backend main refused item 600: as commanded"); err != nil {
		t.Error(err)
	}
	if n := value[int](w, `select count(*) from outbox.log where headers ? 'reverts' and (headers ? 'on_reject' or headers ? 'load')`); n != 0 {
		t.Errorf("%d rows of reversals ask to be reverted themselves", n)
	}
	if n := value[int](w, `select count(*) from river.river_job where kind = 'revert' and args->>'load' = 'L' and args->>'key' = '600' and metadata->'output'->>'phase' = 'reverted'`); n < 1 {
		t.Error("no job in River tells of it")
	}
	w.exec(`update outbox.reversals set until = clock_timestamp()`)
	w.applied(ofLoad("L"), `insert into item values (800, 'another load')`)
	w.settled()
	stop()
	if got := w.tableText(); got != before+" 800=another load" {
		t.Errorf("the table has %s", got)
	}
}

// Without the header, and with park, a refused record is parked and nothing else happens. So it is for a
// transaction that asks, when only a record of another one is refused.
func TestParkRevertsNothing(t *testing.T) {
	t.Parallel()
	w, _ := newRejecting(t)
	_, stop := w.start()
	w.applied(rows(3))
	w.applied(`insert into item values (10, 'poison')`, `insert into item values (11, 'good')`)
	w.applied(headers(`{"load": "L", "on_reject": "park"}`), `insert into item values (12, 'poison')`)
	w.applied(ofLoad("M"), `insert into item values (13, 'good')`)
	stop()
	if got, want := w.tableText(), "1=v1 2=v2 3=v3 10=poison 11=good 12=poison 13=good"; got != want {
		t.Errorf("the table has %s, want %s", got, want)
	}
	if n := value[int](w, `select (select count(*) from outbox.reversals) + (select count(*) from river.river_job where kind = 'revert')`); n != 0 {
		t.Errorf("%d reversals were asked for, want none", n)
	}
	if n := value[int](w, `select count(*) from outbox.parked`); n != 2 {
		t.Errorf("%d records are parked, want 2", n)
	}
}

// A transaction without a load is reverted alone. A record that follows from it counts as its own.
func TestRejectedDependantRevertsTheTransaction(t *testing.T) {
	t.Parallel()
	w, _ := newRejecting(t)
	w.exec(`create table shelf (id int primary key, label text); insert into shelf values (1, 'one'); alter table item add shelf int default 1`)
	w.c.Kinds = append(w.c.Kinds, outbox.Kind{Name: "shelf", Table: "shelf", History: true, Dependants: map[string]string{"item": `select id::text from item where shelf = any($1::text[]::int[])`}})
	for i := range w.c.Projections {
		w.c.Projections[i].Query = `select i.id as key, i.v || s.label as v from item i join shelf s on s.id = i.shelf where i.id = any($1::text[]::int[])`
	}
	w.start()
	w.applied(`insert into item (id, v) values (1, 'v')`)
	w.applied(headers(`{"on_reject": "revert"}`), `insert into item (id, v) values (2, 'w')`)
	w.write(headers(`{"on_reject": "revert"}`), `update shelf set label = 'poison'`)
	if err := containsAll(w.event("reverted"), "backend main refused item "); err != nil {
		t.Error(err)
	}
	w.settled()
	if got, want := value[string](w, `select string_agg(label, ',') from shelf`)+" "+w.tableText(), "one 1=v 2=w"; got != want {
		t.Errorf("the tables have %s, want %s", got, want)
	}
	if n := value[int](w, `select count(*) from outbox.parked`); n != 0 {
		t.Errorf("%d records are parked, want none", n)
	}
}

// Where a row was changed since, nothing is reverted: an event names the row, the refused record stays parked, and
// everything else is what it was, in PostgreSQL and in the stores.
func TestRevertRefusedWhereChangedSince(t *testing.T) {
	t.Parallel()
	w, tame := newRejecting(t)
	w.start()
	w.applied(rows(3))
	w.exec(`begin; ` + ofLoad("L") + `; update item set v = 'loaded' where id = 1; insert into item values (9, 'poison'); commit;
		update item set v = 'since' where id = 1`)
	if err := containsAll(w.event("revert refused"), "1 rows were changed since", "item 1 changed since"); err != nil {
		t.Error(err)
	}
	w.drained()
	const want = "1=since 2=v2 3=v3 9=poison"
	if got := w.tableText(); got != want {
		t.Errorf("the table has %s, want %s", got, want)
	}
	if got := tame.holds("items"); len(got) != 4 || got["1"] != `{"v": "since"}` {
		t.Errorf("the other store has %v", got)
	}
	if got := value[string](w, `select string_agg(backend || ' ' || key, ',') from outbox.parked`); got != "main 9" {
		t.Errorf("parked are %q, want main 9", got)
	}
	if got := value[string](w, `select concat_ws(' ', backend, kind, key, who, details->>'load', details->'samples'->0->>'key') from outbox.events where what = 'revert refused'`); got != "main item 9 engine L 1" {
		t.Errorf("the event says %q", got)
	}
	if got := value[string](w, `select coalesce(max(metadata->'output'->>'phase'), '') from river.river_job where kind = 'revert'`); got != "refused" && got != "" {
		t.Errorf("the job says %q, want refused", got)
	}
}

// What stands in the way of a reversal may be a write that is reverted in its turn: then it is tried again, and all of it is
// undone in the end.
func TestRevertsOneAfterTheOther(t *testing.T) {
	t.Parallel()
	w, _ := newRejecting(t)
	w.c.Settings.Linger = 50 * time.Millisecond
	w.start()
	w.applied(rows(3))
	before := w.tableText()
	w.exec(`begin; ` + ofLoad("A") + `; update item set v = 'poison' where id = 1; commit; begin; ` + ofLoad("B") + `; update item set v = 'poison too' where id = 1; commit`)
	eventually(t, "both are reverted", func() bool { return w.tableText() == before })
	w.settled()
	w.agrees()
	if n := value[int](w, `select count(distinct details->>'load') from outbox.events where what = 'reverted'`); n != 2 {
		t.Errorf("%d loads were reverted, want 2", n)
	}
}

// What cannot be reverted is told by an event, and stays: a kind without history, and a load to which a transaction belongs that did not ask.
func TestWhatCannotBeReverted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sql     []string
		history bool
		want    string
	}{
		"no history": {[]string{ofLoad("L"), `insert into item values (9, 'poison')`}, false, "nothing is kept of transaction"},
		"a stranger": {[]string{ofLoad("L"), `insert into item values (9, 'poison')`}, true, "belongs to the load and did not ask for it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := newRejecting(t)
			w.c.Kinds[0].History = c.history
			w.start()
			w.applied(headers(`{"load": "L"}`), rows(3))
			w.write(c.sql...)
			if err := containsAll(w.event("revert refused"), c.want); err != nil {
				t.Error(err)
			}
			if got, want := w.tableText(), "1=v1 2=v2 3=v3 9=poison"; got != want {
				t.Errorf("the table has %s, want %s", got, want)
			}
		})
	}
}

// The position is not saved before the reversal is asked for: while that cannot be, the record is not parked and the
// transaction stays before the position, whichever process comes; as soon as it can be, it is.
func TestRevertIsAskedForBeforeThePositionMoves(t *testing.T) {
	t.Parallel()
	w, _ := newRejecting(t)
	w.start()
	w.applied(rows(3))
	before := w.tableText()
	w.exec(`create sequence tries; create function fault() returns trigger language plpgsql as $$
begin
  if nextval('tries') < 4 then raise exception 'as commanded'; end if;
  if exists (select from outbox.parked) then raise exception 'the record was parked before'; end if;
  return new;
end $$;
create trigger fault before insert on outbox.reversals for each row execute function fault()`)
	w.write(ofLoad("L"), `insert into item values (9, 'poison')`)
	eventually(t, "it is reverted", func() bool { return w.tableText() == before })
	w.settled()
	if n := value[int](w, `select count(*) from outbox.parked`); n != 0 {
		t.Errorf("%d records are parked, want none", n)
	}
}

// A reversal that was asked for is done by whichever process comes, also when the one that asked died before it could save its
// position: the record is refused again, and asking again does nothing more.
func TestRevertOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	w, _ := newRejecting(t)
	_, stop := w.start()
	w.applied(rows(3))
	before := w.tableText()
	w.exec(`create function fault() returns trigger language plpgsql as $$
begin
  if exists (select from outbox.reversals) then raise exception 'as commanded'; end if;
  return new;
end $$;
create trigger fault before update of position on outbox.lanes for each row when (old.backend = 'main') execute function fault()`)
	if err := w.river().QueuePause(t.Context(), "maintenance", nil); err != nil {
		t.Fatal(err)
	}
	w.write(ofLoad("L"), `insert into item values (9, 'poison')`)
	eventually(t, "it is asked for", func() bool { return value[int](w, `select count(*) from outbox.reversals`) == 1 })
	stop()
	if got := w.tableText(); got == before || value[int](w, `select count(*) from outbox.parked`) != 0 {
		t.Fatal("this test proves nothing: it was reverted, or the record is parked, before the process ended")
	}
	w.exec(`drop trigger fault on outbox.lanes`)
	asked := value[int](w, `select asked from outbox.reversals`)
	w.run()
	eventually(t, "the record is refused again and parked", func() bool {
		return value[bool](w, `select asked > $1 from outbox.reversals`, asked) && value[int](w, `select count(*) from outbox.parked`) == 1
	})
	if err := w.river().QueueResume(t.Context(), "maintenance", nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is reverted", func() bool { return w.tableText() == before })
	w.settled()
	w.agrees()
	if n := value[int](w, `select count(*) from river.river_job where kind = 'revert'`); n != 1 {
		t.Errorf("%d jobs were inserted, want 1", n)
	}
}

// A worker reverts with its own rights: without those on the table it does not, and an event says what is missing; once it has
// them the job that is sent again does it.
func TestRevertNeedsRightsOnTheTable(t *testing.T) {
	t.Parallel()
	w, _ := newRejecting(t)
	if err := jobs.Setup(t.Context(), jobs.Config{Pool: w.pool, Kinds: w.c.Kinds}); err != nil {
		t.Fatal(err)
	}
	role, pool := w.as("worker", workerRights)
	w.c.Pool = pool
	w.start()
	w.applied(rows(3))
	before := w.tableText()
	w.write(ofLoad("L"), `insert into item values (9, 'poison')`)
	if err := containsAll(w.event("revert refused"), "permission denied for table item"); err != nil {
		t.Error(err)
	}
	w.exec(`grant insert, update, delete on item to ` + role)
	eventually(t, "it is reverted", func() bool { return w.tableText() == before })
	w.settled()
	w.agrees()
	if got := value[string](w, `select string_agg(what, ',' order by id) from outbox.events where what like '%revert%'`); !strings.HasSuffix(got, "revert refused,reverted") {
		t.Errorf("the events are %s", got)
	}
}
