package jobs

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/outflow-db/outflow/outbox"
)

// Pauses between rounds double up to the longest one, less up to a quarter of chance.
func TestRetryPause(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]time.Duration{
		0: time.Minute, 1: time.Minute, 2: 2 * time.Minute, 3: 4 * time.Minute, 9: 256 * time.Minute, 10: 6 * time.Hour, 11: 6 * time.Hour, 1 << 40: 6 * time.Hour,
	} {
		if got := retryPause(n, time.Minute, 6*time.Hour, 0); got != want {
			t.Errorf("round %d: %v, want %v", n, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		first := time.Duration(rapid.Int64Range(1, int64(1000*time.Hour)).Draw(t, "first"))
		most := first + time.Duration(rapid.Int64Range(0, 1<<62).Draw(t, "more"))
		n := rapid.IntRange(0, 100).Draw(t, "n")
		whole, got := retryPause(n, first, most, 0), retryPause(n, first, most, rapid.Float64Range(0, 1).Draw(t, "random"))
		if got > whole || got < whole-whole/4-1 || whole < first || whole > most || retryPause(n+1, first, most, 0) < whole {
			t.Fatalf("%v of %v, and then %v", got, whole, retryPause(n+1, first, most, 0))
		}
	})
}

// A round of a group of which everything is refused sends a sample and no more; one of a group of which everything is
// taken sends each record once, in portions that are bounded; no round goes on for ever.
func TestRounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		group := rapid.IntRange(1, 20_000).Draw(t, "group")
		bad := rapid.IntRange(0, 100).Draw(t, "percent that is refused")
		left, sent, taken, portions := group, 0, 0, 0
		for n := nextPortion(0, 0); n > 0 && left > 0; portions++ {
			n = min(n, left)
			if n > retryPortion || portions > 2+group {
				t.Fatalf("portion %d has %d records", portions, n)
			}
			refused := (n*bad + 99) / 100
			sent, taken, left = sent+n, taken+n-refused, left-n
			n = nextPortion(n, refused)
		}
		switch {
		case bad == 100 && sent != min(group, retrySample):
			t.Fatalf("%d of %d were sent, and all refused", sent, group)
		case bad == 0 && (sent != group || taken != group):
			t.Fatalf("%d of %d were sent, %d taken", sent, group, taken)
		}
		if tries := triesAfter(3, taken); tries != 0 && taken > 0 || taken == 0 && tries != 4 {
			t.Fatalf("%d taken: %d tries", taken, tries)
		}
	})
}

// A backend pauses when a group has reached the limit and its target refuses more than it takes. So a backlog of which
// more is taken than refused never stops, however long it is, and neither does a process that has seen next to nothing.
func TestLimitIsForMasses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		r     refusals
		limit int
		want  bool
	}{
		{refusals{1000, 1000, 0}, 1000, true},
		{refusals{999, 1000, 0}, 1000, false},
		{refusals{1000, 50, 49}, 1000, true},
		{refusals{1000, 49, 0}, 1000, false},
		{refusals{1_000_000, 1000, 1000}, 1000, false},
		{refusals{1, 1, 0}, 1, true},
		{refusals{1000, 1000, 0}, NoParkLimit, false},
	} {
		if got := c.r.exceed(c.limit); got != c.want {
			t.Errorf("%+v with limit %d: %v", c.r, c.limit, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 3000)
		r, limit := refusals{n.Draw(t, "shared"), n.Draw(t, "own"), n.Draw(t, "taken")}, rapid.IntRange(1, 2000).Draw(t, "limit")
		if r.exceed(limit) && (r.shared < limit || r.own <= r.taken || r.own*limitOwnPart < limit-limitOwnPart || !r.suspicious(limit)) {
			t.Fatalf("%+v exceeds %d", r, limit)
		}
		if r.shared >= limit && r.own >= limit && r.own > r.taken && !r.exceed(limit) {
			t.Fatalf("%+v does not exceed %d", r, limit)
		}
	})
}

// What is counted is what came within the window, for each target and reason by itself, as a list of all of it says.
func TestLately(t *testing.T) {
	t.Parallel()
	type event struct {
		slot  int64
		why   outbox.ParkedReason
		taken int
	}
	rapid.Check(t, func(t *rapid.T) {
		var l lately
		var all []event
		now := time.Unix(1_800_000_000, 0)
		t.Repeat(map[string]func(*rapid.T){
			"time passes": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(3*limitWindow/2)).Draw(t, "d")))
			},
			"some are taken": func(t *rapid.T) {
				e := event{now.UnixNano() / int64(limitWindow/limitSlots), drawReason(t), rapid.IntRange(1, 50).Draw(t, "n")}
				l.took(placeOf(e.why), e.taken, now)
				all = append(all, e)
			},
			"all is forgotten": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "seldom") == 0 {
					l.reset()
					all = nil
				}
			},
			"": func(t *rapid.T) { // and one is refused
				e := event{slot: now.UnixNano() / int64(limitWindow/limitSlots), why: drawReason(t)}
				got := l.refused(e.why, now)
				all = append(all, e)
				var want refusals
				for _, o := range all {
					switch {
					case e.slot-o.slot >= limitSlots:
					case o.taken > 0 && placeOf(o.why) == placeOf(e.why):
						want.taken += o.taken
					case o.taken == 0 && o.why == e.why:
						want.own++
					}
				}
				if got != want {
					t.Fatalf("got %+v, want %+v", got, want)
				}
			},
		})
	})
}

// Very many reasons, which are no masses of equal refusals, do not fill the memory.
func TestLatelyIsBounded(t *testing.T) {
	t.Parallel()
	var l lately
	now := time.Unix(1_800_000_000, 0)
	for i := range 3 * limitGroups {
		l.refused(outbox.ParkedReason{Kind: "k", Target: "t", Class: "rejected", Pattern: strings.Repeat("x", i)}, now)
	}
	if n := len(l.at(now).refused); n != limitGroups {
		t.Errorf("%d reasons are counted", n)
	}
}

func drawReason(t *rapid.T) outbox.ParkedReason {
	return outbox.ParkedReason{
		Kind: "k", Target: rapid.SampledFrom([]string{"t", "u"}).Draw(t, "target"),
		Class: "rejected", Pattern: rapid.SampledFrom([]string{"too long", "no number"}).Draw(t, "pattern"),
	}
}
