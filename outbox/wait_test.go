package outbox

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// reached asks whether the backends have applied a transaction, and answers what Wait would say.
func (w world) reached(tx uint64, backends ...string) string {
	w.Helper()
	list, err := behind(w.Context(), w.pool, fmt.Sprint(tx), backends)
	w.ok(err)
	return fmt.Sprint(list)
}

// applies reads a page of a backend and saves it as applied.
func (w world) applies(t *Tenure, pos Position, limit int) Position {
	w.Helper()
	_, p := w.page(NewReader(w.pool, t, nil), pos, limit)
	w.ok(t.Save(w.Context(), w.pool, p.Next, Outcome{}))
	return p.Next
}

// A transaction is reached when its last row is applied, not when a page of it is; in every lane; and a running one
// never is.
func TestWaitIsExact(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b", "other")
	tenure := w.take("b", "p")
	big := w.begin()
	for i := range 4 {
		big.logs(fmt.Sprint(i))
	}
	id := big.id()
	if got := w.reached(id, "b"); got != "[b]" {
		t.Errorf("while it runs: behind are %s", got)
	}
	big.commit()
	later := w.writes("later")
	pos := tenure.Start
	for rows := range 4 {
		if got := w.reached(id); got != "[b other]" {
			t.Errorf("after %d of 4 rows behind are %s", rows, got)
		}
		pos = w.applies(tenure, pos, 1)
	}
	if got := w.reached(id) + w.reached(later) + w.reached(id, "b"); got != "[other][b other][]" {
		t.Errorf("after all rows behind are %s", got)
	}
	w.applies(tenure, pos, 10)
	if got := w.reached(later, "b"); got != "[]" {
		t.Errorf("at the end behind are %s", got)
	}
	w.ok(Wait(t.Context(), w.pool, fmt.Sprint(later), "b"))
}

// Nothing is to be waited for: no token, a transaction that was rolled back, one that wrote nothing that concerns the
// backend, no backends at all.
func TestWaitForNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ok(Wait(t.Context(), w.pool, "7"))
	w.addBackend("b", 1)
	w.ok(Wait(t.Context(), nil, ""))
	aborted := w.begin()
	aborted.logs("a")
	id := aborted.id()
	aborted.end("rollback")
	other := w.begin()
	_, err := other.conn.Exec(t.Context(), "insert into outbox.log (kind, keys, backend) values ('k', '{x}', 'other')")
	w.ok(err)
	for _, tx := range []uint64{id, other.commit()} {
		w.ok(Wait(t.Context(), w.pool, fmt.Sprint(tx), "b"))
	}
}

// What follows from a transaction is waited for as well: rows that a reader logged on behalf of it, for that backend,
// alone or among others.
func TestWaitForWhatFollows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b", "other")
	tenure := w.take("b", "p")
	before, first, last, after := w.writes("0"), w.writes("1"), w.writes("2"), w.writes("3")
	pos := w.applies(tenure, tenure.Start, 10)
	w.ok(Relog(t.Context(), w.pool, "b", "k", []string{"dependant"}, Cause{first, last}))
	got := w.reached(before, "b") + w.reached(first, "b") + w.reached(last, "b") + w.reached(after, "b")
	if got != "[][b][b][]" {
		t.Errorf("behind are %s", got)
	}
	w.ok(RelogAll(t.Context(), w.pool, "b", "word", Cause{after, after}))
	pos = w.applies(tenure, pos, 1)
	if got := w.reached(first, "b") + w.reached(after, "b"); got != "[][b]" {
		t.Errorf("behind are %s", got)
	}
	w.applies(tenure, pos, 10)
	w.ok(Wait(t.Context(), w.pool, fmt.Sprint(after), "b"))
}

// Every lane counts.
func TestWaitForAllLanes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addBackend("b", 2)
	id := w.writes("a", "b", "c", "d", "e", "f")
	for lane := range 2 {
		if got := w.reached(id); got != "[b]" {
			t.Errorf("with %d of 2 lanes behind are %s", lane, got)
		}
		tenure := w.takeFor(Claim{Backend: "b", Lane: lane, Owner: "p", Lease: time.Minute})
		w.applies(tenure, tenure.Start, 10)
	}
	w.ok(Wait(t.Context(), w.pool, fmt.Sprint(id)))
}

// A wait ends as soon as the position is there.
func TestWaitReturns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	tenure, id := w.take("b", "p"), w.writes("a")
	done := make(chan error, 1)
	go func() { done <- Wait(t.Context(), w.pool, fmt.Sprint(id), "b") }()
	w.applies(tenure, tenure.Start, 10)
	w.ok(<-done)
}

// Who waits in vain hears for whom, and why they do not come.
func TestWaitSaysWhoIsBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b", "c")
	w.ok(Pause(t.Context(), w.pool, "b", "operator", "new disks"))
	id := w.writes("x")
	tenure := w.take("c", "p")
	w.applies(tenure, tenure.Start, 10)
	gaveUp := errors.New("gave up")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 500*time.Millisecond, gaveUp)
	defer cancel()
	w.reached(id) // connects
	err := Wait(ctx, w.pool, fmt.Sprint(id))
	if !errors.Is(err, gaveUp) || !contains(err, "still behind: a, b (paused: new disks): gave up") {
		t.Errorf("got %v", err)
	}
}

// A token that is none, a backend that is none and a database that does not answer are errors.
func TestWaitErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	for token, want := range map[string]string{"x": `"x" is not a transaction id`, "0": `"0" is not a transaction id`} {
		if err := Wait(t.Context(), nil, token); !contains(err, want) {
			t.Errorf("token %s: %v", token, err)
		}
	}
	err := Wait(t.Context(), w.pool, "7", "b", "search", "vectors")
	if !contains(err, `no backend "search"`) || !contains(err, `no backend "vectors"`) {
		t.Errorf("got %v", err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Wait(over, w.pool, "7", "b"); !errors.Is(err, context.Canceled) || !contains(err, "waiting for token 7") {
		t.Errorf("got %v", err)
	}
	w.exec("alter table outbox.backends rename to gone")
	if err := Wait(t.Context(), w.pool, "7", "b"); !contains(err, "waiting for token 7") {
		t.Errorf("got %v", err)
	}
}
