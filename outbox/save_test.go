package outbox

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// parked lists what is parked, less times and versions.
func (w world) parked() string {
	w.Helper()
	return w.text(`select coalesce(string_agg(concat_ws(' ', kind, target, key, class, error, advice, attempts), '; ' order by key), '') from outbox.parked`)
}

// A save stores the position with what was parked; what was unparked is forgotten. Parked again, a record keeps its
// first time and counts its attempts.
func TestSaveParksAndUnparks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b", "other")
	tenure, other := w.take("b", "p"), w.take("other", "p")
	odd := Parked{Kind: "k", Target: "t", Key: `["a,b", "{\"}"]`, Class: "rejected", Error: "it's \\ odd\n", Advice: "größer"}
	plain := Parked{Kind: "k", Target: "t", Key: "x", Class: "rejected", Error: "e", Advice: "a", Version: 7}
	w.ok(tenure.Save(t.Context(), w.pool, tenure.Start, Outcome{Parked: []Parked{odd, plain}}))
	w.ok(other.Save(t.Context(), w.pool, other.Start, Outcome{Parked: []Parked{plain}}))
	w.ok(tenure.Save(t.Context(), w.pool, tenure.Start, Outcome{Unparked: []RecordID{{"k", "t", odd.Key}, {"k", "other", "x"}, {"word", "t", "x"}}}))
	w.want("b other", "select string_agg(backend, ' ' order by backend) from outbox.parked")
	w.ok(other.Save(t.Context(), w.pool, other.Start, Outcome{Unparked: []RecordID{{"k", "t", "x"}}}))
	if got := w.parked(); got != "k t x rejected e a 1" {
		t.Errorf("parked: %s", got)
	}
	plain.Class, plain.Error, plain.Version = "schema", "again", 9
	w.ok(tenure.Save(t.Context(), w.pool, tenure.Start, Outcome{Parked: []Parked{plain, odd}}))
	if got := w.parked(); got != `k t ["a,b", "{\"}"] rejected it's \ odd`+"\n größer 1; k t x schema again a 2" {
		t.Errorf("parked: %s", got)
	}
	w.want("true", "select first_at < last_at and version = 9 from outbox.parked where key = 'x'")
}

// The holder learns what is parked of a kind in its own range, and of its own backend.
func TestParkedIDsAreThoseOfTheRange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "other")
	w.addBackend("b", 2)
	first, second := w.take("b", "p"), w.takeFor(Claim{Backend: "b", Lane: 1, Owner: "p", Lease: 1e10})
	var all []Parked
	for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		all = append(all, Parked{Kind: "k", Target: "t", Key: key, Class: "rejected"})
	}
	elsewhere := Parked{Kind: "other", Target: "t", Key: "a", Class: "rejected"}
	w.ok(first.Save(t.Context(), w.pool, first.Start, Outcome{Parked: append(all, elsewhere)}))
	of1, err := first.ParkedIDs(t.Context(), w.pool, "k")
	w.ok(err)
	of2, err := second.ParkedIDs(t.Context(), w.pool, "k")
	w.ok(err)
	var want, want2 []RecordID
	for _, p := range all {
		if id := (RecordID{p.Kind, p.Target, p.Key}); Hash("k", p.Key) < 1<<31 {
			want = append(want, id)
		} else {
			want2 = append(want2, id)
		}
	}
	byKey := cmpopts.SortSlices(func(a, b RecordID) bool { return a.Key < b.Key })
	if diff := cmp.Diff(want, of1, byKey) + cmp.Diff(want2, of2, byKey); diff != "" || len(want) == 0 || len(want2) == 0 {
		t.Error(diff)
	}
	of3, err := w.take("other", "p").ParkedIDs(t.Context(), w.pool, "k")
	if err != nil || len(of3) != 0 {
		t.Errorf("%v are parked by another backend: %v", of3, err)
	}
}

// The commits of saves and renewals are not waited for, and that setting does not stay on the connection.
func TestSavesAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	tenure := w.take("b", "p")
	w.exec(`create table seen (setting text);
create function see() returns trigger language plpgsql as $$ begin insert into seen values (current_setting('synchronous_commit')); return null; end $$;
create trigger see after update on outbox.lanes for each statement execute function see()`)
	conn := w.connect()
	w.ok(tenure.Save(t.Context(), conn, tenure.Start, Outcome{}))
	w.ok(tenure.Renew(t.Context(), conn))
	w.want("off off", "select string_agg(setting, ' ') from seen")
	if got := text(t, conn, "select current_setting('synchronous_commit')"); got != "on" {
		t.Errorf("afterwards it is %s", got)
	}
}

// A save that failed has changed nothing, and the next one works.
func TestFailedSaveStoresNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	tenure := w.take("b", "p")
	before := w.text("select l from outbox.lanes l")
	err := tenure.Save(t.Context(), w.pool, tenure.Start, Outcome{Parked: []Parked{{Kind: "k", Target: "t", Key: "nul \x00"}}})
	if err == nil || errors.Is(err, ErrLost) {
		t.Errorf("got %v", err)
	}
	w.want(before, "select l from outbox.lanes l")
	w.ok(tenure.Save(t.Context(), w.pool, tenure.Start, Outcome{}))
}
