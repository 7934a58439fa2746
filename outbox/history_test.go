package outbox

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Positions of another history are found out, whatever made it another one, and nobody takes a lane on them.
func TestTroubleIsFoundOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	w.ok(CheckHistory(t.Context(), w.pool))
	for reason, change := range map[string]string{
		"other cluster":          "update outbox.history set system_id = '1'",
		"other database":         "update outbox.history set database_oid = 1",
		"other timeline":         "update outbox.history set timeline = '000000FF'",
		"position in the future": "update outbox.lanes set position = '1000000000:1000000000:'",
	} {
		w.exec(change)
		w.isTroubled(reason)
		w.ok(AdvanceIdle(t.Context(), w.pool))
		_, err := Rebase(t.Context(), w.pool)
		w.ok(err)
		w.ok(CheckHistory(t.Context(), w.pool))
	}
	w.exec("delete from outbox.history")
	w.isTroubled("other cluster")
	if got := (&HistoryError{"standby"}).Error(); !strings.Contains(got, "connect to the primary") {
		t.Error(got)
	}
	if got := (&HistoryError{"other cluster"}).Error(); !strings.Contains(got, "other cluster (rebase them, then verify with repair)") {
		t.Error(got)
	}
}

// After a rebase every retained row is delivered again, with what was open at the time, whether it had a row in the log
// by then or only an id; nothing is taken twice for that.
func TestRebaseLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	tenure := w.take("b", "p")
	w.writes("applied")
	pos := w.applies(tenure, tenure.Start, 10)
	w.writes("new")
	w.ok(Relog(t.Context(), w.pool, "b", "k", []string{"caused"}, Cause{1, 2}))
	w.exec("update outbox.lanes set position = '1000000000:1000000000:', target = position, after_tx = '5', after_id = 5")
	rows, ided := w.begin(), w.begin()
	rows.logs("with a row")
	ided.id()
	done := make(chan int64, 1)
	go func() {
		n, err := Rebase(t.Context(), w.pool)
		w.ok(err)
		done <- n
	}()
	w.blocked() // it waits for who has rows in the log
	rows.commit()
	if n := <-done; n != 4 {
		t.Errorf("%d rows were moved, want 4", n)
	}
	ided.logs("with an id only")
	ided.commit()
	w.isLost(tenure, pos)
	w.want("{p}", "select formers from outbox.lanes")
	w.want("0", "select count(*) from outbox.log where cause_to is not null")
	again := w.take("b", "q")
	r := NewReader(w.pool, again, nil)
	got, p := w.page(r, again.Start, 10)
	if got != "with an id only applied new caused with a row" || p.More {
		t.Errorf("delivered %s", got)
	}
	if got, _ := w.page(r, p.Next, 10); got != "" {
		t.Errorf("delivered again %s", got)
	}
	w.want("p", "select string_agg(distinct owner, ' ') from outbox.suspects")
}

// Moving the rows and then taking a snapshot, as one would do without thinking, counts the moved rows as applied when
// somebody else commits meanwhile.
func TestB3NaiveRebaseLosesRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	w.writes("a")
	naive := w.begin()
	_, err := naive.conn.Exec(t.Context(), "update outbox.log set tx = pg_current_xact_id()")
	w.ok(err)
	w.exec("create table t ()")
	_, err = naive.conn.Exec(t.Context(), "update outbox.lanes set position = pg_current_snapshot()")
	w.ok(err)
	naive.end("commit")
	tenure := w.take("b", "p")
	if got, _ := w.page(NewReader(w.pool, tenure, nil), tenure.Start, 10); got != "" {
		t.Errorf("%s is delivered: this test proves nothing", got)
	}
	w.exec("select outbox.rebase()")
	tenure = w.take("b", "p")
	if got, _ := w.page(NewReader(w.pool, tenure, nil), tenure.Start, 10); got != "a" {
		t.Errorf("after a rebase %q is delivered", got)
	}
}

// A rebase does not deadlock with a reader in the middle of a page, nor with one that takes a lane.
func TestRebaseBesideReaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	tenure := w.take("b", "p")
	w.writes("a")
	_, err := NewReader(w.pool, tenure, nil).Page(t.Context(), tenure.Start, 10, nil, func(context.Context, *pgx.Conn, *Page) error {
		_, err := Rebase(t.Context(), w.pool)
		return err
	})
	w.ok(err)
	w.isLost(tenure, tenure.Start)
	taking := w.begin() // has read the mark, and is about to update the lane
	_, err = alive(t.Context(), taking.conn)
	w.ok(err)
	done := make(chan error, 1)
	go func() { _, err := Rebase(t.Context(), w.pool); done <- err }()
	w.ok(<-done)
	_, err = taking.conn.Exec(t.Context(), "update outbox.lanes set owner = 'x'")
	w.ok(err)
	taking.end("commit")
}

// The mark of the living database is made once, by whoever comes first, and stays.
func TestAliveIsMadeOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec("truncate outbox.alive")
	first := w.begin()
	mark, err := alive(t.Context(), first.conn)
	w.ok(err)
	second := make(chan string, 1)
	go func() {
		got, err := alive(t.Context(), w.pool)
		w.ok(err)
		second <- got
	}()
	w.blocked()
	first.end("commit")
	if got := <-second; got != mark {
		t.Errorf("two marks, %s and %s", mark, got)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := alive(over, w.pool); !errors.Is(err, context.Canceled) || !contains(err, "checking the history") {
		t.Errorf("got %v", err)
	}
	if _, err := Rebase(over, w.pool); !contains(err, "rebasing positions") {
		t.Errorf("got %v", err)
	}
}
