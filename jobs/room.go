package jobs

import (
	"context"
	"sync/atomic"
)

// portionLeast is a portion that is worth a request, however many lanes there are.
const portionLeast = 64 << 10

// portionsHeld is how many portions a lane has at once: one whose records are written, the last requests of the one
// before, and one that is read meanwhile.
const portionsHeld = 3

// share is the bytes of records that each of the lanes at work may hold.
func (s Settings) share(lanes int) int {
	return max(s.MemoryBytes/max(lanes, 1), portionsHeld*portionLeast)
}

// portionBytes bounds a portion so that a lane's portions fit into its share.
func (s Settings) portionBytes(lanes int) int {
	return min(s.PortionBytes, s.share(lanes)/portionsHeld)
}

// roomFor is how large the next portion of a lane may be, with a bound of its own, when it holds so many bytes of its
// share already, and its records have a mean size. Zero: it has to wait. Records can be larger than a portion should
// be, and even than a share: a lane that holds nothing may always read, at least one record, or it would never go on.
func roomFor(share, held, bound, mean int) int {
	free := share - held
	switch {
	case held == 0:
		return bound
	case free < max(mean, bound/2):
		return 0
	default:
		return min(bound, free)
	}
}

// ledger counts the bytes of the portions that a lane holds. The feed waits by it, and the writer frees.
type ledger struct {
	held  atomic.Int64
	freed chan struct{} // of one place: something was freed since somebody looked
}

func newLedger() *ledger { return &ledger{freed: make(chan struct{}, 1)} }

// hold counts a portion until its last request has ended.
func (l *ledger) hold(p *portion) {
	p.ledger = l
	p.left.Store(1) // it is being sent out
	l.held.Add(int64(p.bytes))
}

// free counts bytes no more.
func (l *ledger) free(bytes int) {
	l.held.Add(-int64(bytes))
	select {
	case l.freed <- struct{}{}:
	default:
	}
}

// await returns the room for a portion as soon as there is any.
func (l *ledger) await(ctx context.Context, room func(held int) int) (int, error) {
	for {
		if n := room(int(l.held.Load())); n > 0 {
			return n, nil
		}
		select {
		case <-l.freed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// leave ends a request for records of the portion, or says that all of them have begun.
func (p *portion) leave() {
	if p.left.Add(-1) == 0 {
		p.ledger.free(p.bytes)
	}
}
