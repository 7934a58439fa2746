package elasticsearch

import (
	"sync"
	"time"
)

// The sizes of a request's body in bytes. The server's own limit is http.max_content_length, 100 MB; its guide
// advises "a couple tens of megabytes" at most.
const (
	leastBytes = 64 << 10
	firstBytes = 2 << 20
	mostBytes  = 16 << 20
)

// What counts as fast and as slow.
const (
	fastRequest = 250 * time.Millisecond
	slowRequest = 2 * time.Second
)

// pace is how large the body of a request may be. It follows what the server bears: by half larger after a
// request that was at least half full and fast, by a quarter smaller after a slow one, half after one that was
// too much or was not answered.
type pace struct {
	mu    sync.Mutex
	bytes int
}

func newPace() *pace { return &pace{bytes: firstBytes} }

func (p *pace) most() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

func (p *pace) took(size int, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case d >= slowRequest:
		p.bytes = max(p.bytes*3/4, leastBytes)
	case d <= fastRequest && size >= p.bytes/2:
		p.bytes = min(p.bytes*3/2, mostBytes)
	}
}

func (p *pace) refused(size int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes = max(min(p.bytes, size)/2, leastBytes)
}
