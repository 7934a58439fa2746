package jobs_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// Tests of the ways in which others lose data (docs/proofs.md, Pitfalls), where no other test of the package has them.

// open begins a transaction that has an id.
func (w *world) open() pgx.Tx {
	w.t.Helper()
	tx, err := w.pool.Begin(w.t.Context())
	if err == nil {
		_, err = tx.Exec(w.t.Context(), `select pg_current_xact_id()`)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(w.t.Context())) }) // of what was committed it does nothing
	return tx
}

func (w *world) in(tx pgx.Tx, sql string) {
	w.t.Helper()
	if _, err := tx.Exec(w.t.Context(), sql); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// P2. Whichever of two transactions got its id first, and whichever locked the row and so committed first, the store ends
// with what was committed last: also when it had the other one's state before.
func TestLastCommitWins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.applied(`insert into item values (1, 'first'), (2, 'first')`)
	for _, olderFirst := range []bool{true, false} {
		for _, between := range []bool{true, false} {
			older, younger := w.open(), w.open()
			one, two := older, younger
			if !olderFirst {
				one, two = younger, older
			}
			w.in(one, `update item set v = 'one' where id = 1`)
			w.in(two, `update item set v = 'two' where id = 2`) // in the opposite order of the keys
			w.in(one, `update item set v = 'one' where id = 1`)
			w.commit(one, between)
			w.in(two, `update item set v = 'two' where id = 1`)
			w.commit(two, false)
			w.drained()
			w.agrees()
			if got := w.store.holds("items")["1"]; got != `{"v": "two"}` {
				t.Errorf("the older one commits first: %v, is projected in between: %v: the store has %s", olderFirst, between, got)
			}
		}
	}
}

// commit commits, and waits until the store has it if that is wanted.
func (w *world) commit(tx pgx.Tx, wait bool) {
	w.t.Helper()
	var token string
	err := tx.QueryRow(w.t.Context(), `select outbox.token()`).Scan(&token)
	if err == nil {
		err = tx.Commit(w.t.Context())
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if wait {
		w.wait(token)
	}
}

// P3. Transactions that stay open, idle or prepared, delay what they changed themselves and nothing else; what they changed
// arrives when they commit.
func TestLongTransactionDelaysItselfAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.Poll = true // PREPARE TRANSACTION is used
	w.start()
	long, idle, prepared := w.open(), w.open(), w.open()
	w.in(long, `insert into item values (-1, 'long')`)
	w.in(prepared, `insert into item values (-2, 'prepared')`)
	name := fmt.Sprintf("p3 %p", w) // of the whole cluster
	w.in(prepared, `prepare transaction '`+name+`'`)
	for n := range 5 {
		w.applied(fmt.Sprintf(`insert into item values (%d, 'short')`, n))
	}
	if got := len(w.store.holds("items")); got != 5 {
		t.Errorf("the store has %d records, want those of the short transactions", got)
	}
	w.commit(long, true)
	w.exec(`commit prepared '` + name + `'`)
	w.drained()
	w.agrees()
	if err := idle.Rollback(t.Context()); err != nil {
		t.Error(err)
	}
}

// P9. A target that is filled anew under constant writes and deletes, by workers whose lanes are torn from them again and
// again in the middle of a page, ends up as the table.
func TestFillUnderWritersAndCrashes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.PageKeys, w.c.Settings.BatchRecords, w.c.Settings.Lease = 40, 10, 500*time.Millisecond
	w.exec(`insert into item select g, 'old' from generate_series(1, 400) g`)
	crash := func(_ context.Context, n int, _ []backends.Record) error {
		if n%15 == 0 { // the process has died with its lease: another one takes over when that is over
			w.exec(`update outbox.lanes set epoch = outbox.next_version(version), version = outbox.next_version(version), owner = 'dead ' || $1::int, expires = clock_timestamp()`, n)
		}
		return nil
	}
	w.store.onWrite = crash
	w.start()
	for round := range 3 {
		if err := outbox.RelogAll(t.Context(), w.pool, "main", "item", outbox.Cause{}); err != nil {
			t.Fatal(err)
		}
		for n := range 30 {
			w.exec(`update item set v = $1 where id % 7 = $2 % 7`, fmt.Sprint("round ", round, " ", n), n)
			w.exec(`delete from item where id % 41 = $1 % 41`, n)
			w.exec(`insert into item select g, 'new' from generate_series($1::int, $1::int + 9) g on conflict do nothing`, n*13)
		}
	}
	w.store.set(func(f *fake) { f.onWrite = nil })
	w.heals()
}

// heals waits until the store is as the table, also after workers that died.
func (w *world) heals() {
	w.t.Helper()
	w.drained()
	w.exec(`update outbox.suspects set due = '-infinity'`) // their time has come
	w.applied(`insert into item values (-1, 'last')`)
	eventually(w.t, "the store is as the table", func() bool { return w.verify(jobs.VerifyOptions{}).OK() })
	w.agrees()
}

// P9. A fill whose worker dies in any of its steps, while others write and delete, is done again, and as a whole: what was
// there before, what changes meanwhile and what the store has of former times meet exactly. Its row of the log is not
// applied before all its keys are in the log, however long that takes.
func TestFillDiesInEachStep(t *testing.T) {
	t.Parallel()
	for step, when := range map[string]func(w *world, stop func()){
		"what the store has is read": func(w *world, stop func()) {
			w.store.onScan = func(_ context.Context, n int) error {
				if n == 2 {
					stop()
				}
				return nil
			}
		},
		"what PostgreSQL has is listed": func(w *world, stop func()) { w.onNotice("listed", func(string) { stop() }) },
		"records are written": func(w *world, stop func()) {
			w.store.onWrite = func(_ context.Context, _ int, rs []backends.Record) error {
				if holding(rs, "500") {
					stop()
				}
				return nil
			}
		},
	} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			set := &w.c.Settings
			set.PageKeys, set.BatchRecords, set.Lease, set.SaveEvery = 200, 50, time.Second, 10*time.Millisecond
			w.exec(rows(1000))
			w.store.targets["items"] = formerly(150)
			at, goOn := make(chan struct{}), make(chan struct{})
			reach, leave := sync.OnceFunc(func() { close(at) }), sync.OnceFunc(func() { close(goOn) })
			defer leave()
			when(w, func() { reach(); <-goOn })
			if err := jobs.Setup(t.Context(), w.c); err != nil {
				t.Fatal(err)
			}
			w.exec(`create function listed() returns bool language plpgsql as $$ begin raise notice 'listed'; return true; end $$`)
			w.exec(`update outbox.kinds set list = 'select id::text as key from item where id <> 500 or listed()'`)
			w.run()
			eventually(t, "it is so far", func() bool {
				select {
				case <-at:
					return true
				default:
					return false
				}
			})
			w.dies()
			leave()
			w.heals()
		})
	}
}

// dies is the end of a worker that holds the lane, some time after others have written: it could have saved what is to be
// saved.
func (w *world) dies() {
	w.t.Helper()
	w.exec(`update item set v = 'meanwhile' where id % 7 = 0`)
	w.exec(`delete from item where id % 11 = 0`)
	w.exec(`insert into item select g, 'new' from generate_series(2000, 2010) g`)
	for range 2 {
		expires := value[time.Time](w, `select expires from outbox.lanes`)
		eventually(w.t, "it renews its lease", func() bool { return value[time.Time](w, `select expires from outbox.lanes`).After(expires) })
	}
	w.exec(`update outbox.lanes set epoch = outbox.next_version(version), version = outbox.next_version(version) + 100000, owner = 'dead', expires = clock_timestamp()`)
	w.exec(`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query like 'fetch %'`)
}

// formerly is what a store may have of former times: records that are no more, and some as they were.
func formerly(n int) map[string]backends.Record {
	all := map[string]backends.Record{}
	for i := range n {
		key := fmt.Sprint(n/2 - i)
		all[key] = backends.Record{Key: key, Version: 1, Doc: []byte(`{"v": "former"}`)}
	}
	return all
}

// P10. Under load, with a record that the new generation refuses after it has been compared, readers are not moved, however
// often the rebuild looks; they never see an older record, nor one less. When the record is mended they get the new
// generation, with it.
func TestSwitchUnderLoadWithAPoisonedKey(t *testing.T) {
	t.Parallel()
	w, s := newShelf(t)
	s.refusesPoison()
	w.start()
	stop := w.busy(s)
	defer stop()
	w.applied(`insert into item values (1000, 'good')`)
	w.whileEntering("ready", func() {
		w.applied(`update item set v = 'poison' where id = 1000`)
	})
	for n := range 5 { // all that a look waits for is applied, and it looks again: each time that it says so anew
		w.applied(fmt.Sprintf(`insert into item values (%d, 'more')`, 2000+n))
		w.exec(`update outbox.projections set note = null`)
		eventually(t, "it says what it waits for", func() bool { return strings.Contains(w.state().Note, "refused 1 records") })
	}
	if s.sees() != 1 || s.seen()["1000"] != `{"v": "poison"}` || s.seen()["2000"] == "" {
		t.Errorf("readers see generation %d, in which the record is %q", s.sees(), s.seen()["1000"])
	}
	w.recovered(s)
	stop()
	w.exact(s)
}

// P10. A tenure that writes both generations may have a record refused by the new one, which readers see in the other, when
// the switch has begun already. Then it is put off: readers keep the record, and get what comes after.
func TestSwitchIsPutOffForAPoisonedKey(t *testing.T) {
	t.Parallel()
	w, s := newShelf(t)
	s.refusesPoison()
	w.start()
	stop := w.busy(s)
	defer stop()
	w.applied(`insert into item values (1000, 'good')`)
	w.whileEntering("switching", func() {
		w.applied(`update item set v = 'poison' where id = 1000`)
	})
	eventually(t, "it says what it waits for", func() bool { return strings.Contains(w.state().Note, "refused 1 records") })
	w.applied(`insert into item values (2000, 'more')`)
	if s.sees() != 1 || s.seen()["1000"] != `{"v": "poison"}` || s.seen()["2000"] == "" {
		t.Errorf("readers see generation %d, in which the record is %q", s.sees(), s.seen()["1000"])
	}
	if n := value[int](w, `select count(*)::int from outbox.events where what = 'switch put off' and kind = 'item'`); n != 1 {
		t.Errorf("it is noted %d times that the switch was put off", n)
	}
	w.recovered(s)
	stop()
	w.exact(s)
}

// refusesPoison has the generation that is being filled refuse records that have poison in them.
func (s *shelf) refusesPoison() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuses = func(t backends.Target, r backends.Record) bool {
		return t.Building && bytesHave(r.Doc, "poison")
	}
}

// whileEntering begins a rebuild, and does something while it is about to enter a phase, until the new generation has
// refused a record: what the phase before had to look at has been looked at, and the phase is not recorded yet.
func (w *world) whileEntering(phase string, do func()) {
	w.t.Helper()
	const lock = 20261130
	w.exec(fmt.Sprintf(`
create function hold() returns trigger language plpgsql as $$begin perform pg_advisory_xact_lock(%d); return new; end$$;
create trigger hold before update on outbox.projections for each row when (old.phase <> '%s' and new.phase = '%[2]s') execute function hold()`, lock, phase))
	held := w.open()
	w.in(held, fmt.Sprintf(`select pg_advisory_xact_lock(%d)`, lock))
	w.begin()
	eventually(w.t, "the rebuild enters "+phase, func() bool {
		return value[bool](w, fmt.Sprintf(`select exists (select from pg_locks where locktype = 'advisory' and objid = %d and not granted
   and database = (select oid from pg_database where datname = current_database()))`, lock))
	})
	do()
	eventually(w.t, "the new generation has refused it", func() bool {
		return value[int](w, `select count(*)::int from outbox.parked where target = 'items@2'`) == 1
	})
	if err := held.Commit(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// recovered mends the poisoned record, and sees the switch.
func (w *world) recovered(s *shelf) {
	w.t.Helper()
	w.exec(`update item set v = 'mended' where id = 1000`)
	w.rebuilt()
	if got := s.seen()["1000"]; got != `{"v": "mended"}` || s.sees() != 2 {
		w.t.Errorf("readers see %q of generation %d", got, s.sees())
	}
}
