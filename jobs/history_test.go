package jobs_test

import (
	"strings"
	"testing"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
)

// ahead makes the store newer than the database, as after a restore: it has a record that PostgreSQL has not, and
// another one in a later state with a later version. The log knows of neither.
func (w *world) ahead() {
	w.t.Helper()
	w.exec(`delete from outbox.log`)
	w.store.set(func(f *fake) {
		for key, doc := range map[string]string{"1": `{"v": "later"}`, "99": `{"v": "gone"}`} {
			f.targets["items"][key] = backends.Record{Key: key, Version: 1 << 50, Doc: []byte(doc), Digest: backends.ContentDigest([]byte(doc), nil)}
		}
	})
}

// mended waits until the verifies that a new history asks for have made the store agree.
func (w *world) mended() {
	w.t.Helper()
	eventually(w.t, "a verify with repair is done", func() bool {
		return value[int](w, `select count(*) from river.river_job where kind = 'verify' and queue = 'main' and state = 'completed'
 and args = '{"repair": true, "backend": "main"}' and (metadata->'output'->'targets'->0->>'repaired')::int = 2`) == 1
	})
	w.drained()
	w.agrees()
	if n := value[int](w, `select count(*) from river.river_job where kind = 'verify'`); n != 1 {
		w.t.Errorf("%d verifies were queued", n)
	}
}

// A new history that an engine finds when it starts is settled before anything is read: positions are rebased, and
// every backend is verified and repaired, stores that are ahead of the database too.
func TestNewHistoryAtStart(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"restored":         `update outbox.history set system_id = 'another'`,
		"promoted":         `update outbox.history set timeline = '0000000A'`,
		"copied":           `update outbox.history set database_oid = 1`,
		"dump and restore": `update outbox.lanes set position = '4000000000:4000000000:'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			_, stop := w.start()
			w.applied(rows(3))
			w.drained()
			stop()
			w.ahead()
			w.exec(change)
			w.run()
			w.mended()
			w.applied(`update item set v = 'after'`)
			w.agrees()
		})
	}
}

// A new history while engines run is noticed by whoever takes a lane, and once: the verify is queued for each backend
// one time, however many processes noticed.
func TestNewHistoryWhileRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.run()
	w.applied(rows(3))
	w.drained()
	eventually(t, "the lane is free", func() bool { return value[int](w, `select count(*) from outbox.lanes where owner is null`) == 1 })
	w.ahead()
	w.exec(`update outbox.history set timeline = '0000000A'`)
	token := w.write(`insert into item values (4, 'four')`)
	w.wait(token)
	w.mended()
}

// A database that was replaced by an older one looks as if nothing was behind; it is noticed all the same.
func TestPositionInTheFutureWhileRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.applied(rows(3))
	w.drained()
	eventually(t, "the lane is free", func() bool { return value[int](w, `select count(*) from outbox.lanes where owner is null`) == 1 })
	w.ahead()
	w.exec(`update outbox.lanes set position = '4000000000:4000000000:'`)
	w.mended()
}

// Where copies are refused, a copy is refused, with what to do; a promoted standby is not a copy.
func TestRefuseCopy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.RefuseCopy = true
	if err := jobs.Setup(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	e, err := jobs.New(t.Context(), w.c)
	if err != nil {
		t.Fatal(err)
	}
	w.exec(`update outbox.history set system_id = 'another'`)
	err = e.Run(t.Context())
	if err == nil || containsAll(err.Error(), "other cluster", "may be a copy", "allow it in the settings") != nil {
		t.Errorf("a copy: %v", err)
	}
	if err := jobs.Setup(t.Context(), w.c); err == nil || !strings.Contains(err.Error(), "may be a copy") {
		t.Errorf("setting up a copy: %v", err)
	}
	w.exec(`update outbox.history set system_id = (select system_id from outbox.here()), timeline = '0000000A'`)
	w.run()
	eventually(t, "the positions are rebased", func() bool {
		return value[bool](w, `select outbox.trouble() is null`) // a token from before means nothing after
	})
	w.applied(rows(3))
	w.agrees()
}

// A standby is refused, and nothing is rebased.
func TestStandbyIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := jobs.Setup(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	before := value[string](w, `select position::text from outbox.lanes`)
	w.exec(`create or replace function outbox.trouble() returns text language sql as $$ select 'standby' $$`)
	e, err := jobs.New(t.Context(), w.c)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "the database is a standby") {
		t.Errorf("a standby: %v", err)
	}
	if after := value[string](w, `select position::text from outbox.lanes`); after != before {
		t.Errorf("the position went from %s to %s", before, after)
	}
}
