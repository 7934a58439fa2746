package outbox

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
)

// Events are told latest first, as they were noted; who is logged in did what nobody else is named for.
func TestEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	user := w.text(`select session_user`)
	events := []Event{
		{What: "paused", Who: Engine, Backend: "b", Reason: "no 'rights'"},
		{What: "dropped", Backend: "b", Kind: "k", Key: "1", Details: map[string]any{"error": "too\nlong"}},
		{What: "resumed", Who: "somebody", Backend: "c"},
	}
	w.ok(Note(t.Context(), w.pool))
	w.ok(Note(t.Context(), w.pool, events...))
	events[1].Who = user
	for _, c := range []struct {
		filter EventFilter
		limit  int
		want   []Event
	}{
		{EventFilter{}, 9, []Event{events[2], events[1], events[0]}},
		{EventFilter{}, 1, []Event{events[2]}},
		{EventFilter{Backend: "b"}, 9, []Event{events[1], events[0]}},
		{EventFilter{What: "paused"}, 9, []Event{events[0]}},
		{EventFilter{Kind: "k", Key: "1"}, 9, []Event{events[1]}},
		{EventFilter{Since: time.Now().Add(time.Hour)}, 9, nil},
	} {
		got, err := Events(t.Context(), w.pool, c.filter, c.limit)
		w.ok(err)
		if diff := cmp.Diff(c.want, got, cmpopts.IgnoreFields(Event{}, "ID", "At"), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%+v: %s", c.filter, diff)
		}
	}
}

// What a transaction did is not noted when it is rolled back.
func TestEventsOfARollback(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	undo := errors.New("undo")
	err := pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) error {
		w.ok(Note(t.Context(), tx, Event{What: "dropped"}))
		return undo
	})
	if !errors.Is(err, undo) {
		t.Fatal(err)
	}
	got, err := Events(t.Context(), w.pool, EventFilter{}, 9)
	w.ok(err)
	if len(got) != 0 {
		t.Errorf("noted: %+v", got)
	}
}
