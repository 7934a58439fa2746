package jobs_test

import (
	"context"
	"fmt"
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
	w.drained()
	w.exec(`update outbox.suspects set due = '-infinity'`) // their time has come
	w.applied(`insert into item values (-1, 'last')`)
	eventually(t, "the store is as the table", func() bool { return w.verify(jobs.VerifyOptions{}).OK() })
	w.agrees()
}

// P10. Under load, with a record that the new generation refuses, readers are not moved; they never see an older record, nor
// one less. When the record is mended they get the new generation, with it.
func TestSwitchUnderLoadWithAPoisonedKey(t *testing.T) {
	t.Parallel()
	w, s := newShelf(t)
	w.start()
	stop := w.busy(s)
	defer stop()
	w.applied(`insert into item values (1000, 'poison')`)
	s.mu.Lock()
	s.refuses = func(t backends.Target, r backends.Record) bool {
		return t.Building && bytesHave(r.Doc, "poison")
	}
	s.mu.Unlock()
	w.begin()
	eventually(t, "the new generation has refused it", func() bool {
		return value[int](w, `select count(*)::int from outbox.parked where target = 'items@2'`) == 1
	})
	for n := range 5 {
		w.applied(fmt.Sprintf(`insert into item values (%d, 'more')`, 2000+n))
	}
	if s.sees() != 1 {
		t.Error("readers were moved to a generation without a record that they had")
	}
	w.exec(`update item set v = 'mended' where id = 1000`)
	w.rebuilt()
	if got := s.seen()["1000"]; got != `{"v": "mended"}` {
		t.Errorf("readers see %q", got)
	}
	stop()
	w.exact(s)
}
