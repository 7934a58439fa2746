package outbox

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// suspected lists the suspects as "owner: keys", ordered.
func (w world) suspected() string {
	w.Helper()
	return w.text(`select coalesce(string_agg(s, '; ' order by s), '') from (
 select owner || ': ' || string_agg(k, ' ' order by k) s from outbox.suspects cross join unnest(keys) k group by owner) q`)
}

// Whoever takes over an expired lease makes everything suspect that its former may have in hand: all rows that were
// visible and are not covered by the saved position, whatever the former had read beyond it.
func TestB8TakeoverSuspectsTheUnsavedDelta(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b", "other")
	zombie := w.take("b", "zombie")
	r := NewReader(w.pool, zombie, nil)
	w.writes("saved")
	_, p := w.page(r, zombie.Start, 10)
	w.ok(zombie.Save(t.Context(), w.pool, p.Next, Outcome{}))
	open := w.begin()
	open.logs("late")
	w.writes("in hand", "twice")
	w.ok(Relog(t.Context(), w.pool, "b", "k", []string{"twice", "addressed"}, Cause{}))
	w.ok(Relog(t.Context(), w.pool, "other", "k", []string{"elsewhere"}, Cause{}))
	_, p = w.page(r, p.Next, 10) // in hand, not saved
	open.commit()
	w.page(r, p.Next, 10) // and the late one
	running := w.begin()
	running.logs("nobody has read this")
	w.expire("b")
	heir := w.take("b", "heir")
	running.commit()
	if got := w.suspected(); got != "zombie: addressed in hand late twice" {
		t.Errorf("suspects are %s", got)
	}
	w.want("true", `select bool_and(due between clock_timestamp() + interval '30 s' and clock_timestamp() + interval '1 min'
 and pause = '1 min' and until between clock_timestamp() + interval '55 min' and clock_timestamp() + interval '1 h' and backend = 'b') from outbox.suspects`)
	if got, _ := w.page(NewReader(w.pool, heir, nil), heir.Start, 10); !strings.HasPrefix(got, "late") {
		t.Errorf("the new owner begins with %q", got)
	}
	w.ok(heir.Release(t.Context(), w.pool))
	w.ok(w.take("b", "next").Release(t.Context(), w.pool))
	if got := w.suspected(); strings.Contains(got, "heir") {
		t.Errorf("an owner that let go is suspected: %s", got)
	}
}

// Only keys of the lane are suspect, only what the position leaves of a delta, and all of it however much it is.
func TestTakeoverSuspectsItsRangeOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addBackend("b", 2)
	zombie := w.take("b", "zombie")
	w.exec(fmt.Sprintf(`insert into outbox.log (kind, keys) select 'k', array[g::text, g || 'x'] from generate_series(1, %d) g`, suspectRows+7))
	_, p := w.page(NewReader(w.pool, zombie, nil), zombie.Start, 5)
	w.ok(zombie.Save(t.Context(), w.pool, p.Next, Outcome{}))
	w.writes("1", "behind the target")
	w.expire("b")
	w.take("b", "heir")
	rows, err := w.pool.Query(t.Context(), "select unnest(keys) from outbox.suspects")
	w.ok(err)
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	w.ok(err)
	seen := map[string]bool{}
	for _, k := range got {
		seen[k] = true
	}
	want := 0
	for i := 6; i <= suspectRows+7; i++ {
		for _, k := range []string{fmt.Sprint(i), fmt.Sprint(i, "x")} {
			k = strings.ReplaceAll(k, " ", "")
			if Hash("k", k) < 1<<31 {
				want++
				if !seen[k] {
					t.Fatalf("key %s is not suspect", k)
				}
			}
		}
	}
	for _, k := range []string{"1", "behind the target"} {
		if Hash("k", k) < 1<<31 {
			want++
		}
		if seen[k] != (Hash("k", k) < 1<<31) {
			t.Errorf("key %s is suspect: %v", k, seen[k])
		}
	}
	if len(seen) != want {
		t.Errorf("%d keys are suspect, want the %d of the lane", len(seen), want)
	}
}

// relogged lists the keys that were logged again as suspects, with a count if more than one.
func (w world) relogged(backend string) string {
	w.Helper()
	return w.text(`select coalesce(string_agg(k || case when n > 1 then ' x' || n else '' end, ', ' order by k), '') from (
 select k, count(*) n from outbox.log cross join unnest(keys) k where backend = $1 and headers @> '{"suspect": true}' group by k) q`, backend)
}

// due makes all suspects due, as after their pause.
func (w world) due() {
	w.Helper()
	w.exec("update outbox.suspects set due = clock_timestamp()")
}

// sweeps logs the due suspects of backend b again; it must be as many.
func (w world) sweeps(want int) {
	w.Helper()
	n, err := Sweep(w.Context(), w.pool, time.Minute, "b")
	w.ok(err)
	if n != want {
		w.Errorf("%d rows were due, want %d", n, want)
	}
}

// Suspects are logged again at due, then after twice the pause, and so on, until the time is over within which
// anybody could still write them.
func TestSuspectsAreLoggedAgainAfterDoublingPauses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b", "other")
	w.ok(Suspect(t.Context(), w.pool, "b", "me", "k", []string{"a"}, time.Minute, time.Hour))
	w.ok(Suspect(t.Context(), w.pool, "other", "me", "k", []string{"o"}, time.Minute, time.Hour))
	w.sweeps(0)
	for round := 1; round <= 4; round++ {
		w.due()
		w.sweeps(1)
		w.sweeps(0)
		pause := fmt.Sprintf("%d min", 1<<round)
		w.want("true", `select pause = $1::interval and due between clock_timestamp() + $1::interval - interval '30 s' and clock_timestamp() + $1::interval
 from outbox.suspects where backend = 'b'`, pause)
	}
	w.exec("update outbox.suspects set until = clock_timestamp()")
	w.due()
	w.sweeps(1)
	w.due()
	w.sweeps(0)
	if got := w.relogged("b") + w.relogged("other"); got != "a x5" {
		t.Errorf("logged again: %s", got)
	}
	w.want("other", "select string_agg(backend, ' ') from outbox.suspects")
}

// Once the process under suspicion has ended, and as long ago as a request of its own could still be on its way, one
// more round is the last.
func TestSuspectsOfTheGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	w.ok(Register(t.Context(), w.pool, Process{Owner: "zombie"}))
	w.ok(Suspect(t.Context(), w.pool, "b", "zombie", "k", []string{"a"}, time.Minute, 24*time.Hour))
	round := func(left string) {
		t.Helper()
		w.due()
		w.sweeps(1)
		w.want(left, "select count(*) from outbox.suspects")
	}
	round("1") // it lives
	w.ok(Leave(t.Context(), w.pool, "zombie"))
	round("1") // a request of its own may be on its way
	w.exec("update outbox.owners set gone_at = gone_at - interval '61 s'")
	round("0")
	if got := w.relogged("b"); got != "a x3" {
		t.Errorf("logged again: %s", got)
	}
}

// Processes that sweep at the same time log each suspect once, and do not wait for each other.
func TestSweepsShareTheWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	w.exec(`insert into outbox.suspects (backend, kind, keys, due, pause, until)
select 'b', 'k', array[g::text], clock_timestamp(), '1 min', '-infinity' from generate_series(1, 350) g`)
	other := w.begin() // holds one of them
	_, err := other.conn.Exec(t.Context(), "select from outbox.suspects order by due, id limit 1 for update")
	w.ok(err)
	var total atomic.Int64
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				n, err := Sweep(t.Context(), w.pool, time.Minute, "b")
				if err != nil || n > 100 {
					t.Errorf("%d rows at once: %v", n, err)
				}
				if total.Add(int64(n)); n == 0 {
					return
				}
			}
		})
	}
	group.Wait()
	other.end("rollback")
	w.sweeps(1)
	w.want("350 350", "select count(*) || ' ' || count(distinct keys) from outbox.log")
	if total.Load() != 349 {
		t.Errorf("%d rows were swept", total.Load())
	}
}

// Keys are logged in rows of at most 500, in their order, with the transactions that led to them; no keys are no row.
func TestRelog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	w.ok(Relog(t.Context(), w.pool, "b", "k", nil, Cause{}))
	w.want("0", "select count(*) from outbox.log")
	keys := make([]string, 1001)
	for i := range keys {
		keys[i] = fmt.Sprintf("%04d", i)
	}
	w.ok(Relog(t.Context(), w.pool, "b", "k", keys, Cause{5, 1 << 62}))
	w.want("500,500,1", "select string_agg(cardinality(keys)::text, ',' order by keys) from outbox.log")
	w.want("true", "select bool_and(keys = (select array_agg(x order by x) from unnest(keys) x) and backend = 'b' and cause_from = '5' and cause_to = '4611686018427387904' and headers is null) from outbox.log")
	w.exec("truncate outbox.log")
	w.ok(Relog(t.Context(), w.pool, "b", "k", []string{"a"}, Cause{}))
	w.ok(RelogAll(t.Context(), w.pool, "b", "k", Cause{}))
	w.ok(RelogAll(t.Context(), w.pool, "b", "k", Cause{3, 4}))
	w.want(`{a} -, {} - {"all": true}, {} 3-4 {"all": true}`, `select string_agg(concat_ws(' ', keys::text, concat(cause_from, '-', cause_to), headers), ', ' order by id) from outbox.log`)
	w.ok(Suspect(t.Context(), w.pool, "b", "me", "k", keys, time.Minute, time.Hour))
	w.want("500,500,1", "select string_agg(cardinality(keys)::text, ',' order by keys) from outbox.suspects")
}

// What PostgreSQL refuses is an error that names what was to be logged.
func TestRelogErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, sweep := Sweep(over, w.pool, time.Minute, "b")
	_, suspect := Take(t.Context(), meddlerOf(w), Claim{Backend: "b", Owner: "p", Lease: time.Minute})
	for want, err := range map[string]error{
		"logging 1 keys of k for backend b":                                 Relog(over, w.pool, "b", "k", []string{"a"}, Cause{}),
		"logging all keys of k for backend b":                               RelogAll(over, w.pool, "b", "k", Cause{}),
		"suspecting 1 keys of k for backend b":                              Suspect(over, w.pool, "b", "me", "k", []string{"a"}, 1, 1),
		"logging suspects again":                                            sweep,
		"suspecting what earlier owners of lane 0 of backend b had in hand": suspect,
	} {
		if !contains(err, want) {
			t.Errorf("got %v, want that %s failed", err, want)
		}
	}
}

// meddlerOf is a database in which suspects cannot be stored, and a lane that was not let go of.
func meddlerOf(w world) meddler {
	w.Helper()
	w.take("b", "zombie")
	w.writes("a")
	w.expire("b")
	w.exec("alter table outbox.suspects add check (false)")
	return meddler{Pool: w.pool, before: func() {}}
}
