package health

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/outflow-db/outflow/backends"
)

// requests are counts of a window with that many answers and failures of a class.
func requests(answered, failed int, class backends.Class, took time.Duration) Counts {
	var m Meter
	for range answered {
		m.Request(took, "")
	}
	for range failed {
		m.Request(took, class)
	}
	window, _ := m.Look()
	return window
}

// Each line of the rule shows in the level that it names, with a reason that says what was seen.
func TestLevel(t *testing.T) {
	t.Parallel()
	up, down := backends.Endpoint{Address: "a:1", State: backends.EndpointUp}, backends.Endpoint{Address: "b:1", State: backends.EndpointDown, Error: "refused"}
	quick := 100 * time.Millisecond
	ok := Probe{Done: true, Took: time.Millisecond}
	bad := Probe{Done: true, Err: "transient: connection refused"}
	both := func(c Counts) Observation { return Observation{Counts: c, Recent: c, Quick: quick, Probe: ok} }
	with := func(o Observation, change func(*Observation)) Observation { change(&o); return o }
	for name, x := range map[string]struct {
		o      Observation
		want   State
		reason string
	}{
		"nothing asked":           {Observation{Quick: quick}, Healthy, ""},
		"all well":                {both(requests(50, 0, "", time.Millisecond)), Healthy, ""},
		"paused":                  {with(both(requests(0, 9, backends.Denied, 0)), func(o *Observation) { o.Paused = true }), Paused, ""},
		"no answer at all":        {Observation{Quick: quick, Probe: bad}, Down, "connection refused"},
		"probe and requests fail": {with(both(requests(0, 4, backends.Transient, 0)), func(o *Observation) { o.Probe = bad }), Down, "4 of 4 requests just now failed: transient 4"},
		"probe fails only":        {with(both(requests(9, 1, backends.Transient, 0)), func(o *Observation) { o.Probe = bad }), Failing, "connection refused"},
		"all endpoints down":      {Observation{Quick: quick, Probe: ok, Endpoints: []backends.Endpoint{down}}, Down, "none of its 1 endpoints is up: refused"},
		"an endpoint down":        {Observation{Quick: quick, Probe: ok, Endpoints: []backends.Endpoint{up, down}}, Degraded, "endpoint b:1 is down: refused"},
		"half fails":              {both(requests(3, 3, backends.Unknown, 0)), Failing, "3 of 6 requests just now failed: unknown 3"},
		"two failures are few":    {both(requests(1, 2, backends.Unknown, 0)), Degraded, "2 of 3"},
		"a twentieth fails":       {both(requests(38, 2, backends.Transient, 0)), Degraded, "2 of 40 requests of the last minute failed"},
		"less than a twentieth":   {both(requests(60, 2, backends.Transient, 0)), Healthy, ""},
		"records are refused":     {both(requests(0, 10, backends.Rejected, 0)), Healthy, ""},
		"overload":                {both(requests(100, 2, backends.Overload, 0)), Degraded, "asked for less 2 times"},
		"slow probe":              {Observation{Quick: quick, Probe: Probe{Done: true, Took: 150 * time.Millisecond}}, Degraded, "a health check took 150ms, more than 100ms"},
		"slow requests":           {with(both(requests(30, 0, "", time.Second)), func(o *Observation) { o.Usual = 20 * time.Millisecond }), Degraded, "usually 20ms"},
		"slow as usual":           {with(both(requests(30, 0, "", time.Second)), func(o *Observation) { o.Usual = time.Second }), Healthy, ""},
		"slow and few":            {with(both(requests(19, 0, "", time.Second)), func(o *Observation) { o.Usual = 20 * time.Millisecond }), Healthy, ""},
		"behind and growing":      {with(both(Counts{}), func(o *Observation) { o.Lag, o.Growing = 2*time.Minute, true }), Degraded, "2m0s behind, and that grows"},
		"behind a little":         {with(both(Counts{}), func(o *Observation) { o.Lag, o.Growing = time.Second, true }), Healthy, ""},
		"behind and shrinking":    {with(both(Counts{}), func(o *Observation) { o.Lag = time.Hour }), Healthy, ""},
		"failed a while ago":      {Observation{Quick: quick, Probe: ok, Counts: requests(2, 20, backends.Transient, 0), Recent: requests(2, 0, "", 0)}, Degraded, "20 of 22"},
	} {
		if got, reason := x.o.Level(); got != x.want || !strings.Contains(reason, x.reason) || (reason == "") != (got == Healthy || got == Paused) {
			t.Errorf("%s: %s, %q; want %s, %q", name, got, reason, x.want, x.reason)
		}
	}
}

// looks makes an observation of a level.
func looks(s State) Observation {
	o := Observation{Quick: time.Second}
	switch s {
	case Down:
		o.Probe.Err = "down"
	case Failing:
		o.Recent = Counts{Requests: 6, Failed: [6]int{4}}
	case Degraded:
		o.Probe = Probe{Done: true, Took: 2 * time.Second}
	case Paused:
		o.Paused = true
	default:
	}
	return o
}

var unpaused = []State{Healthy, Degraded, Failing, Down}

// track is the state after each look.
func track(levels []State) (states []State) {
	var t Tracker
	for i, l := range levels {
		t = t.Next(time.Unix(int64(i), 0), looks(l))
		states = append(states, t.State)
	}
	return states
}

// The levels of looks() are those that they say, or the properties below prove nothing.
func TestLooks(t *testing.T) {
	t.Parallel()
	for _, s := range States {
		if got, _ := looks(s).Level(); got != s {
			t.Errorf("%s shows as %s", s, got)
		}
	}
}

// A level that alternates changes nothing, whichever two levels they are; a level that stays is the state after three
// looks; between two changes for the worse and the better there are three looks.
func TestNoFlapping(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		level := rapid.SampledFrom(unpaused)
		a, b := level.Draw(t, "a"), level.Draw(t, "b")
		alternating := []State{a, a, a}
		for range 10 {
			alternating = append(alternating, b, a)
		}
		if got := slices.Compact(track(alternating)); len(got) != 1 {
			t.Fatalf("%s and %s in turn show as %v", a, b, got)
		}
		before := rapid.SliceOfN(level, 0, 12).Draw(t, "before")
		states := track(append(before, a, a, a))
		if got := states[len(states)-1]; got != a {
			t.Fatalf("%s three times after %v is %s", a, before, got)
		}
	})
}

// The state is never better than all of the last looks, nor worse than all of them and the state before, and worse
// looks never make a better state.
func TestStateFollowsLevels(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		levels := rapid.SliceOfN(rapid.SampledFrom(unpaused), 1, 20).Draw(t, "levels")
		states := track(levels)
		for i := 2; i < len(levels); i++ {
			last := levels[i-2 : i+1]
			if lo := slices.MinFunc(last, worse); worse(states[i], lo) < 0 {
				t.Fatalf("look %d of %v: %s is better than all of %v", i, levels, states[i], last)
			}
			if hi := slices.MaxFunc(last, worse); worse(states[i], hi) > 0 {
				t.Fatalf("look %d of %v: %s is worse than all of %v", i, levels, states[i], last)
			}
		}
		bad := slices.Clone(levels)
		i := rapid.IntRange(0, len(bad)-1).Draw(t, "i")
		bad[i] = unpaused[rapid.IntRange(slices.Index(unpaused, bad[i]), len(unpaused)-1).Draw(t, "worse")]
		for k, s := range track(bad) {
			if worse(s, states[k]) < 0 {
				t.Fatalf("%v is %v, the worse %v is %v", levels, states, bad, track(bad))
			}
		}
	})
}

// A pause shows at once and ends at once; what was before it does not count afterwards.
func TestPauseShowsAtOnce(t *testing.T) {
	t.Parallel()
	got := track([]State{Down, Down, Down, Paused, Healthy, Healthy, Paused, Failing})
	if want := []State{Down, Down, Down, Paused, Healthy, Healthy, Paused, Failing}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// The reason is that of a look which showed the state; a state says since when it is.
func TestReasonBelongsToTheState(t *testing.T) {
	t.Parallel()
	var tr Tracker
	at := func(i int) time.Time { return time.Unix(int64(i), 0) }
	for i, l := range []State{Healthy, Healthy, Healthy, Down, Down, Healthy, Healthy} {
		tr = tr.Next(at(i), looks(l))
	}
	if tr.State != Down || tr.Reason != "it does not answer as it should: down" || !tr.Since.Equal(at(4)) {
		t.Errorf("after two good looks: %+v", tr)
	}
	if tr = tr.Next(at(7), looks(Healthy)); tr.State != Healthy || tr.Reason != "" || !tr.Since.Equal(at(7)) {
		t.Errorf("after three: %+v", tr)
	}
	for i, l := range []State{Down, Failing} { // it has been worse twice: failing is certain
		tr = tr.Next(at(8+i), looks(l))
	}
	if tr.State != Failing || !strings.Contains(tr.Reason, "4 of 6") {
		t.Errorf("worse: %+v", tr)
	}
}

// An endpoint is as well as it answers.
func TestEndpoint(t *testing.T) {
	t.Parallel()
	for state, want := range map[backends.EndpointState]State{backends.EndpointUp: Healthy, backends.EndpointTrying: Failing, backends.EndpointDown: Down} {
		got := OfEndpoint(backends.Endpoint{Address: "a:1", State: state, Latency: 1500 * time.Microsecond, Error: "why"})
		if want := (EndpointHealth{"a:1", want, 1.5, "why"}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

// A quantile is right to a quarter, whatever the latencies, and a window forgets what is older than twelve looks.
func TestMeter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.Int64Range(1, int64(time.Minute)), 1, 200).Draw(t, "list")
		var m Meter
		for _, ns := range list {
			m.Request(time.Duration(ns), "")
		}
		window, recent := m.Look()
		slices.Sort(list)
		for _, q := range []float64{0, 0.5, 0.99} {
			exact := max(time.Duration(list[min(int(q*float64(len(list))), len(list)-1)]), 64*time.Microsecond)
			if got := window.Quantile(q); got < exact-time.Microsecond || float64(got) > 1.26*float64(exact)+float64(time.Microsecond) {
				t.Fatalf("quantile %v is %s, exactly %s", q, got, exact)
			}
		}
		if window != recent {
			t.Fatal("what just happened is recent")
		}
		for i := range 12 {
			window, recent = m.Look()
			if i >= 2 && recent.Requests != 0 || i < 11 && window.Requests != len(list) {
				t.Fatalf("after %d looks: %d of the window, %d recent", i+1, window.Requests, recent.Requests)
			}
		}
		if window.Requests != 0 {
			t.Fatal("the window does not end")
		}
	})
}

// What a meter counts comes out, also of several goroutines.
func TestMeterCounts(t *testing.T) {
	t.Parallel()
	var m Meter
	done := make(chan struct{})
	for range 4 {
		go func() {
			for range 100 {
				m.Request(time.Millisecond, backends.Denied)
				m.Records(3, 2, 1)
			}
			done <- struct{}{}
		}()
	}
	for range 4 {
		<-done
	}
	m.Request(0, "nobody knows this class")
	window, _ := m.Look()
	d := Observation{Counts: window, Probe: Probe{Done: true, Took: 2 * time.Millisecond}, Endpoints: []backends.Endpoint{{Address: "x"}}}.Details(time.Minute)
	if d.Requests != 401 || d.Failed != 401 || d.Stopping != 400 || d.Written != 1200 || d.Refused != 800 || d.Retries != 400 || d.ProbeMillis != 2 || d.Window != 60 || len(d.Endpoints) != 1 {
		t.Errorf("%+v", d)
	}
	if window.Of(backends.Unknown) != 1 || window.classes() != "denied 400, unknown 1" {
		t.Errorf("%s", window.classes())
	}
}

// The usual is what was measured first, follows slowly, more slowly while the store is not healthy, and not at all when
// there is little to measure.
func TestUsual(t *testing.T) {
	t.Parallel()
	slow := requests(30, 0, "", time.Second)
	few := requests(3, 0, "", time.Second)
	first := Usual(0, &slow, Degraded)
	healthy, ill := Usual(time.Millisecond, &slow, Healthy), Usual(time.Millisecond, &slow, Degraded)
	if first < time.Second || healthy <= ill || ill <= time.Millisecond || healthy > 30*time.Millisecond || Usual(5, &few, Healthy) != 5 {
		t.Errorf("first %s, healthy %s, ill %s", first, healthy, ill)
	}
}
