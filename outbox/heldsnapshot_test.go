package outbox

import (
	"fmt"
	"testing"
)

// While somebody holds an old snapshot nothing dead can be removed: neither the rows of the log that were pruned, nor the
// former versions of positions. Pages at the present and looks cost as little as ever, with plans of before and after.
func TestPagesBesideAHeldSnapshot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	p := plans{world: w, conn: w.connect()}
	held, pruner := w.begin(), &Pruner{}
	_, err := held.conn.Exec(t.Context(), "set transaction isolation level repeatable read")
	w.ok(err)
	text(t, held.conn, "select count(*) from outbox.log")
	cost := func() int {
		now := w.text("select pg_current_snapshot()")
		return max(blocks(w, p.conn, p.page(now, "null", "0", 0)), blocks(w, p.conn, fmt.Sprintf("select outbox.pending('%s', 'b')", now)))
	}
	for range 10 { // after a few, plans are kept
		cost()
	}
	for range 3 {
		w.fill(1000)
		w.exec("update outbox.lanes set position = pg_current_snapshot()")
		w.prunes(pruner, 1000)
		if n := cost(); n > 20 {
			t.Fatalf("a page or a look at the present touches %d blocks", n)
		}
	}
	w.exec("vacuum analyze outbox.log") // it may remove nothing
	if n := cost(); n > 20 {
		t.Errorf("after a vacuum a page or a look at the present touches %d blocks", n)
	}
	if n := w.text("select pg_relation_size('outbox.log') / 8192"); len(n) < 2 {
		t.Errorf("the dead rows are gone, and nothing was shown: %s blocks", n)
	}
}
