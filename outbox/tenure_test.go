package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A lane has one holder. Others get it once it is released, or once the lease has run out.
func TestTakeExcludesOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	claim := Claim{Backend: "b", Owner: "second", Lease: time.Minute, Zombie: time.Hour}
	free := func(want bool) {
		t.Helper()
		got, err := Take(t.Context(), w.pool, claim)
		w.ok(err)
		if (got != nil) != want {
			t.Errorf("taken: %v, want %v", got != nil, want)
		}
		if got != nil {
			w.ok(got.Release(t.Context(), w.pool))
		}
	}
	first := w.take("b", "first")
	free(false)
	w.ok(first.Release(t.Context(), w.pool))
	free(true)
	w.take("b", "first")
	w.expire("b")
	free(true)
	w.ok(hold(t.Context(), w.pool, "b", 0, time.Hour))
	free(false)
	w.ok(hold(t.Context(), w.pool, "b", 0, 0))
	free(true)
	claim.Lane = 7 // there is none
	free(false)
}

// Whoever looks at the row at the same time does not wait for it: the lane is not free.
func TestTakeDoesNotWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	other := w.begin()
	_, err := other.conn.Exec(t.Context(), "update outbox.lanes set owner = 'other', expires = 'infinity'")
	w.ok(err)
	got, err := Take(t.Context(), w.pool, Claim{Backend: "b", Owner: "p", Lease: time.Minute})
	if got != nil || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

// Of many that race for a lane whose lease has run out, one gets it; the others neither fail nor share it, and every
// tenure has a greater epoch than those before it.
func TestRacingTakersOneWins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	var last int64
	for round := range 25 {
		if round%2 == 0 {
			w.expire("b")
		}
		var won []*Tenure
		var mu sync.Mutex
		var group sync.WaitGroup
		for i := range 6 {
			group.Go(func() {
				got, err := Take(t.Context(), w.pool, Claim{Backend: "b", Owner: fmt.Sprint(i), Lease: time.Minute, Zombie: time.Hour})
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				if got != nil {
					won = append(won, got)
				}
			})
		}
		group.Wait()
		if len(won) != 1 || won[0].Epoch <= last {
			t.Fatalf("round %d: %d takers won, after epoch %d", round, len(won), last)
		}
		last = won[0].Epoch
		w.want(fmt.Sprint(last), "select epoch from outbox.lanes")
		if round%2 == 0 {
			w.ok(won[0].Release(t.Context(), w.pool))
		}
	}
}

// A position comes back from the database as it was saved.
func TestTakeReadsThePosition(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	w.exec("select pg_current_xact_id()")
	at, err := Now(t.Context(), w.pool)
	w.ok(err)
	for _, pos := range []Position{{At: at}, {At: Snapshot{xmin: 3, xmax: 9, xip: []uint64{3, 7}}, Target: at, After: Place{5, 1 << 40}}} {
		tenure := w.take("b", "p")
		w.ok(tenure.Save(t.Context(), w.pool, pos, Outcome{}))
		w.ok(tenure.Release(t.Context(), w.pool))
		again := w.take("b", "p")
		if diff := cmp.Diff(pos, again.Start, cmp.AllowUnexported(Snapshot{})); diff != "" {
			t.Error(diff)
		}
		if again.Range != all || again.Owner != "p" || again.Backend != "b" {
			t.Errorf("the tenure is of %+v", again.Range)
		}
		w.ok(again.Release(t.Context(), w.pool))
	}
}

// Versions only grow: within a tenure, across saves and floors, across tenures, and when the clock is behind the
// versions given out so far, as after it was set back.
func TestVersionsStrictlyGrow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	var given []int64
	give := func(tenure *Tenure, n int) {
		for range n {
			v, err := tenure.Version()
			w.ok(err)
			given = append(given, v)
		}
	}
	for round := range 4 {
		if round == 2 { // the clock goes back by an hour
			w.exec("update outbox.lanes set version = version + 3600000::bigint * 4096")
			given = append(given, 0)
			w.ok(w.pool.QueryRow(t.Context(), "select version from outbox.lanes").Scan(&given[len(given)-1]))
		}
		tenure := w.take("b", "p")
		given = append(given, tenure.Epoch)
		give(tenure, 3)
		w.ok(tenure.Save(t.Context(), w.pool, tenure.Start, Outcome{}))
		give(tenure, 3)
		w.ok(tenure.Renew(t.Context(), w.pool))
		give(tenure, 1)
		floor := given[len(given)-1] + 1<<30
		given = append(given, floor)
		w.ok(tenure.Save(t.Context(), w.pool, tenure.Start, Outcome{Floor: floor}))
		give(tenure, 3)
		if round%2 == 0 {
			w.expire("b")
		} else {
			w.ok(tenure.Release(t.Context(), w.pool))
		}
	}
	if !slices.IsSorted(given) || len(slices.Compact(slices.Clone(given))) != len(given) {
		t.Errorf("versions do not strictly grow: %v", given)
	}
	if last := given[len(given)-1]; last >= 1<<53 {
		t.Errorf("version %d is above what every store can hold exactly", last)
	}
}

// Every millisecond has 4096 versions, and they stay below 2^53 for a lifetime. A floor beyond that is not ours.
func TestVersionsFitADouble(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	w.want("true", `select outbox.next_version(0) between 1 << 40 and (1::bigint << 53)`)
	w.want("true", `select (extract(epoch from timestamptz '2093-09-06') * 1000 - 1704067200000) * 4096 < 1::bigint << 53`)
	w.want(fmt.Sprint(1<<52+1), `select outbox.next_version(1::bigint << 52)`) // ahead of the clock
	tenure := w.take("b", "p")
	w.ok(tenure.Save(t.Context(), w.pool, tenure.Start, Outcome{Floor: versionBound - 1}))
	if v, err := tenure.Version(); err != nil || v < versionBound || v >= 1<<53 {
		t.Errorf("above the highest floor follows %d: %v", v, err)
	}
	if err := tenure.Save(t.Context(), w.pool, tenure.Start, Outcome{Floor: versionBound}); err == nil {
		t.Error("a floor out of range is stored")
	}
	w.ok(tenure.Renew(t.Context(), w.pool))
}

// A save reserves versions; when they are used up, nothing is given out until the next save.
func TestReserveOfVersions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	tenure := w.take("b", "p")
	n := 1 // the epoch
	for {
		v, err := tenure.Version()
		if errors.Is(err, ErrSave) {
			break
		}
		if n++; v > tenure.reserved {
			t.Fatalf("version %d is not reserved", v)
		}
	}
	if n != versionsReserved {
		t.Errorf("%d versions of a reserve of %d", n, versionsReserved)
	}
	w.want(fmt.Sprint(tenure.reserved), "select version from outbox.lanes")
	w.ok(tenure.Renew(t.Context(), w.pool))
	if _, err := tenure.Version(); !errors.Is(err, ErrSave) {
		t.Errorf("a renewal reserved versions: %v", err)
	}
	w.ok(tenure.Save(t.Context(), w.pool, tenure.Start, Outcome{}))
	if _, err := tenure.Version(); err != nil {
		t.Error(err)
	}
}

// A send may begin during the first seven eighths of a lease, counted from before the statement that prolonged it.
func TestLive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tenure := &Tenure{ttl: 8 * time.Second, deadline: now()}
		begun := now()
		time.Sleep(7*time.Second - 1)
		if !tenure.Live() {
			t.Error("the lease is over before its time")
		}
		time.Sleep(time.Nanosecond)
		if tenure.Live() {
			t.Error("the lease lives on")
		}
		tenure.saved(begun, 0, 0, false) // a renewal that was sent long ago
		if tenure.Live() {
			t.Error("the lease was prolonged from when the answer came")
		}
		tenure.saved(now(), 0, 0, true)
		if !tenure.Live() || !tenure.Hold() {
			t.Error("a renewal changed nothing")
		}
	})
}

// A moment is as old as the later of the two clocks says: a machine that slept stops one, an operator sets the other
// back.
func TestClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slept, back := now(), now()
		slept.wall = slept.wall.Add(-time.Hour)
		back.wall = back.wall.Add(time.Hour)
		time.Sleep(time.Second)
		if slept.age() != time.Hour+time.Second || back.age() != time.Second {
			t.Errorf("ages %v, %v", slept.age(), back.age())
		}
	})
}

// The holder hears that somebody wants the lane with its next save or renewal.
func TestHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	tenure := w.take("b", "p")
	for name, hear := range map[string]func() error{
		"Renew": func() error { return tenure.Renew(t.Context(), w.pool) },
		"Save":  func() error { return tenure.Save(t.Context(), w.pool, tenure.Start, Outcome{}) },
	} {
		for _, d := range []time.Duration{time.Hour, 0} {
			w.ok(hold(t.Context(), w.pool, "b", 0, d))
			w.ok(hear())
			if tenure.Hold() != (d > 0) {
				t.Errorf("%s: hold is %v for %v", name, tenure.Hold(), d)
			}
		}
	}
}

// A renewal prolongs the lease by its whole time, from then on.
func TestRenewProlongs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	tenure := w.take("b", "p")
	for _, prolong := range []func() error{
		func() error { return tenure.Renew(t.Context(), w.pool) },
		func() error { return tenure.Save(t.Context(), w.pool, tenure.Start, Outcome{}) },
	} {
		w.expire("b")
		tenure.deadline = clock{}
		w.ok(prolong())
		w.want("true", "select expires between clock_timestamp() + interval '30 s' and clock_timestamp() + interval '1 min' from outbox.lanes")
		if !tenure.Live() {
			t.Error("the tenure does not know of it")
		}
	}
}

// A lane that is lost cannot be released either, and its new owner keeps it.
func TestReleaseOfALostLane(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	zombie := w.take("b", "zombie")
	w.expire("b")
	w.take("b", "heir")
	if err := zombie.Release(t.Context(), w.pool); !errors.Is(err, ErrLost) {
		t.Errorf("got %v, want ErrLost", err)
	}
	w.want("heir", "select owner from outbox.lanes")
}

// meddler is a pool that does something else before it sends a batch.
type meddler struct {
	*pgxpool.Pool
	before func()
}

func (m meddler) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	m.before()
	return m.Pool.SendBatch(ctx, b)
}

// An owner that dies after it took the lane, before it has made its former's keys suspect, leaves that to the next
// one, which suspects both.
func TestFormersAreKeptUntilTheyAreSuspected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	w.take("b", "zombie")
	w.writes("a")
	w.expire("b")
	dead := &Tenure{Backend: "b", Owner: "dead", ttl: time.Minute}
	formers, err := dead.seize(t.Context(), w.pool)
	w.ok(err)
	if diff := cmp.Diff([]string{"zombie"}, formers); diff != "" {
		t.Error(diff)
	}
	w.ok(AdvanceIdle(t.Context(), w.pool)) // must not move over what is to be suspected
	w.expire("b")
	w.take("b", "heir")
	w.want("dead zombie", "select string_agg(owner, ' ' order by owner) from outbox.suspects where keys = '{a}'")
	w.want("{}", "select formers from outbox.lanes")
}

// An owner whose lane is taken while it suspects leaves it alone.
func TestTakeThatLosesTheLaneMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	w.take("b", "zombie")
	w.writes("a")
	w.expire("b")
	var heir *Tenure
	slow := meddler{Pool: w.pool, before: func() { w.expire("b"); heir = w.take("b", "heir") }}
	got, err := Take(t.Context(), slow, Claim{Backend: "b", Owner: "slow", Lease: time.Minute, Zombie: time.Hour})
	if got != nil || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	w.want("heir", "select owner from outbox.lanes")
	w.ok(heir.Renew(t.Context(), w.pool))
	w.want("slow zombie", "select string_agg(distinct owner, ' ' order by owner) from outbox.suspects where keys = '{a}'")
}

// What PostgreSQL refuses is an error that says what was being done, not a lost lane.
func TestTenureErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	tenure := w.take("b", "p")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, take := Take(over, w.pool, Claim{Backend: "b", Owner: "q", Lease: time.Minute})
	_, ids := tenure.ParkedIDs(over, w.pool, "k")
	for want, err := range map[string]error{
		"taking lane 0 of backend b":                 take,
		"saving the position of lane 0 of backend b": tenure.Save(over, w.pool, tenure.Start, Outcome{}),
		"renewing lane 0 of backend b":               tenure.Renew(over, w.pool),
		"releasing lane 0 of backend b":              tenure.Release(over, w.pool),
		"listing what backend b parked":              ids,
	} {
		if !errors.Is(err, context.Canceled) || errors.Is(err, ErrLost) || !contains(err, want) {
			t.Errorf("got %v, want that %s failed", err, want)
		}
	}
	w.ok(tenure.Save(t.Context(), w.pool, tenure.Start, Outcome{}))
}
