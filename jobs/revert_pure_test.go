package jobs

import (
	"slices"
	"testing"
	"time"

	"github.com/outflow-db/outflow/outbox"
)

// A reversal that is refused is tried six times within about a minute, after growing pauses, and then no more.
func TestRevertPauses(t *testing.T) {
	t.Parallel()
	var got []time.Duration
	for tries := 1; revertPause(tries) > 0; tries++ {
		got = append(got, revertPause(tries))
	}
	if want := []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second}; !slices.Equal(got, want) {
		t.Errorf("the pauses are %v, want %v", got, want)
	}
	if d := revertPause(revertTries + 1); d != 0 {
		t.Errorf("after too many tries it pauses for %v", d)
	}
}

// What only a generation refuses that readers do not see yet is no reason to revert anything.
func TestAGenerationBesideRejectsNothing(t *testing.T) {
	t.Parallel()
	page := &outbox.Page{}
	if (&plan{beside: true}).asked(page) != nil || (&plan{}).asked(page) != page {
		t.Error("want the page only where readers see what was refused")
	}
}
