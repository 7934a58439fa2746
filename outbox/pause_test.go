package outbox

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A backend that a process does not reach is paused, unless another process saves positions of it, or has let go of a
// lane after doing so since. Who paused it is who may resume it.
func TestPauseUnreached(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	pauses := func(what string, want bool) {
		t.Helper()
		got, err := PauseUnreached(t.Context(), w.pool, "b", "me", "gone", 2*time.Second)
		if w.ok(err); got != want {
			t.Errorf("%s: paused is %v", what, got)
		}
		resumed, err := ResumeFrom(t.Context(), w.pool, "b", ByBreaker)
		if w.ok(err); resumed != want {
			t.Errorf("%s: resumed is %v", what, resumed)
		}
	}
	lane := func(owner, expires, saved string) {
		w.exec("update outbox.lanes set owner = nullif('" + owner + "', ''), expires = clock_timestamp() + '" + expires + "', saved_at = clock_timestamp() - interval '" + saved + "'")
	}
	for _, c := range []struct {
		what, owner, expires, saved string
		want                        bool
	}{
		{"nobody has it", "", "0", "1 min", true},
		{"another saves", "other", "10 s", "1 s", false},
		{"another has not saved lately", "other", "10 s", "1 min", true},
		{"another has died", "other", "-1 s", "1 s", true},
		{"we have it", "me", "10 s", "1 s", true},
		{"another has let go of it", "", "0", "1 s", false},
		{"we had let go of it before", "", "0", "3 s", true},
	} {
		lane(c.owner, c.expires, c.saved)
		pauses(c.what, c.want)
	}
	w.ok(Pause(t.Context(), w.pool, "b", ByOperator, "maintenance"))
	if got, err := PauseUnreached(t.Context(), w.pool, "b", "me", "gone", time.Second); err != nil || !got {
		t.Errorf("a paused backend is not: %v, %v", got, err)
	}
	if resumed, err := ResumeFrom(t.Context(), w.pool, "b", ByBreaker); err != nil || resumed {
		t.Errorf("an operator's pause was taken off: %v", err)
	}
	w.want("maintenance", "select paused from outbox.backends")
	w.ok(Resume(t.Context(), w.pool, "b"))
	list, err := Events(t.Context(), w.pool, EventFilter{Backend: "b"}, 3)
	w.ok(err)
	var got []string
	for _, e := range list {
		got = append(got, e.What+": "+e.Reason)
	}
	if diff := cmp.Diff([]string{"resumed: it was paused: maintenance", "paused: maintenance", "resumed: it was paused: gone"}, got); diff != "" {
		t.Error(diff)
	}
	if list[1].Who == Engine || list[2].Who != Engine {
		t.Errorf("who did it is %q and %q", list[1].Who, list[2].Who)
	}
}
