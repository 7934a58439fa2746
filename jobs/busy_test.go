package jobs

import (
	"testing"

	"github.com/outflow-db/outflow/outbox"
)

// The keeper goes without the flag exactly while no lane that it cares for waits for changes.
func TestAllBusy(t *testing.T) {
	t.Parallel()
	runs := func(backend string) bool { return backend == "here" }
	for name, c := range map[string]struct {
		lane outbox.LaneState
		busy bool
	}{
		"at work":              {outbox.LaneState{Backend: "here", Held: true, Behind: true}, true},
		"held, nothing to do":  {outbox.LaneState{Backend: "here", Held: true}, true},
		"called for":           {outbox.LaneState{Backend: "here", Behind: true}, true},
		"paused":               {outbox.LaneState{Backend: "here", Paused: "an operator"}, true},
		"another process's":    {outbox.LaneState{Backend: "there"}, true},
		"waiting for a change": {outbox.LaneState{Backend: "here"}, false},
	} {
		lanes := []outbox.LaneState{{Backend: "here", Lane: 1, Held: true}, c.lane}
		if got := allBusy(lanes, runs); got != c.busy {
			t.Errorf("%s: busy is %v, want %v", name, got, c.busy)
		}
	}
}
