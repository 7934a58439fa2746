package jobs

import "sync"

// pace is how many records a store takes in a request. It halves when the store asks for less and grows again
// slowly, so that a store at its limit is asked for too much only now and then.
type pace struct {
	mu   sync.Mutex
	most int
	n    int // zero means most
	good int // full requests in a row that were taken
}

// paceGrows is after how many full requests in a row the next is larger, by an eighth.
const paceGrows = 16

// size is the number of records for the next request.
func (p *pace) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n == 0 {
		return p.most
	}
	return p.n
}

// overloaded notes that n records were too many. What others found out meanwhile is not undone.
func (p *pace) overloaded(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.good = 0
	if less := max(n/2, 1); p.n == 0 || less < p.n {
		p.n = less
	}
}

// took notes that a request of n records was taken.
func (p *pace) took(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n == 0 || n < p.n {
		return
	}
	if p.good++; p.good < paceGrows {
		return
	}
	p.good = 0
	if p.n += max(p.n/8, 1); p.n >= p.most {
		p.n = 0
	}
}
