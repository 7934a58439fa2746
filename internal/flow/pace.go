// Package flow holds what backends share about how much they send.
package flow

import (
	"sync"
	"time"
)

// Bounds are those of a Pace.
type Bounds struct {
	Least, First, Most int           // bytes of a request: never less, at first, never more
	Fast, Slow         time.Duration // a request that takes at most, and at least, so long
}

// Pace is how large a request to a store may be. It follows what the store bears: by half larger after a request
// that was at least half full and fast, by a quarter smaller after a slow one, half after one that was too much or
// was not answered. It is safe for concurrent use.
type Pace struct {
	bounds Bounds
	mu     sync.Mutex
	bytes  int
}

// NewPace is a pace that begins with the first bound.
func NewPace(b Bounds) *Pace { return &Pace{bounds: b, bytes: b.First} }

// Most is how many bytes the next request may have.
func (p *Pace) Most() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

// Took notes that a request of a size took so long.
func (p *Pace) Took(size int, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case d >= p.bounds.Slow:
		p.bytes = max(p.bytes*3/4, p.bounds.Least)
	case d <= p.bounds.Fast && size >= p.bytes/2:
		p.bytes = min(p.bytes*3/2, p.bounds.Most)
	}
}

// Refused notes that a request of a size was too much, or was not answered.
func (p *Pace) Refused(size int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes = max(min(p.bytes, size)/2, p.bounds.Least)
}
