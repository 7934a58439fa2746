package backendtest

import (
	"context"

	"github.com/outflow-db/outflow/backends"
)

// faulty is a bench whose connections go through a proxy, with something written.
func faulty(tb test, s Suite) (*bench, *proxy) {
	tb.Helper()
	p := newProxy(tb, s.Address)
	x := benchOf(tb, s, s.Base, s.Through(tb, p.address()))
	x.write(x.state(7, 1, "a", "b", "c"))
	return x, p
}

// A write whose answer is lost is of class Unknown, and right when sent again.
func testLostAnswer(tb test, s Suite) {
	x, p := faulty(tb, s)
	records := append(x.state(8, 2, "a", "d"), gone(8, "b")...)
	x.unknown(p, records, func() context.Context {
		p.loseAnswers()
		return tb.Context()
	})
	x.again(records)
	x.check("b")
}

// A store that does not answer does not hold a call beyond its context; the write may still be applied.
func testSilentStore(tb test, s Suite) {
	x, p := faulty(tb, s)
	records := x.state(8, 2, "a", "d")
	x.unknown(p, records, func() context.Context {
		ctx, cancel := context.WithCancel(tb.Context())
		p.silence(cancel)
		return ctx
	})
	x.again(records)
	x.check()
}

// unknown makes a fault in a write, and heals it. That the fault hit before the request was sent, as when
// the backend tries its connection first, is chance: then it is made again.
func (x *bench) unknown(p *proxy, records []backends.Record, arm func() context.Context) {
	x.Helper()
	for range 20 {
		_, err := x.backend.Write(arm(), x.target, records)
		p.heal()
		if err == nil || backends.ClassOf(err) != backends.Transient {
			x.class(err, backends.Unknown)
			return
		}
		x.again(records)
	}
	x.Errorf("the class was never %s", backends.Unknown)
}

// again sends until the store is back: a backend may find out only now that a connection was cut.
func (x *bench) again(records []backends.Record) {
	x.Helper()
	for {
		_, err := backends.WriteBisected(x.Context(), x.backend, x.target, records)
		if err == nil {
			break
		}
		if c := backends.ClassOf(err); c != backends.Transient && c != backends.Unknown {
			x.Fatalf("sending again: %v", err)
		}
	}
	x.write(records)
}

// Cut connections are found out and made anew; while the store cannot be reached, errors say that this
// will pass.
func testCutConnections(tb test, s Suite) {
	x, p := faulty(tb, s)
	p.refuse()
	for range 3 {
		_, err := x.backend.Write(tb.Context(), x.target, x.state(8, 2, "a"))
		x.class(err, backends.Transient, backends.Unknown)
	}
	x.class(x.backend.Health(tb.Context()), backends.Transient, backends.Unknown)
	p.heal()
	x.again(x.state(9, 3, "a"))
	x.check()
}
