package health

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func says(owner string, s State, ago time.Duration) Row {
	return Row{Backend: "b", Owner: owner, At: noon.Add(-ago), State: s, Since: noon.Add(-time.Hour), Reason: "by " + owner}
}

// Processes that ended or fell silent do not count, and neither does what is said of other backends.
func TestMergeLeavesOutWhoIsGone(t *testing.T) {
	t.Parallel()
	ended := says("ended", Down, 0)
	ended.Ended = true
	other := says("other", Down, 0)
	other.Backend = "c"
	got := Merge("b", []Row{says("old", Down, Old+time.Second), ended, other, says("live", Degraded, Old-time.Second)}, nil, noon)
	if got.State != Degraded || got.Processes != 1 || got.Reason != "by live" || !got.Since.Equal(noon.Add(-time.Hour)) {
		t.Errorf("%+v", got)
	}
	if got := Merge("b", nil, nil, noon); got.State != Unknown || got.Reason == "" {
		t.Errorf("without any: %+v", got)
	}
	if got := Merge("b", []Row{says("resumed", Paused, 0)}, nil, noon); got.State != Unknown {
		t.Errorf("what says paused of one that is not says nothing: %+v", got)
	}
}

// A backend is down if all say so; what one process alone cannot reach is failing. A pause is what the database says.
func TestMerge(t *testing.T) {
	t.Parallel()
	pause := &Pause{Reason: "new disks", By: "operator", At: noon.Add(-time.Minute)}
	for _, x := range []struct {
		rows   []Row
		pause  *Pause
		want   State
		reason string
	}{
		{[]Row{says("x", Down, 0), says("y", Down, 0)}, nil, Down, "by x"},
		{[]Row{says("x", Down, 0), says("y", Healthy, 0)}, nil, Failing, "1 of 2 workers say: by x"},
		{[]Row{says("x", Degraded, 0), says("y", Failing, 0), says("z", Healthy, 0)}, nil, Failing, "1 of 3 workers say: by y"},
		{[]Row{says("x", Healthy, 0)}, nil, Healthy, "by x"},
		{[]Row{says("x", Down, 0)}, pause, Paused, "new disks"},
		{nil, pause, Paused, "new disks"},
		{[]Row{says("x", Healthy, 0)}, &Pause{Reason: "no endpoint can be reached", By: "breaker"}, Down, "no endpoint can be reached"},
	} {
		if got := Merge("b", x.rows, x.pause, noon); got.State != x.want || got.Reason != x.reason {
			t.Errorf("%v: %s, %q; want %s, %q", x.rows, got.State, got.Reason, x.want, x.reason)
		}
	}
}

// The order in which processes are read changes nothing; the merged state lies between the best and the worst.
func TestMergeProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		states := rapid.SliceOfN(rapid.SampledFrom(unpaused), 1, 6).Draw(t, "states")
		var rows []Row
		lo, hi := Down, Healthy
		for i, s := range states {
			rows = append(rows, says(string(rune('a'+i)), s, 0))
			rows[i].Since = noon.Add(-time.Duration(i) * time.Minute)
			if worse(s, lo) < 0 {
				lo = s
			}
			if worse(s, hi) > 0 {
				hi = s
			}
		}
		got := Merge("b", rows, nil, noon)
		if worse(got.State, lo) < 0 || worse(got.State, hi) > 0 {
			t.Fatalf("%v merge to %s", states, got.State)
		}
		shuffled := rapid.Permutation(rows).Draw(t, "shuffled")
		if d := cmp.Diff(got, Merge("b", shuffled, nil, noon)); d != "" {
			t.Fatal(d)
		}
	})
}

// Counts are added, times are the worst, and an endpoint is as the worst that is said of it.
func TestMergeDetails(t *testing.T) {
	t.Parallel()
	x, y := says("x", Healthy, 0), says("y", Healthy, 0)
	x.Details = Details{Requests: 1, Failed: 1, Written: 5, P99: 10, ProbeMillis: 3, Window: 60, Endpoints: []EndpointHealth{{Address: "a", State: Down}, {Address: "b", State: Healthy}}}
	y.Details = Details{Requests: 2, Retries: 7, P99: 4, ProbeMillis: 9, Window: 60, Endpoints: []EndpointHealth{{Address: "a", State: Healthy}, {Address: "b", State: Failing}}}
	got := Merge("b", []Row{x, y}, nil, noon)
	if d := cmp.Diff(Details{Requests: 3, Failed: 1, Written: 5, Retries: 7, P99: 10, ProbeMillis: 9, Window: 60}, got.Details); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]EndpointHealth{{Address: "a", State: Down}, {Address: "b", State: Failing}}, got.Endpoints); d != "" {
		t.Error(d)
	}
}
