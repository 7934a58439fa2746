package ast

import (
	"sync"
	"time"
)

// The size of batches follows the time that their transactions take: a machine that is busy, slow or far away gets
// smaller ones.
const (
	firstRows = 2000 // of the first batches, before anything has been measured
	leastRows = 200  // smaller batches would spend their time on commits
)

// pace finds how many rows a transaction can have to take the target time. Its methods may be called concurrently.
type pace struct {
	mu     sync.Mutex
	rows   float64
	most   float64
	target time.Duration
}

func newPace(o Options) *pace {
	most := float64(o.BatchRows)
	return &pace{rows: min(firstRows, most), most: most, target: o.Target}
}

// limit is how many rows the next batch may have.
func (p *pace) limit() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int64(p.rows)
}

// observe learns from a transaction. A slow one counts at once and by half at most; a quick one that was nearly
// full lets the next ones grow by a fifth.
func (p *pace) observe(rows int64, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ratio := float64(p.target) / float64(max(took, time.Microsecond))
	switch {
	case ratio < 1 && float64(rows) <= p.rows:
		p.rows *= max(ratio, 0.5)
	case ratio < 1: // a file larger than a batch, or a batch of before: what would have fitted
		p.rows = min(p.rows, max(float64(rows)*ratio, p.rows/2))
	case float64(rows) >= 0.7*p.rows:
		p.rows *= min(ratio, 1.2)
	}
	p.rows = min(max(p.rows, min(leastRows, p.most)), p.most)
}
