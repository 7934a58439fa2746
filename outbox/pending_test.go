package outbox

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// A backend has passed a snapshot when every lane has applied everything that it sees.
func TestPassed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "other")
	late := w.begin()
	late.logs("late")
	w.addBackend("b", 2)
	passed := func(at Snapshot, want bool) {
		t.Helper()
		got, err := Passed(t.Context(), w.pool, "b", at)
		if err != nil || got != want {
			t.Errorf("passed %v: %v", got, err)
		}
	}
	now := func() Snapshot {
		at, err := Now(t.Context(), w.pool)
		w.ok(err)
		return at
	}
	empty := now()
	passed(empty, true)
	w.writes("a")
	passed(empty, true)
	withA := now()
	passed(withA, false)
	for lane := range 2 {
		passed(withA, false)
		tenure := w.takeFor(Claim{Backend: "b", Lane: lane, Owner: "p", Lease: time.Minute})
		w.applies(tenure, tenure.Start, 10)
		w.ok(tenure.Release(t.Context(), w.pool))
	}
	passed(withA, true)
	late.commit()
	passed(withA, true)
	passed(now(), false)
	w.ok(Relog(t.Context(), w.pool, "other", "k", []string{"x"}, Cause{}))
}

// In flight are the keys that some lane has still to apply, and those that were committed after the snapshot even if
// they have been applied since. A change of all keys, or of a kind that leads to them, concerns every one.
func TestInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b", "other")
	keys := []string{"a", "b", "c"}
	var since Snapshot
	flies := func(want ...string) {
		t.Helper()
		got, err := InFlight(t.Context(), w.pool, "b", []string{"k", "parent"}, keys, since)
		slices.Sort(got)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
	}
	mark := func() {
		var err error
		since, err = Now(t.Context(), w.pool)
		w.ok(err)
	}
	tenure := w.take("b", "p")
	mark()
	flies()
	w.writes("a", "x")
	w.ok(Relog(t.Context(), w.pool, "other", "k", []string{"c"}, Cause{}))
	w.exec("insert into outbox.log (kind, keys) values ('unrelated', '{c}')")
	flies("a")
	late := w.begin()
	late.logs("b")
	mark()
	flies("a") // committed before, not applied
	late.commit()
	flies("a", "b")
	pos := w.applies(tenure, tenure.Start, 100)
	flies("b") // applied, but committed after the snapshot
	mark()
	flies()
	w.exec("insert into outbox.log (kind, keys) values ('parent', '{y}')")
	flies("a", "b", "c")
	pos = w.applies(tenure, pos, 100)
	mark()
	w.ok(RelogAll(t.Context(), w.pool, "b", "k", Cause{}))
	flies("a", "b", "c")
	w.applies(tenure, pos, 100)
	mark()
	flies()
}

// A database that does not answer is an error that says what was asked.
func TestPendingErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, flight := InFlight(over, w.pool, "b", nil, nil, Snapshot{xmin: 1, xmax: 1})
	_, passed := Passed(over, w.pool, "b", Snapshot{xmin: 1, xmax: 1})
	_, now := Now(over, w.pool)
	for want, err := range map[string]error{"in flight to backend b": flight, "comparing positions of backend b": passed, "taking a snapshot": now} {
		if !contains(err, want) {
			t.Errorf("got %v, want that %s failed", err, want)
		}
	}
}
