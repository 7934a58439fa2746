package lab

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/outflow-db/outflow/backends"
)

// gaugeType is the type of backend under which gauges are configured.
const gaugeType = "gauge"

func init() {
	backends.Register(gaugeType, func(ctx context.Context, c backends.Config) (backends.Backend, error) {
		g, ok := c.Settings["gauge"].(*Gauge)
		if !ok {
			return nil, errors.New("the setting gauge is no *Gauge")
		}
		return g.Open(ctx, c.Name)
	})
}

// Gauge counts and times what goes into a store, and makes it fail or slow if asked to. Its methods may be called
// concurrently.
type Gauge struct {
	Behind      backends.Config // the store; without a type one that costs nothing
	Concurrency int             // how many writes at once it asks for; 0: as many as the store does
	Delay       time.Duration   // of each write, before it is passed on
	// Applied is told, concurrently, what was written at that moment; may be nil.
	Applied func(records []backends.Record, at time.Time)

	mu      sync.Mutex
	calls   []Call
	records int
	waiting map[int]chan struct{} // closed when so many records are in
	running int
	most    int
	broken  bool
	mended  time.Time // zero: no write has been awaited since
	back    chan time.Duration
}

// Call is one write that succeeded.
type Call struct {
	Start, End time.Time
	Records    int
}

// Config is the backend configuration of the gauge under a name.
func (g *Gauge) Config(name string) backends.Config {
	return backends.Config{Name: name, Type: gaugeType, Settings: map[string]any{"gauge": g}}
}

// Open opens the store behind the gauge, for one who writes to it without an engine.
func (g *Gauge) Open(ctx context.Context, name string) (backends.Backend, error) {
	var b backends.Backend = null{}
	if g.Behind.Type != "" {
		c := g.Behind
		c.Name = name
		var err error
		if b, err = backends.Open(ctx, c); err != nil {
			return nil, err
		}
	}
	return &gauged{Backend: b, g: g}, nil
}

// Reset forgets what was counted.
func (g *Gauge) Reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls, g.records, g.most = nil, 0, 0
}

// Calls lists the writes that succeeded so far, in the order of their ends.
func (g *Gauge) Calls() []Call {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clip(g.calls)
}

// Records is how many records were written so far, and Most how many writes there were at once.
func (g *Gauge) Records() (records, most int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.records, g.most
}

// Await returns when n records have been written since the last Reset, or ctx ends.
func (g *Gauge) Await(ctx context.Context, n int) error {
	g.mu.Lock()
	if g.waiting == nil {
		g.waiting = map[int]chan struct{}{}
	}
	done := g.waiting[n]
	if done == nil {
		done = make(chan struct{})
		g.waiting[n] = done
	}
	g.reached()
	g.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reached lets go of those who wait for no more than there is.
func (g *Gauge) reached() {
	for n, done := range g.waiting {
		if n <= g.records {
			close(done)
			delete(g.waiting, n)
		}
	}
}

// Break makes every call fail as if the store were down, until Mend.
func (g *Gauge) Break() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.broken = true
}

// Mend ends what Break began. The channel gets the time until the next write has succeeded.
func (g *Gauge) Mend() <-chan time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.broken, g.mended, g.back = false, time.Now(), make(chan time.Duration, 1)
	return g.back
}

var errDown = errors.New("the store is down: a benchmark wants it so")

func (g *Gauge) begin(op string) (time.Time, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.broken {
		return time.Time{}, &backends.Error{Op: op, Class: backends.Transient, Err: errDown}
	}
	g.running++
	g.most = max(g.most, g.running)
	return time.Now(), nil
}

func (g *Gauge) end(start time.Time, records []backends.Record, err error) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	if err != nil {
		return
	}
	g.calls = append(g.calls, Call{start, now, len(records)})
	g.records += len(records)
	g.reached()
	if !g.mended.IsZero() {
		g.back <- now.Sub(g.mended)
		g.mended = time.Time{}
	}
}

// gauged is an open store behind a gauge.
type gauged struct {
	backends.Backend
	g *Gauge
}

// Features are those of the backend within, with the gauge's concurrency.
func (b *gauged) Features() backends.Features {
	f := b.Backend.Features()
	if b.g.Concurrency > 0 {
		f.Concurrency = b.g.Concurrency
	}
	return f
}

// Prepare is measured, and passed on.
func (b *gauged) Prepare(ctx context.Context, targets []backends.Target) error {
	b.g.mu.Lock()
	broken := b.g.broken
	b.g.mu.Unlock()
	if broken {
		return &backends.Error{Op: "prepare", Class: backends.Transient, Err: errDown}
	}
	return b.Backend.Prepare(ctx, targets)
}

// Write is measured, and passed on.
func (b *gauged) Write(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Result, error) {
	start, err := b.g.begin("write")
	if err != nil {
		return nil, err
	}
	if b.g.Delay > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(b.g.Delay):
		}
	}
	results, err := b.Backend.Write(ctx, t, records)
	b.g.end(start, records, err)
	if err == nil && b.g.Applied != nil {
		b.g.Applied(records, time.Now())
	}
	return results, err
}
