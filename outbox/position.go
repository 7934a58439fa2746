package outbox

// Place is a row's place in the log: rows are read in the order of (tx, id).
type Place struct {
	Tx uint64
	ID int64
}

// Before says whether p comes earlier in the log than q.
func (p Place) Before(q Place) bool { return p.Tx < q.Tx || p.Tx == q.Tx && p.ID < q.ID }

// Position is how far a lane has applied the log. Everything visible in At is applied. While a delta is being
// read in pages, what is visible in Target and not beyond After is applied as well; Target is zero otherwise.
//
// The rows visible in one snapshot and not in an earlier one never change, so a delta can be left in the middle
// and taken up again exactly, whatever commits meanwhile.
type Position struct {
	At     Snapshot
	Target Snapshot
	After  Place
}

// Handled says whether the row at place has been applied. It is the same rule as SQL's outbox.handled.
func (p Position) Handled(place Place) bool {
	if p.At.Visible(place.Tx) {
		return true
	}
	return !p.Target.Zero() && p.Target.Visible(place.Tx) && !p.After.Before(place)
}

// Next is the position after a page of the delta to target whose last row is at last: the target itself when
// the page was the last one, else the place within it.
func (p Position) Next(target Snapshot, last Place, more bool) Position {
	if !more {
		return Position{At: target}
	}
	return Position{At: p.At, Target: target, After: last}
}

// Wants is the snapshot that the next page must be read up to, or zero for the present one.
func (p Position) Wants() Snapshot { return p.Target }
