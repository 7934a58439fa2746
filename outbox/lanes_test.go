package outbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// The lanes of a backend share all hashes, without gap or overlap, and start at the present.
func TestAddBackend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before, open := w.writes("before"), w.begin()
	open.logs("open")
	for _, lanes := range []int{1, 3, 256} {
		name := fmt.Sprint("b", lanes)
		w.addBackend(name, lanes)
		w.want(fmt.Sprint(lanes), "select count(*) from outbox.lanes where backend = $1", name)
		w.want("true", `select bool_and(lo = coalesce(l, 0)) and max(hi) = 4294967296 and max(hi - lo) - min(hi - lo) <= 1
 from (select *, lag(hi) over (order by lane) l from outbox.lanes where backend = $1) q`, name)
		w.want("true false", `select bool_and(pg_visible_in_snapshot($2::text::xid8, position)) || ' ' || bool_or(pg_visible_in_snapshot($3::text::xid8, position))
 from outbox.lanes where backend = $1`, name, fmt.Sprint(before), fmt.Sprint(open.id()))
	}
	open.commit()
	tenure := w.take("b1", "p")
	if got, _ := w.page(NewReader(w.pool, tenure, nil), tenure.Start, 10); got != "open" {
		t.Errorf("a new backend is delivered %q, want what was open when it was added", got)
	}
}

// A backend that cannot be added, removed, paused, resumed or split is an error that says why.
func TestBackendErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	add := func(name string, lanes int) error {
		return pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) error { return AddBackend(t.Context(), tx, name, "test", lanes) })
	}
	for want, err := range map[string]error{
		"adding backend b: ":                  add("b", 1),
		"backend b exists":                    add("b", 1),
		"lanes is 0, must be 1 to 256":        add("c", 0),
		"lanes is 257, must be 1 to 256":      add("c", 257),
		"adding backend Not a name":           add("Not a name", 1),
		"removing backend c: no such backend": RemoveBackend(t.Context(), w.pool, "c"),
		"pausing backend c: no such backend":  Pause(t.Context(), w.pool, "c", "operator", "why"),
		"pausing backend b":                   Pause(t.Context(), w.pool, "b", "nobody", "why"),
		"resuming backend c: no such backend": Resume(t.Context(), w.pool, "c"),
		"no such lane":                        Split(t.Context(), w.pool, "b", 7, 2),
		"splitting lane 0 of backend c":       Split(t.Context(), w.pool, "c", 0, 2),
		"1 parts, must be 2 to 256":           Split(t.Context(), w.pool, "b", 0, 1),
		"257 parts, must be 2 to 256":         Split(t.Context(), w.pool, "b", 0, 257),
	} {
		if !contains(err, want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, lanes := Lanes(over, w.pool)
	for want, err := range map[string]error{
		"reading the lanes": lanes, "advancing idle lanes": AdvanceIdle(over, w.pool), "resuming backend b": Resume(over, w.pool, "b"),
		"holding lane 0 of backend b": Split(over, w.pool, "b", 0, 2),
	} {
		if !contains(err, want) || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	w.want("b 1", "select backend || ' ' || count(*) from outbox.lanes group by backend")
}

// A removed backend takes everything with it that is its own.
func TestRemoveBackend(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b", "other")
	tenure := w.take("b", "p")
	w.ok(tenure.Save(t.Context(), w.pool, tenure.Start, Outcome{Parked: []Parked{{Kind: "k", Target: "t", Key: "a"}}}))
	w.ok(Suspect(t.Context(), w.pool, "b", "p", "k", []string{"a"}, 1, 1))
	w.ok(RemoveBackend(t.Context(), w.pool, "b"))
	w.want("other 0 0", `select string_agg(backend, ' ') || ' ' || (select count(*) from outbox.parked) || ' ' || (select count(*) from outbox.suspects) from outbox.lanes`)
}

// A pause keeps its first reason, unless the engine takes over from a breaker, or an operator from either; a resume ends it.
func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	for _, c := range []struct{ by, reason, want string }{
		{"breaker", "gone", "gone/breaker"},
		{"breaker", "still gone", "gone/breaker"},
		{"engine", "denied", "denied/engine"},
		{"breaker", "gone", "denied/engine"},
		{"engine", "other", "denied/engine"},
		{"operator", "maintenance", "maintenance/operator"},
		{"engine", "denied", "maintenance/operator"},
		{"operator", "more", "maintenance/operator"},
		{"", "", "/"},
		{"operator", "again", "again/operator"},
	} {
		if c.by == "" {
			w.ok(Resume(t.Context(), w.pool, "b"))
		} else {
			w.ok(Pause(t.Context(), w.pool, "b", c.by, c.reason))
		}
		lanes, _, err := Lanes(t.Context(), w.pool)
		w.ok(err)
		if got := lanes[0].Paused + "/" + lanes[0].PausedBy; got != c.want {
			t.Errorf("after %v it is paused: %s", c, got)
		}
		w.want(strconv.FormatBool(c.by != ""), "select paused_at > clock_timestamp() - interval '1 min' is true from outbox.backends")
	}
}

// Supervision sees which lanes have work and which are held, in one snapshot.
func TestLanes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if none, at, err := Lanes(t.Context(), w.pool); len(none) != 0 || !at.Zero() || err != nil {
		t.Errorf("without backends: %v, %v, %v", none, at, err)
	}
	open := w.begin()
	open.logs("open")
	for _, b := range []string{"idle", "held", "expired", "partly", "addressed", "late"} {
		w.addBackend(b, 1)
	}
	w.take("held", "p")
	w.take("expired", "p")
	w.expire("expired")
	w.ok(Relog(t.Context(), w.pool, "addressed", "k", []string{"a"}, Cause{}))
	w.exec("update outbox.lanes set target = position, after_tx = '5', after_id = 1 where backend = 'partly'")
	show := func() string {
		before, err := Now(t.Context(), w.pool)
		w.ok(err)
		lanes, at, err := Lanes(t.Context(), w.pool)
		w.ok(err)
		after, err := Now(t.Context(), w.pool)
		w.ok(err)
		// Other tests write in the same cluster, which a snapshot sees too.
		if at.Xmin() < before.Xmin() || at.Xmin() > after.Xmin() || at.Xmax() < before.Xmax() || at.Xmax() > after.Xmax() {
			t.Errorf("looked at %s, want between %s and %s", at, before, after)
		}
		var list []string
		for _, l := range lanes {
			list = append(list, fmt.Sprint(l.Backend, l.Lane, map[bool]string{true: " held"}[l.Held], map[bool]string{true: " behind"}[l.Behind]))
		}
		return strings.Join(list, ", ")
	}
	if got := show(); got != "addressed0 behind, expired0, held0 held, idle0, late0, partly0 behind" {
		t.Error(got)
	}
	open.commit() // was running at every position
	if got := show(); strings.Count(got, "behind") != 6 {
		t.Error(got)
	}
}

// Positions of lanes that have nothing to do move to the present, also when their owner died; all others stay.
func TestAdvanceIdle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "idle", "expired", "held", "partly", "addressed", "future")
	w.take("expired", "p")
	w.expire("expired")
	w.take("held", "p")
	w.exec("update outbox.lanes set target = position, after_tx = '5', after_id = 1 where backend = 'partly'; create table t ()")
	w.ok(Relog(t.Context(), w.pool, "addressed", "k", []string{"a"}, Cause{}))
	before := w.text("select pg_current_snapshot()")
	moved := func() string {
		w.ok(AdvanceIdle(t.Context(), w.pool))
		return w.text("select coalesce(string_agg(backend, ' ' order by backend), '') from outbox.lanes where pg_snapshot_xmax(position) >= pg_snapshot_xmax($1::pg_snapshot)", before)
	}
	w.exec("update outbox.lanes set position = '9999999:9999999:' where backend = 'future'")
	if got := moved(); got != "future" {
		t.Errorf("with a position in the future, %s moved", got)
	}
	w.exec("delete from outbox.lanes where backend = 'future'")
	if got := moved(); got != "expired idle" {
		t.Errorf("%s moved", got)
	}
	running := w.begin()
	running.logs("x")
	w.ok(AdvanceIdle(t.Context(), w.pool))
	running.commit()
	w.want("false", "select bool_or(pg_visible_in_snapshot($1::text::xid8, position)) from outbox.lanes", running.text("select tx from outbox.log where keys = '{x}'"))
}

// The parts of a split lane deliver together what the lane had still to deliver, each key once: in the middle of a
// delta, in any number of parts, more than once.
func TestSplitIsExact(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for seed := range uint64(8) {
		r, b := rand.New(rand.NewPCG(seed, 0)), fmt.Sprint("b", seed)
		w.addBackend(b, 1)
		tenure := w.take(b, "p")
		var all []string
		for i := range 1 + r.IntN(6) {
			var keys []string
			for k := range 1 + r.IntN(9) {
				keys = append(keys, fmt.Sprint(i, "-", k))
			}
			w.ok(Relog(t.Context(), w.pool, b, "k", keys, Cause{}))
			all = append(all, keys...)
		}
		pos, got := tenure.Start, []string{}
		for range r.IntN(4) {
			keys, p := w.page(NewReader(w.pool, tenure, nil), pos, 1+r.IntN(3))
			got, pos = append(got, strings.Fields(keys)...), p.Next
		}
		w.ok(tenure.Save(t.Context(), w.pool, pos, Outcome{}))
		w.ok(tenure.Release(t.Context(), w.pool))
		parts := 2 + r.IntN(4)
		w.ok(Split(t.Context(), w.pool, b, 0, parts))
		w.ok(Split(t.Context(), w.pool, b, r.IntN(parts), 2))
		for lane := range parts + 1 {
			part := w.takeFor(Claim{Backend: b, Lane: lane, Owner: "q", Lease: time.Minute})
			for at, more := part.Start, true; more; {
				keys, p := w.page(NewReader(w.pool, part, nil), at, 2)
				got, at, more = append(got, strings.Fields(keys)...), p.Next, p.More
			}
		}
		slices.Sort(all)
		slices.Sort(got)
		if diff := cmp.Diff(all, got); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}

// A split waits until the owner has finished its page and let go, and nobody else takes the lane meanwhile. The owner
// cannot save to what is left of the lane.
func TestSplitWaitsForTheOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	tenure := w.take("b", "p")
	done := make(chan error, 1)
	go func() { done <- Split(t.Context(), w.pool, "b", 0, 4) }()
	w.eventually("select hold > clock_timestamp() from outbox.lanes")
	w.ok(tenure.Renew(t.Context(), w.pool))
	if !tenure.Hold() {
		t.Error("the owner does not hear that the lane shall be split")
	}
	w.want("1", "select count(*) from outbox.lanes")
	w.ok(tenure.Release(t.Context(), w.pool))
	w.ok(<-done)
	w.isLost(tenure, tenure.Start)
	w.want("0: 0-1073741824, 1: 1073741824-2147483648, 2: 2147483648-3221225472, 3: 3221225472-4294967296",
		"select string_agg(format('%s: %s-%s', lane, lo, hi), ', ' order by lane) from outbox.lanes")
	w.want("true", "select bool_and(hold < clock_timestamp() and owner is null) from outbox.lanes")
	w.ok(w.take("b", "q").Release(t.Context(), w.pool))
}

// An owner that did not let go is suspected in every part, of that part's keys.
func TestSplitOfADeadOwnersLane(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	zombie := w.take("b", "zombie")
	keys := strings.Fields("a b c d e f g h")
	w.writes(keys...)
	w.expire("b")
	w.ok(Split(t.Context(), w.pool, "b", 0, 2))
	w.isLost(zombie, zombie.Start)
	w.take("b", "heir")
	w.takeFor(Claim{Backend: "b", Lane: 1, Owner: "heir", Lease: time.Minute, Zombie: time.Hour})
	if got := w.suspected(); got != "zombie: a b c d e f g h" {
		t.Errorf("suspects are %s", got)
	}
}

// A split that is given up, or that nobody ends, leaves the lane to whoever wants it.
func TestSplitThatIsGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	tenure := w.take("b", "p")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		w.eventually("select hold > clock_timestamp() from outbox.lanes")
		cancel()
	}()
	if err := Split(ctx, w.pool, "b", 0, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	w.ok(tenure.Release(t.Context(), w.pool))
	again := w.take("b", "q")
	w.ok(hold(t.Context(), w.pool, "b", 0, holdFor)) // by a process that dies
	w.ok(again.Release(t.Context(), w.pool))
	w.want("true", "select hold between clock_timestamp() and clock_timestamp() + interval '1 min' from outbox.lanes")
	w.exec("update outbox.lanes set hold = hold - interval '1 min'")
	w.take("b", "r")
}
