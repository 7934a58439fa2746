package ast

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever a machine needs for a row, once batches have found their size each takes the target time at most, and
// not much less; the limit stays within its bounds.
func TestPaceFindsTheTarget(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		row := time.Duration(rapid.IntRange(11_000, 900_000).Draw(t, "ns a row"))
		p := newPace(Options{BatchRows: 20_000, Target: 200 * time.Millisecond})
		for i := range 40 {
			n := p.limit()
			took := row * time.Duration(n)
			if i > 25 && (took > 205*time.Millisecond || took < 150*time.Millisecond && n < 20_000) && n != leastRows {
				t.Fatalf("batch %d: %d rows take %v", i, n, took)
			}
			p.observe(n, took)
			if n := p.limit(); n < leastRows || n > 20_000 {
				t.Fatalf("%d rows", n)
			}
		}
	})
}

// A machine that gets slow is noticed with the first batch; small batches teach nothing but that they were slow; a
// large file does not make later batches smaller than what would have fitted.
func TestPaceObserves(t *testing.T) {
	t.Parallel()
	o := Options{BatchRows: 20_000, Target: 200 * time.Millisecond}
	p := newPace(o)
	p.observe(10, time.Millisecond)
	if n := p.limit(); n != firstRows {
		t.Errorf("%d rows after a small batch", n)
	}
	p.observe(firstRows, time.Second)
	if n := p.limit(); n != firstRows/2 {
		t.Errorf("%d rows after a slow batch", n)
	}
	p = newPace(o)
	p.observe(30_000, 400*time.Millisecond)
	if n := p.limit(); n != firstRows {
		t.Errorf("%d rows after a large file", n)
	}
	if p := newPace(Options{BatchRows: 20, Target: 1}); p.limit() != 20 {
		t.Errorf("%d rows", p.limit())
	}
}
