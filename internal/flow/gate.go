package flow

import (
	"context"
	"sync"
	"time"
)

// What a gate begins with after a restart, and how it grows where it has met a limit.
const (
	firstRecords = 32      // of the first request
	patientAfter = 16      // requests that were taken until one more step is tried behind a limit that was met
	failuresMost = 3       // failures in a row after which all begins small again
	anyWidth     = 1 << 20 // no limit
	slowRequest  = 3 * time.Second
)

// Gate is how many records a request to a store may have, and how many requests of this process may be under way at
// once. Both follow what the store bears, by one rule, additive increase and multiplicative decrease:
//
//   - a request that the store refuses as too much halves both: the records to half of its own, the requests to half of
//     those under way. What it is then is remembered as the limit;
//   - one that takes longer than three seconds takes a quarter off both;
//   - below the limit, a request that was taken and used what it might doubles it; from the limit on, sixteen such
//     requests add an eighth to the records, or one to the requests;
//   - after three failures in a row, or a pause, both begin small: one request of 32 records.
//
// Requests that began before the last step say nothing about it, and change nothing: so each step is taken once,
// however many requests are under way. At first there is no limit but the most records that the store takes. It is safe
// for concurrent use.
type Gate struct {
	mu       sync.Mutex
	most     int // records of a request, never more
	size     int // records of the next request
	width    int // requests at once
	topSize  int // limits that were met; beyond them steps are small
	topWidth int
	round    int // counts the steps
	taken    int // requests since the last step that were taken and used what they might
	failed   int // failures in a row
	under    int // requests under way
	room     chan struct{}
}

// NewGate is a gate for requests of at most so many records.
func NewGate(most int) *Gate {
	return &Gate{most: most, size: most, width: anyWidth, topSize: most, topWidth: anyWidth, room: make(chan struct{})}
}

// Pass is a request that may be under way.
type Pass struct {
	g     *Gate
	round int
	bound bool // it filled the gate: as many requests were under way as might be
}

// Size is how many records the next request may have.
func (g *Gate) Size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.size
}

// Width is how many requests may be under way, if that is limited.
func (g *Gate) Width() (n int, limited bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.width, g.width < anyWidth
}

// Enter waits until a request may be sent. It fails when ctx ends before. The caller says what came of the request by
// exactly one of the methods of the pass.
func (g *Gate) Enter(ctx context.Context) (Pass, error) {
	for {
		p, room := g.enter()
		if room == nil {
			return p, nil
		}
		select {
		case <-room:
		case <-ctx.Done():
			return Pass{}, context.Cause(ctx)
		}
	}
}

// enter answers a pass, or what is closed when there may be room for one.
func (g *Gate) enter() (Pass, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.under >= g.width {
		return Pass{}, g.room
	}
	g.under++
	return Pass{g: g, round: g.round, bound: g.under >= g.width}, nil
}

// Restart begins small: the store was away.
func (g *Gate) Restart() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.restart()
}

func (g *Gate) restart() {
	g.step(min(firstRecords, g.topSize), 1)
	g.failed = 0
}

// step sets both, and begins to count anew.
func (g *Gate) step(size, width int) {
	g.size, g.width = min(max(size, 1), g.most), min(max(width, 1), anyWidth)
	g.round++
	g.taken = 0
	g.wake()
}

func (g *Gate) wake() {
	close(g.room)
	g.room = make(chan struct{})
}

// leave ends the request. The caller has locked the gate, and unlocks it.
func (p Pass) leave() {
	full := p.g.under >= p.g.width
	if p.g.under--; full {
		p.g.wake()
	}
}

// Took says that a request of n records was taken within d.
func (p Pass) Took(n int, d time.Duration) {
	g := p.g
	g.mu.Lock()
	defer g.mu.Unlock()
	p.leave()
	g.failed = 0
	full := n >= g.size && g.size < g.most
	switch {
	case p.round != g.round:
	case d > slowRequest:
		g.narrow(g.size*3/4, (g.under+1)*3/4)
	case full || p.bound:
		g.widen(full, p.bound)
	}
}

// widen is a step up, if it is time for one.
func (g *Gate) widen(size, width bool) {
	g.taken++
	s, w, patient := g.size, g.width, g.taken >= patientAfter
	switch {
	case !size:
	case s < g.topSize:
		s = min(s*2, g.topSize)
	case patient:
		s += max(s/8, 1)
		g.topSize = min(s, g.most)
	}
	switch {
	case !width:
	case w < g.topWidth:
		w = min(w*2, g.topWidth)
	case patient:
		w++
		g.topWidth = w
	}
	if s != g.size || w != g.width {
		g.step(s, w)
	}
}

// narrow is a step down, to a limit.
func (g *Gate) narrow(size, width int) {
	g.step(min(size, g.size), min(width, g.width))
	g.topSize, g.topWidth = g.size, g.width
}

// Overloaded says that a request of n records was refused as too much.
func (p Pass) Overloaded(n int) {
	g := p.g
	g.mu.Lock()
	defer g.mu.Unlock()
	p.leave()
	if p.round == g.round {
		g.narrow(n/2, (g.under+1)/2)
	}
}

// Failed says that a request failed for another reason than its size.
func (p Pass) Failed() {
	g := p.g
	g.mu.Lock()
	defer g.mu.Unlock()
	p.leave()
	if g.failed++; g.failed >= failuresMost {
		g.restart()
	}
}

// Left says that nothing was learnt from the request.
func (p Pass) Left() {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	p.leave()
}
