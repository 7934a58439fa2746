package outbox

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// prunes deletes what may go, and fails unless it was as many rows.
func (w world) prunes(p *Pruner, want int64) {
	w.Helper()
	var total int64
	for {
		n, err := p.Prune(w.Context(), w.pool)
		w.ok(err)
		if total += n; n == 0 {
			break
		}
	}
	if total != want {
		w.Errorf("%d rows were deleted, want %d", total, want)
	}
}

// left lists the keys that are in the log.
func (w world) left() string {
	w.Helper()
	return w.text("select coalesce(string_agg(k, ' ' order by tx, id), '') from outbox.log cross join unnest(keys) k")
}

// What some lane has still to apply stays: all of a transaction that is applied in part, what is addressed to a backend,
// and what was running at a position. Rows for backends that are gone go.
func TestPruneKeepsWhatIsNotApplied(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	w.addBackend("lanes", 2)
	late := w.begin()
	late.logs("late")
	w.writes("both")
	w.writes("b only")
	b := w.take("b", "p")
	w.applies(b, b.Start, 100)
	w.prunes(&Pruner{}, 0)
	for lane := range 2 {
		tenure := w.takeFor(Claim{Backend: "lanes", Lane: lane, Owner: "p", Lease: time.Minute})
		w.applies(tenure, tenure.Start, 2-lane)
		w.ok(tenure.Release(t.Context(), w.pool))
	}
	w.prunes(&Pruner{}, 0) // lane 1 has applied one row of its delta
	again := w.takeFor(Claim{Backend: "lanes", Lane: 1, Owner: "p", Lease: time.Minute})
	pos := w.applies(again, again.Start, 100)
	first := w.takeFor(Claim{Backend: "lanes", Lane: 0, Owner: "p", Lease: time.Minute})
	w.applies(first, first.Start, 100)
	w.prunes(&Pruner{}, 2)
	late.commit()
	w.ok(Relog(t.Context(), w.pool, "lanes", "k", []string{"addressed"}, Cause{}))
	w.exec("insert into outbox.log (kind, keys, backend) values ('k', '{removed}', 'gone')")
	w.applies(b, Position{At: b.Start.At}, 100)
	w.prunes(&Pruner{}, 0)
	if got := w.left(); got != "late addressed removed" {
		t.Errorf("left are %s", got)
	}
	w.applies(again, pos, 100)
	w.applies(first, pos, 100)
	w.prunes(&Pruner{}, 3)
}

// A row addressed to one backend does not wait for others to have applied it, only for them to have passed by.
func TestPruneOfAddressedRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b", "other")
	b, other := w.take("b", "p"), w.take("other", "p")
	running := w.begin()
	id := running.id()
	at, err := Now(t.Context(), w.pool)
	w.ok(err)
	_, err = running.conn.Exec(t.Context(), "insert into outbox.log (kind, keys, backend) values ('k', '{x}', 'b')")
	w.ok(err)
	running.commit()
	w.writes("later")
	w.ok(other.Save(t.Context(), w.pool, Position{At: at}, Outcome{}))
	w.applies(b, b.Start, 100)
	w.exec("create table t ()")
	if at.Visible(id) {
		t.Fatal("it was not running: this test proves nothing")
	}
	w.exec("update outbox.lanes set position = (select format('%s:%s:%s', pg_snapshot_xmin(position), pg_snapshot_xmax(pg_current_snapshot()), '" + fmt.Sprint(id) + "')::pg_snapshot) where backend = 'other'")
	w.prunes(&Pruner{}, 2)
}

// Rows are kept for the time of the retention, also when there is no backend.
func TestPruneRetention(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`insert into outbox.log (kind, keys, at) values ('k', '{old}', clock_timestamp() - interval '61 min')`)
	w.exec(`insert into outbox.log (kind, keys, at) values ('k', '{young}', clock_timestamp() - interval '59 min')`)
	w.prunes(&Pruner{Retention: time.Hour}, 1)
	if got := w.left(); got != "young" {
		t.Errorf("left are %s", got)
	}
}

// However many rows there are, each statement deletes one batch; a pruner does not walk over the same rows again,
// also when an old snapshot keeps the dead ones; a new one finds what was passed by.
func TestPruneInBatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	held := w.begin()
	_, err := held.conn.Exec(t.Context(), "set transaction isolation level repeatable read")
	w.ok(err)
	text(t, held.conn, "select count(*) from outbox.log")
	w.exec("insert into outbox.log (kind, keys, at) select 'k', array[g::text], clock_timestamp() - interval '1 s' from generate_series(1, 5000) g")
	w.exec("insert into outbox.log (kind, keys, at) values ('k', '{kept}', clock_timestamp() + interval '1 hour')")
	w.exec("insert into outbox.log (kind, keys, at) select 'k', array[g::text], clock_timestamp() - interval '1 s' from generate_series(1, 999) g")
	p := &Pruner{Batch: 1000}
	for i, want := range []int64{1000, 1000, 1000, 1000, 1000, 999, 0} {
		if n, err := p.Prune(t.Context(), w.pool); n != want || err != nil {
			t.Errorf("batch %d: %d rows, want %d: %v", i, n, want, err)
		}
	}
	if n := blocks(w, w.connect(), fmt.Sprintf("select * from outbox.prune('%d', %d, '0', 1000)", p.low.Tx, p.low.ID)); n > 20 {
		t.Errorf("the last round touches %d blocks, over the dead rows of those before", n)
	}
	w.exec("update outbox.log set at = '-infinity'")
	w.prunes(p, 0)
	w.prunes(&Pruner{}, 1)
}

// A database that does not answer is an error.
func TestPruneErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (&Pruner{}).Prune(over, w.pool); !contains(err, "pruning the log") {
		t.Errorf("got %v", err)
	}
}
