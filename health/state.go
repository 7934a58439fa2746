package health

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/outflow-db/outflow/backends"
)

// State is how a backend or an endpoint is, in a word.
type State string

// The states, the best first. Unknown is the absence of one: nobody has looked.
const (
	Unknown  State = "unknown"
	Paused   State = "paused" // by an operator or the engine: it is not worked
	Healthy  State = "healthy"
	Degraded State = "degraded" // it works, and not as it should
	Failing  State = "failing"  // much of what is asked of it fails
	Down     State = "down"     // nothing gets through
)

// States are all that a backend can be in.
var States = []State{Healthy, Degraded, Failing, Down, Paused}

// Bad says whether somebody should look at the store: it is failing or down.
func (s State) Bad() bool { return s == Failing || s == Down }

// rank orders the states, the worst last.
func (s State) rank() int {
	return slices.Index([]State{Unknown, Paused, Healthy, Degraded, Failing, Down}, s)
}

func worse(a, b State) int { return cmp.Compare(a.rank(), b.rank()) }

// Pace is how often a process looks, and what is quick. Zero values mean the defaults.
type Pace struct {
	Look    time.Duration // between two looks; default 5s. A window is twelve looks
	Probe   time.Duration // between two probes of a healthy backend; others are probed with each look; default 15s
	Quick   time.Duration // a probe that takes longer is degraded; default 100ms
	Late    time.Duration // a probe that takes longer has failed; default 2s
	Publish time.Duration // what did not change is published this often; default 30s
}

// WithDefaults fills in what is zero.
func (p Pace) WithDefaults() Pace {
	return Pace{
		Look: cmp.Or(p.Look, 5*time.Second), Probe: cmp.Or(p.Probe, 15*time.Second), Quick: cmp.Or(p.Quick, 100*time.Millisecond),
		Late: cmp.Or(p.Late, 2*time.Second), Publish: cmp.Or(p.Publish, 30*time.Second),
	}
}

// Old is after which a process that was not heard of does not count.
const Old = 90 * time.Second

// Probe is the answer of a store to Backend.Health.
type Probe struct {
	Done bool          // there was an answer, or Late is over; else nothing is known
	Took time.Duration // until the answer
	Err  string        // why the store cannot serve; empty: it can
}

// Observation is one look at a backend.
type Observation struct {
	Paused    bool
	Counts    Counts              // of the window
	Recent    Counts              // of its last quarter
	Usual     time.Duration       // what the 99th percentile usually is; 0: not known
	Probe     Probe               // the last one
	Quick     time.Duration       // what a probe may take
	Endpoints []backends.Endpoint // none: the store does not tell them apart
	Lag       time.Duration       // as last sampled
	Growing   bool                // the lag grows
}

// Bounds of the rule.
const (
	failedLeast  = 3                      // so many failures at least make it failing
	failedShare  = 2                      // and one of so many requests
	troubleLeast = 2                      // so many failures at least make it degraded
	troubleShare = 20                     // and one of so many requests
	slowLeast    = 20                     // so many answers at least tell how slow it is
	slowFloor    = 100 * time.Millisecond // what is faster is not slow
	slowFactor   = 4                      // times the usual
	lagFloor     = time.Minute            // a smaller lag may grow
)

// Level is the state that one look shows, and the reason in words. It is the rule of the package documentation.
func (o Observation) Level() (State, string) {
	if o.Paused {
		return Paused, ""
	}
	failed := o.Recent.Failures()
	refused := o.refusal()
	switch {
	case refused != "" && o.Recent.Requests == failed:
		return Down, refused + o.Recent.also()
	case refused != "":
		return Failing, refused + o.Recent.also()
	case failed >= failedLeast && failed*failedShare >= o.Recent.Requests:
		return Failing, o.Recent.failing("just now")
	}
	if why := o.trouble(o.Counts.Failures()); why != "" {
		return Degraded, why
	}
	return Healthy, ""
}

// refusal is why the store cannot be asked, if it cannot.
func (o Observation) refusal() string {
	down := 0
	for _, e := range o.Endpoints {
		if e.State != backends.EndpointUp {
			down++
		}
	}
	switch {
	case o.Probe.Err != "":
		return "it does not answer as it should: " + o.Probe.Err
	case down > 0 && down == len(o.Endpoints):
		return fmt.Sprintf("none of its %d endpoints is up: %s", down, cmp.Or(o.Endpoints[0].Error, "no reason is known"))
	default:
		return ""
	}
}

// trouble is why a store that works does not work as it should.
func (o Observation) trouble(failed int) string {
	p99 := o.Counts.Quantile(0.99)
	switch {
	case o.Probe.Done && o.Probe.Took > o.Quick:
		return fmt.Sprintf("a health check took %s, more than %s", round(o.Probe.Took), o.Quick)
	case failed >= troubleLeast && failed*troubleShare >= o.Counts.Requests:
		return o.Counts.failing("of the last minute")
	case o.Counts.Failed[classIndex(backends.Overload)] >= troubleLeast:
		return fmt.Sprintf("it asked for less %d times within the last minute", o.Counts.Failed[classIndex(backends.Overload)])
	case o.endpoint() != "":
		return o.endpoint()
	case o.Counts.answered() >= slowLeast && o.Usual > 0 && p99 > slowFloor && p99 > slowFactor*o.Usual:
		return fmt.Sprintf("one of a hundred requests takes %s or more, usually %s", round(p99), round(o.Usual))
	case o.Growing && o.Lag >= lagFloor:
		return fmt.Sprintf("it is %s behind, and that grows", o.Lag.Round(time.Second))
	default:
		return ""
	}
}

// endpoint tells of one that is not up.
func (o Observation) endpoint() string {
	for _, e := range o.Endpoints {
		if e.State != backends.EndpointUp {
			return fmt.Sprintf("endpoint %s is %s: %s", e.Address, e.State, cmp.Or(e.Error, "no reason is known"))
		}
	}
	return ""
}

func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(10 * time.Millisecond)
}

// Looks before the state changes.
const (
	looksWorse  = 2
	looksBetter = 3
)

// Tracker follows one backend from look to look. The zero value has seen nothing.
type Tracker struct {
	State  State     // empty: nothing was seen yet
	Since  time.Time // when it came into this state
	Reason string    // of the last look that showed this state; empty when it is healthy or paused
	recent []State   // the levels of the last looks, the latest first
}

// Next is the tracker after a look. See the package documentation for the rule.
func (t Tracker) Next(at time.Time, o Observation) Tracker {
	level, reason := o.Level()
	next := t
	if level == Paused || t.State == Paused || t.State == "" {
		next.recent = nil // what was before it says nothing about now
	}
	next.recent = append([]State{level}, next.recent...)
	next.recent = next.recent[:min(len(next.recent), looksBetter)]
	if next.recent = slices.Clip(next.recent); len(next.recent) == 1 {
		next.State = level
	} else {
		atLeast := slices.MinFunc(next.recent[:looksWorse], worse)
		atMost := Down
		if len(next.recent) == looksBetter {
			atMost = slices.MaxFunc(next.recent, worse)
		}
		if worse(t.State, atLeast) < 0 {
			next.State = atLeast
		} else if worse(t.State, atMost) > 0 {
			next.State = atMost
		}
	}
	if next.State != t.State {
		next.Since = at
	}
	if next.State == level {
		next.Reason = reason
	} else if next.State != t.State {
		next.Reason = cmp.Or(t.Reason, reason)
	}
	return next
}

// EndpointHealth is how one address of a store is, as one process or all of them know it.
type EndpointHealth struct {
	Address string  `json:"address"`
	State   State   `json:"state"`
	Millis  float64 `json:"milliseconds"` // of its answers, a moving average; 0: there was none
	Reason  string  `json:"reason,omitempty"`
}

// OfEndpoint is the state of an endpoint: down while it is left alone, failing while it is tried whether it is back,
// degraded while its answers are slow.
func OfEndpoint(e backends.Endpoint) EndpointHealth {
	h := EndpointHealth{Address: e.Address, State: Healthy, Millis: float64(e.Latency.Microseconds()) / 1000, Reason: e.Error}
	switch e.State {
	case backends.EndpointDown:
		h.State = Down
	case backends.EndpointTrying:
		h.State = Failing
	default:
	}
	return h
}

// Usual is what the 99th percentile usually is, after one more window: it follows what is measured slowly, and twelve
// times more slowly while the store is not healthy, so that a slow store does not become the usual one too soon.
func Usual(usual time.Duration, window *Counts, state State) time.Duration {
	if window.answered() < slowLeast {
		return usual
	}
	p99 := window.Quantile(0.99)
	switch {
	case usual == 0:
		return p99
	case state == Healthy:
		return usual + (p99-usual)/60
	default:
		return usual + (p99-usual)/720
	}
}

// Details are what a process makes known of a look, over a window of that length.
func (o Observation) Details(window time.Duration) Details {
	millis := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	d := Details{
		Requests: o.Counts.Requests, Failed: o.Counts.Failures(), Stopping: o.Counts.Of(backends.Denied, backends.Schema, backends.Overload),
		Written: o.Counts.Written, Refused: o.Counts.Refused, Retries: o.Counts.Retries,
		P50: millis(o.Counts.Quantile(0.5)), P99: millis(o.Counts.Quantile(0.99)), Window: window.Seconds(),
	}
	if o.Probe.Done && o.Probe.Err == "" {
		d.ProbeMillis = millis(o.Probe.Took)
	}
	for _, e := range o.Endpoints {
		d.Endpoints = append(d.Endpoints, OfEndpoint(e))
	}
	return d
}
