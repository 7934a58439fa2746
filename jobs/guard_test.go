package jobs

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/outflow-db/outflow/backends"
)

// A backend is paused once an outage, when it has lasted for a while; after others have resumed it not again for half a
// minute, then a minute, and so on.
func TestOutage(t *testing.T) {
	t.Parallel()
	var o outage
	now := time.Unix(0, 0)
	pauses := func(d time.Duration, paused bool) (n int) { // within d, each of which is seen, or not
		for end := now.Add(d); now.Before(end); now = now.Add(guardEvery) {
			if o.see(true, paused, now) {
				n++
				o.see(true, true, now) // until others, who reach the store, resume it
			}
		}
		return n
	}
	if o.see(false, false, now) || pauses(pauseAfter, false) != 0 {
		t.Error("it is paused at once")
	}
	for _, d := range []time.Duration{0, againFirst - time.Second, 2*againFirst - time.Second} {
		if n := pauses(d-time.Second, false); n != 0 {
			t.Errorf("it is paused %d times within %s", n, d)
		}
		if n := pauses(2*time.Second, false); n != 1 {
			t.Errorf("it is paused %d times after %s", n, d)
		}
	}
	if pauses(time.Hour, true) != 0 {
		t.Error("it is paused while it is")
	}
	if o.see(false, true, now); !o.since.IsZero() || pauses(pauseAfter, false) != 0 || pauses(time.Second, false) != 1 {
		t.Error("the next outage is not like the first")
	}
}

// An endpoint that is down is probed half a second later at first, and at least every three seconds in the end; one
// that comes and goes is not probed faster for that.
func TestPacer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var p pacer
		now := time.Unix(1000, 0)
		var last time.Time // the last probe, or when it went down
		for range rapid.IntRange(1, 6).Draw(t, "outages") {
			p.due(false, now, 0)
			up := time.Duration(rapid.IntRange(1, 30).Draw(t, "seconds up")) * time.Second
			now = now.Add(up)
			last = now
			tries := p.tries
			for n := range rapid.IntRange(1, 10).Draw(t, "probes") {
				for random := rapid.Float64Range(0, 1).Draw(t, "random"); !p.due(true, now, random); {
					now = now.Add(10 * time.Millisecond)
				}
				gap := now.Sub(last)
				if gap < probeFirst/2 || gap > probeMost+20*time.Millisecond {
					t.Fatalf("a probe after %s", gap)
				}
				if n == 0 && up >= steadyAfter && gap > probeFirst+20*time.Millisecond {
					t.Fatalf("the first probe comes after %s", gap)
				}
				last = now
			}
			if up < steadyAfter && p.tries < tries {
				t.Fatal("it begins anew after it was up for a moment")
			}
		}
	})
}

// puppetFailover is a puppet with endpoints.
type puppetFailover struct {
	puppet
	list  []backends.Endpoint
	probe func(ctx context.Context) error
}

func (p puppetFailover) Endpoints() []backends.Endpoint { return p.list }

func (p puppetFailover) Probe(ctx context.Context, _ string) error { return p.probe(ctx) }

// A backend's endpoints are reached through its shell, whose probes are bounded and do not panic; a backend without
// them is never down.
func TestFailoverShell(t *testing.T) {
	t.Parallel()
	in := func(b backends.Backend) *store {
		return &store{failover: failoverOf(shell{b, "main", time.Second, slog.New(slog.DiscardHandler)})}
	}
	if in(puppet{}).down() || failoverOf(puppet{}) != nil {
		t.Error("a backend without endpoints is down")
	}
	p := puppetFailover{list: []backends.Endpoint{{Address: "a", State: backends.EndpointDown, Error: "gone"}, {Address: "b", State: backends.EndpointTrying, Error: "refused"}}}
	if !in(p).down() || reason(p.list) != "no endpoint can be reached: a: gone; b: refused" {
		t.Errorf("got %q", reason(p.list))
	}
	p.list[1].State = backends.EndpointUp
	if in(p).down() {
		t.Error("it is down with an endpoint up")
	}
	p.probe = func(context.Context) error { panic("oh") }
	if err := in(p).failover.Probe(t.Context(), "a"); backends.ClassOf(err) != backends.Unknown {
		t.Errorf("got %v", err)
	}
	p.probe = func(ctx context.Context) error {
		if until, bounded := ctx.Deadline(); !bounded || time.Until(until) > probeTime {
			return errors.New("it is not bounded")
		}
		return nil
	}
	if err := in(p).failover.Probe(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}
