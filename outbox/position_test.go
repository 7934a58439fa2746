package outbox

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// positions generates any position, with a target or without. The target is not earlier than the position.
func positions() *rapid.Generator[Position] {
	return rapid.Custom(func(t *rapid.T) Position {
		p := Position{At: snapshots().Draw(t, "at")}
		if rapid.Bool().Draw(t, "in a delta") {
			p.Target = snapshots().Draw(t, "target")
			p.After = places().Draw(t, "after")
		}
		return p
	})
}

func places() *rapid.Generator[Place] {
	return rapid.Custom(func(t *rapid.T) Place {
		return Place{rapid.Uint64Range(1, 40).Draw(t, "tx"), rapid.Int64Range(1, 5).Draw(t, "id")}
	})
}

// A row counts as applied by the same rule in Go and in SQL.
func TestHandledAgreesWithSQL(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	rapid.Check(t, func(t *rapid.T) {
		p, row := positions().Draw(t, "position"), places().Draw(t, "row")
		var target, tx, id any
		if !p.Target.Zero() {
			target, tx, id = p.Target.String(), fmt.Sprint(p.After.Tx), p.After.ID
		}
		var handled bool
		err := w.pool.QueryRow(w.Context(), `
select outbox.handled($1::xid8, $2, row(l.backend, l.lane, l.lo, l.hi, $3::pg_snapshot, $4::pg_snapshot, $5::xid8, $6::bigint,
       l.owner, l.formers, l.epoch, l.version, l.expires, l.hold, l.saved_at)::outbox.lanes) from outbox.lanes l`,
			fmt.Sprint(row.Tx), row.ID, p.At.String(), target, tx, id).Scan(&handled)
		if err != nil || handled != p.Handled(row) {
			t.Fatalf("%+v at %+v: SQL says %v: %v", row, p, handled, err)
		}
	})
}

// Places are ordered by transaction, then by id.
func TestPlaceOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, q := places().Draw(t, "p"), places().Draw(t, "q")
		if want := p.Tx*10+uint64(p.ID) < q.Tx*10+uint64(q.ID); p.Before(q) != want {
			t.Fatalf("%v before %v: %v", p, q, !want)
		}
	})
}

// A delta that is read in pages of any size is a chain of positions in which each row becomes handled by exactly one
// page, whatever the two snapshots are.
func TestPagesPartitionADelta(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pos, target := Position{At: snapshots().Draw(t, "from")}, snapshots().Draw(t, "to")
		var delta []Place
		for tx := uint64(1); tx < 45; tx++ {
			for id := range rapid.Int64Range(0, 3).Draw(t, "rows") {
				if !pos.At.Visible(tx) && target.Visible(tx) {
					delta = append(delta, Place{tx, id + 1})
				}
			}
		}
		for len(delta) > 0 {
			if want := pos.Wants(); !want.Zero() && !want.Equal(target) {
				t.Fatalf("the next page wants %s, the delta goes to %s", want, target)
			}
			n := rapid.IntRange(1, len(delta)).Draw(t, "page")
			next := pos.Next(target, delta[n-1], true)
			for i, row := range delta {
				if pos.Handled(row) || next.Handled(row) != (i < n) {
					t.Fatalf("row %v after a page of %d: handled before %v, after %v", row, n, pos.Handled(row), next.Handled(row))
				}
			}
			pos, delta = next, delta[n:]
		}
		if end := pos.Next(target, Place{}, false); !end.At.Equal(target) || !end.Target.Zero() || !end.Wants().Zero() {
			t.Fatalf("the delta ends at %+v, want %s", end, target)
		}
	})
}
