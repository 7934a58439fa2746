package outbox

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Processes of this host that have ended are marked as gone; those of other hosts, of which nobody here knows, are
// not.
func TestBuryMarksTheDeadOfThisHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alive := Process{Owner: "alive", Host: "here", PID: 1, Started: "100"}
	dead := Process{Owner: "dead", Host: "here", PID: 2, Started: "200"}
	gone := Process{Owner: "gone", Host: "here", PID: 3, Started: "300"}
	for _, p := range []Process{alive, dead, gone, {Owner: "elsewhere", Host: "there", PID: 2, Started: "200"}} {
		w.ok(Register(t.Context(), w.pool, p))
	}
	w.ok(Leave(t.Context(), w.pool, "gone"))
	since := w.text("select gone_at from outbox.owners where owner = 'gone'")
	asked := map[string]Process{}
	for range 2 {
		w.ok(Bury(t.Context(), w.pool, "here", func(p Process) bool { asked[p.Owner] = p; return p == alive }))
	}
	if diff := cmp.Diff(map[string]Process{"alive": alive, "dead": dead}, asked); diff != "" {
		t.Error(diff)
	}
	w.want("alive elsewhere", "select string_agg(owner, ' ' order by owner) from outbox.owners where gone_at is null")
	w.want("true", "select gone_at > clock_timestamp() - interval '1 min' from outbox.owners where owner = 'dead'")
	w.want(since, "select gone_at from outbox.owners where owner = 'gone'")
}

// A process that registers again has come back, and one that has been gone for a month is forgotten.
func TestOwnersComeBackAndAreForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	back := Process{Owner: "back", Host: "here"}
	w.ok(Register(t.Context(), w.pool, back))
	w.ok(Leave(t.Context(), w.pool, "back"))
	w.ok(Register(t.Context(), w.pool, back))
	w.exec(`insert into outbox.owners (owner, host, pid, started, seen_at, gone_at) values
 ('old', 'there', 1, '', now() - interval '99 days', now() - interval '31 days'), ('recent', 'there', 1, '', now() - interval '99 days', now() - interval '29 days')`)
	w.ok(Bury(t.Context(), w.pool, "here", func(Process) bool { return true }))
	w.want("back- recent+", "select string_agg(owner || case when gone_at is null then '-' else '+' end, ' ' order by owner) from outbox.owners")
}

// What PostgreSQL refuses is an error that says what was being done.
func TestOwnerErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	w.ok(Register(t.Context(), w.pool, Process{Owner: "p", Host: "here"}))
	ctx, stop := context.WithCancel(t.Context())
	for want, err := range map[string]error{
		"registering process p":          Register(over, w.pool, Process{Owner: "p"}),
		"leaving as process p":           Leave(over, w.pool, "p"),
		"listing processes of this host": Bury(over, w.pool, "here", nil),
		"leaving as process p:":          Bury(ctx, w.pool, "here", func(Process) bool { stop(); return false }),
		"forgetting processes":           buryWithoutRight(w),
	} {
		if !contains(err, want) {
			t.Errorf("got %v, want that %s failed", err, want)
		}
	}
}

func buryWithoutRight(w world) error {
	w.exec(`create function no() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
create trigger no before delete on outbox.owners for each statement execute function no()`)
	return Bury(w.Context(), w.pool, "nowhere", nil)
}
