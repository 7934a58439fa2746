package outbox

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// The records of a reason are counted as the table groups them, whatever is in its names: those refused lately, without
// some, up to a bound.
func TestCountParked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b", "b2")
	tenure := w.take("b", "me")
	for _, why := range []ParkedReason{{"k", "t", "rejected", "too long"}, {"k", "t 2 t", "rejected", ""}, {"k", "größe", "denied", `it's "…"`}} {
		var list []Parked
		for _, key := range []string{"1", "2", "3"} {
			list = append(list, Parked{Kind: why.Kind, Target: why.Target, Key: key, Class: why.Class, Error: why.Pattern, Pattern: why.Pattern})
		}
		w.exec(`delete from outbox.parked`)
		w.ok(tenure.Save(w.Context(), w.pool, tenure.Start, Outcome{Parked: list}))
		for _, c := range []struct {
			backend string
			within  time.Duration
			without []string
			most    int
			want    int
		}{
			{"b", time.Hour, nil, 10, 3},
			{"b", time.Hour, nil, 2, 2},
			{"b", time.Hour, []string{"2", "9"}, 10, 2},
			{"b", -time.Hour, nil, 10, 0},
			{"b2", time.Hour, nil, 10, 0},
		} {
			got, err := CountParked(w.Context(), w.pool, c.backend, why, c.within, c.without, c.most)
			if err != nil || got != c.want {
				t.Fatalf("%+v: %d, %v", c, got, err)
			}
		}
		other := why
		other.Pattern += "!"
		if n, err := CountParked(w.Context(), w.pool, "b", other, time.Hour, nil, 10); n != 0 || err != nil {
			t.Fatalf("of another reason there are %d, %v", n, err)
		}
	}
}

// A backend is paused for one group at a time, by the first who finds it so, and an operator's pause stays.
func TestPauseForParked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	pause := func(pattern string) (mine bool) {
		t.Helper()
		w.ok(pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) (err error) {
			mine, err = PauseForParked(t.Context(), tx, "b", ParkedReason{"k", "t", "rejected", pattern}, time.Minute, "masses of "+pattern, map[string]any{"records": 7})
			return err
		}))
		return mine
	}
	state := `select coalesce(paused_by, '') || ' ' || coalesce((select string_agg(pattern, ',') from outbox.retries where limited), '') from outbox.backends`
	w.ok(Pause(t.Context(), w.pool, "b", ByEngine, "no right"))
	if !pause("x") || pause("y") {
		t.Error("it was paused by none, or by two")
	}
	w.want("limit x", state)
	w.want("paused engine b k masses of x 7", `select format('%s %s %s %s %s %s', what, who, backend, kind, reason, details->>'records') from outbox.events where kind is not null`)
	w.ok(Pause(t.Context(), w.pool, "b", ByEngine, "no right"))
	w.want("limit x", state)
	w.ok(Resume(t.Context(), w.pool, "b"))
	if !pause("y") {
		t.Error("it was not paused again")
	}
	w.want("limit y", state)
	w.ok(Pause(t.Context(), w.pool, "b", ByOperator, "new disks"))
	if pause("x") {
		t.Error("an operator's pause was taken over")
	}
	w.want("operator y", state)
}
