package faults

import (
	"context"
	"errors"
	"time"
)

// link is what a fault of a network is between.
type link struct {
	part  string
	proxy func(*Lab, *Store) *Proxy
	whom  string // who is not reached
}

// storeLink is the network between workers and a store.
func storeLink(part string) link {
	return link{part, func(_ *Lab, s *Store) *Proxy { return s.Proxy }, "the store"}
}

// shaped is a fault of a link that begin sets and that ends when the proxy is healed.
func (k link) shaped(name, expect string, lasts time.Duration, begin func(*Proxy)) Scenario {
	return Scenario{Part: k.part, Name: name, Expect: expect, Lasts: lasts, Do: func(_ context.Context, l *Lab, s *Store) (func(context.Context) error, error) {
		p := k.proxy(l, s)
		begin(p)
		return func(context.Context) error { p.Heal(); return p.Listen() }, nil
	}}
}

// network lists the faults of a link.
func network(k link) []Scenario {
	return []Scenario{
		k.shaped("connections refused", "requests are tried again, then jobs, until "+k.whom+" takes connections", 0, (*Proxy).Unlisten),
		k.shaped("taken and closed at once", "as when they are refused: a port that is open proves nothing", 0, func(p *Proxy) { p.Refuse(true); p.Cut() }),
		k.shaped("connections cut", "what was under way is sent again; what may have arrived is suspect", 0, (*Proxy).Cut),
		k.shaped("cut in the middle of a request", "the request did not arrive whole: it is sent again", 0, func(p *Proxy) { p.CutRequestAfter(700) }),
		k.shaped("cut in the middle of an answer", "the outcome is unknown: it is sent again, and suspect", 0, func(p *Proxy) { p.CutAfter(150) }),
		k.shaped("black hole", "requests end by their time limit; what arrives late does no harm", 1500*time.Millisecond, (*Proxy).Freeze),
		k.shaped("half-open: no answers", "requests arrive, and their answers do not: they are sent again, and suspect", 1500*time.Millisecond, (*Proxy).Deafen),
		k.shaped("slow line, 20 kB/s", "it is slower; requests that take too long are sent again in halves", 0, func(p *Proxy) { p.SetRate(20_000) }),
		k.shaped("latency of 100 ms and jitter", "it is slower, nothing else", 0, func(p *Proxy) { p.SetLatency(100 * time.Millisecond); p.SetJitter(100 * time.Millisecond) }),
		k.shaped("a fifth of the packets lost", "it is slower, nothing else", 0, func(p *Proxy) { p.SetLoss(0.2) }),
	}
}

// loses is the loss of an answer to a request that holds text.
func (k link) loses(text string) Scenario {
	return Scenario{
		Part: k.part, Name: "answer lost after the write", Expect: "the store has the write and nobody knows: it is sent again, and suspect",
		Do: func(ctx context.Context, l *Lab, s *Store) (func(context.Context) error, error) {
			p := k.proxy(l, s)
			before := p.Lost()
			p.LoseAnswer(text)
			p.Cut() // statements that are prepared show their text no more
			err := until(ctx, 20*time.Second, func() bool { return p.Lost() > before })
			return func(context.Context) error { p.Heal(); return nil }, err
		},
	}
}

// until waits until something holds.
func until(ctx context.Context, d time.Duration, holds func() bool) error {
	for end := time.Now().Add(d); !holds(); pause(ctx, 2*time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(end) {
			return errors.New("the fault did not strike")
		}
	}
	return nil
}
