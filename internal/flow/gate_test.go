package flow

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// model is a store that works off so many records a second, refuses what would make its queue too long, and answers
// when a request's records are done.
type model struct {
	rate  float64 // records a second
	queue float64 // records that may wait
	least time.Duration

	now     time.Duration
	busy    time.Duration // until when it works on what it has taken
	done    int
	refused int
	sent    int
}

// run lets workers, who always have more to send, send through the gate for a time.
func (m *model) run(g *Gate, workers int, d time.Duration) {
	type request struct {
		pass    Pass
		n       int
		end     time.Duration
		began   time.Duration
		refused bool
	}
	var under []request
	idle := make([]time.Duration, workers) // when each may send again
	for end := m.now + d; m.now < end; m.now += time.Millisecond {
		rest := under[:0]
		for _, r := range under {
			switch {
			case r.end > m.now:
				rest = append(rest, r)
			case r.refused:
				r.pass.Overloaded(r.n)
				idle = append(idle, m.now+100*time.Millisecond)
			default:
				r.pass.Took(r.n, r.end-r.began)
				m.done += r.n
				idle = append(idle, m.now)
			}
		}
		under = rest
		kept := idle[:0]
		for _, at := range idle {
			p, room := Pass{}, (<-chan struct{})(nil)
			if at <= m.now {
				p, room = g.enter()
			}
			if at > m.now || room != nil {
				kept = append(kept, at)
				continue
			}
			r := request{pass: p, n: g.Size(), began: m.now, end: m.now + m.least}
			m.sent++
			waiting := max(m.busy-m.now, 0).Seconds() * m.rate
			if r.refused = waiting+float64(r.n) > m.queue; r.refused {
				m.refused++
			} else {
				m.busy = max(m.busy, m.now) + time.Duration(float64(r.n)/m.rate*float64(time.Second))
				r.end = m.busy + m.least
			}
			under = append(under, r)
		}
		idle = kept
	}
	for _, r := range under {
		r.pass.Left()
	}
}

// Against a store of any capacity the gate finds what it bears: it uses most of the capacity and is seldom refused, and
// does so again when the capacity falls to a tenth, and when it is back.
func TestGateConverges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rate := float64(rapid.IntRange(500, 50_000).Draw(t, "rate"))
		m := &model{rate: rate, queue: rate * rapid.Float64Range(0.2, 2).Draw(t, "queue"), least: 5 * time.Millisecond}
		g, workers := NewGate(1000), rapid.IntRange(1, 8).Draw(t, "workers")
		for _, c := range []float64{1, 0.1, 1} {
			m.rate, m.queue = rate*c, max(rate*c*0.2, 20)
			m.run(g, workers, 20*time.Second) // to find it
			m.done, m.refused, m.sent = 0, 0, 0
			m.run(g, workers, 20*time.Second)
			// A single worker that waits for each answer cannot use all, whatever the gate.
			used, one := float64(m.done)/(20*m.rate), 1/(1+m.rate*m.least.Seconds()/float64(g.Size()))
			if used < 0.7*min(1, one*float64(workers)) {
				t.Errorf("at %g a second it uses %.2f of the capacity, size %d", m.rate, used, g.Size())
			}
			if share := float64(m.refused) / float64(m.sent); share > 0.2 {
				t.Errorf("at %g a second %.2f of the requests are refused, of %d", m.rate, share, m.sent)
			}
		}
	})
}

// A fast store is sent all at once, as much as it takes, from the first request on.
func TestGateIsOpenAtFirst(t *testing.T) {
	t.Parallel()
	g := NewGate(1000)
	for range 100 {
		if _, room := g.enter(); room != nil {
			t.Fatal("a request has to wait")
		}
	}
	if g.Size() != 1000 {
		t.Errorf("a request has %d records", g.Size())
	}
}

// The rule, step by step.
func TestGateSteps(t *testing.T) {
	t.Parallel()
	g := NewGate(1000)
	pass := func() Pass {
		t.Helper()
		p, room := g.enter()
		if room != nil {
			t.Fatal("there is no room")
		}
		return p
	}
	want := func(what string, size, width int) {
		t.Helper()
		if g.size != size || g.width != width {
			t.Errorf("%s: %d records and %d requests, want %d and %d", what, g.size, g.width, size, width)
		}
	}
	a, b, c, d := pass(), pass(), pass(), pass()
	a.Overloaded(1000)
	want("refused, with four under way", 500, 2)
	b.Overloaded(1000)
	c.Took(1000, time.Millisecond)
	d.Failed()
	want("others of the same round", 500, 2)
	for range patientAfter {
		p := pass()
		q := pass()
		q.Took(500, time.Millisecond)
		p.Left()
	}
	want("sixteen taken at the limit", 562, 3)
	pass().Took(562, 4*time.Second)
	want("slow, alone", 421, 1)
	g.Restart()
	want("restarted", 32, 1)
	for _, n := range []int{64, 128, 256, 421} {
		pass().Took(g.size, time.Millisecond)
		want("doubled", n, 1)
	}
	for range failuresMost {
		pass().Failed()
	}
	want("failed three times in a row", 32, 1)
	pass().Took(7, time.Millisecond)
	want("a small request", 32, 1)
}

// Whatever happens, a request may have one record at least and no more than the store takes, one request may be sent,
// and none is lost count of.
func TestGateKeepsItsBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		g := NewGate(rapid.IntRange(1, 2000).Draw(t, "most"))
		var under []Pass
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			p, room := g.enter()
			if room == nil {
				under = append(under, p)
			}
			if len(under) == 0 {
				t.Fatal("nothing is under way, and nothing may be sent")
			}
			if rapid.Bool().Draw(t, "answer") {
				p, under = under[0], under[1:]
				n := rapid.IntRange(1, g.most).Draw(t, "n")
				switch rapid.IntRange(0, 4).Draw(t, "outcome") {
				case 0:
					p.Overloaded(n)
				case 1:
					p.Failed()
				case 2:
					p.Left()
				case 3:
					p.Took(n, time.Minute)
				default:
					p.Took(n, time.Millisecond)
				}
			}
			if g.under != len(under) || g.size < 1 || g.size > g.most || g.width < 1 || g.topSize < g.size {
				t.Fatalf("%d are under way: %+v", len(under), g)
			}
		}
	})
}

// Who waits for room gets it as soon as a request ends or more may be under way, or gives up with its context.
func TestGateWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(10)
		g.Restart()
		first, err := g.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		entered := make(chan error, 1)
		go func() {
			p, err := g.Enter(t.Context())
			if err == nil {
				p.Left()
			}
			entered <- err
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.Enter(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		select {
		case err := <-entered:
			t.Errorf("it entered before there was room: %v", err)
		default:
		}
		first.Took(10, time.Millisecond)
		if err := <-entered; err != nil {
			t.Error(err)
		}
	})
}
