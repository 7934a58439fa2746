package jobs

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/health"
)

// Probed is the answer of a store that was asked how it is.
type Probed struct {
	Backend   string
	State     health.State // healthy, degraded when it is slow, or down
	Reason    string       // why it is not healthy
	First     time.Duration
	Took      time.Duration // with the connections that First made; zero when it did not answer
	Endpoints []health.EndpointHealth
}

// Probe asks every store of the configuration how it is, all at once, from connections of its own, each endpoint by
// itself where the store tells them apart. It writes nothing, and takes not much longer than twice Pace.Late.
func Probe(ctx context.Context, c Config) ([]Probed, error) {
	c, err := c.checked()
	if err != nil {
		return nil, err
	}
	list := make([]Probed, len(c.Backends))
	var all sync.WaitGroup
	for i, b := range c.Backends {
		all.Go(func() { list[i] = probeStore(ctx, c, b) })
	}
	all.Wait()
	return list, ctx.Err()
}

// probeStore asks one store.
func probeStore(ctx context.Context, c Config, cfg backends.Config) Probed {
	p := Probed{Backend: cfg.Name, State: health.Healthy}
	down := func(err error) Probed {
		p.State, p.Reason = health.Down, reasonOf(err)
		return p
	}
	if cfg.Logger == nil {
		cfg.Logger = c.Logger
	}
	b, err := backends.Open(ctx, cfg)
	if err != nil {
		return down(err)
	}
	defer b.Close() //nolint:errcheck // the answer is there
	s := shell{b, cfg.Name, c.Health.Late, cfg.Logger}
	first, err := timed(ctx, c.Health, s.Health)
	if p.First = first; err == nil {
		p.Took, err = timed(ctx, c.Health, s.Health)
	}
	p.Endpoints = probeEndpoints(ctx, c.Health, s)
	if err != nil {
		return down(err)
	}
	if p.Took > c.Health.Quick {
		p.State, p.Reason = health.Degraded, "a health check took longer than "+c.Health.Quick.String()
	}
	for _, e := range p.Endpoints {
		if e.State != health.Healthy {
			p.State, p.Reason = health.Degraded, "endpoint "+e.Address+" is "+string(e.State)
		}
	}
	return p
}

// timed bounds a question, and tells how long the answer took.
func timed(ctx context.Context, pace health.Pace, ask func(context.Context) error) (time.Duration, error) {
	limited, cancel := context.WithTimeout(ctx, pace.Late)
	defer cancel()
	began := time.Now()
	err := ask(limited)
	if err != nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		err = errors.New(late(pace))
	}
	return time.Since(began), err
}

// probeEndpoints asks each endpoint of a store that tells them apart, all at once.
func probeEndpoints(ctx context.Context, pace health.Pace, s shell) []health.EndpointHealth {
	f := failoverOf(s)
	known := endpointsOf(f)
	list := make([]health.EndpointHealth, len(known))
	var all sync.WaitGroup
	for i, e := range known {
		all.Go(func() {
			took, err := timed(ctx, pace, func(ctx context.Context) error { return f.Probe(ctx, e.Address) })
			h := health.EndpointHealth{Address: e.Address, State: health.Healthy, Millis: float64(took.Microseconds()) / 1000}
			switch {
			case err != nil:
				h.State, h.Reason = health.Down, reasonOf(err)
			case took > pace.Quick:
				h.State, h.Reason = health.Degraded, "it took longer than "+pace.Quick.String()
			}
			list[i] = h
		})
	}
	all.Wait()
	return list
}
