package alerts

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/outflow-db/outflow/health"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// story is a sequence of looks, with what is told.
type story struct {
	s     Settings
	now   time.Time
	all   []Alert
	told  []string // status and id of each notice, in messages
	count int      // messages
}

func newStory() *story { return &story{s: Settings{}.WithDefaults(), now: noon} }

// look is one look a quarter of a minute later.
func (y *story) look(blind []string, found ...Finding) {
	y.now = y.now.Add(15 * time.Second)
	changed, gone := Next(y.now, y.s, y.all, found, blind)
	y.all = merged(y.all, changed, gone)
	owed := Owed(y.now, y.s, y.all)
	if len(owed) > 0 {
		y.count++
	}
	var told []Alert
	for _, n := range owed {
		y.told = append(y.told, n.Status+" "+n.Alert.ID)
		told = append(told, n.Alert)
	}
	y.all = merged(y.all, told, nil)
}

func (y *story) looks(n int, found ...Finding) {
	for range n {
		y.look(nil, found...)
	}
}

// minute is so many looks.
const minute = 4

func lags(name string) Finding {
	return Finding{Rule: LagHigh, Backend: name, Summary: name + " is behind"}
}

// An alert fires when its condition holds for long enough, is told once after the time for others, is reminded of, and
// is over, told once, when its condition has not held for a while.
func TestOneAlert(t *testing.T) {
	t.Parallel()
	y := newStory()
	y.looks(minute, lags("a"))
	if len(y.told) != 0 || y.all[0].State != Pending || !y.all[0].Since.Equal(noon.Add(15*time.Second)) {
		t.Fatalf("after 45s: told %v, %+v", y.told, y.all)
	}
	y.looks(1, lags("a"))
	if len(y.told) != 0 || y.all[0].State != Firing {
		t.Fatalf("after a minute: told %v, %+v", y.told, y.all)
	}
	y.looks(2*minute, lags("a"))
	y.looks(4*60*minute, lags("a"))
	y.looks(minute - 1)
	if y.looks(1, lags("a")); y.all[0].State != Firing || !y.all[0].Since.Equal(noon.Add(15*time.Second)) {
		t.Errorf("it was not over: %+v", y.all[0])
	}
	y.looks(10 * minute)
	if d := cmp.Diff([]string{"firing lag-high/a", "still firing lag-high/a", "resolved lag-high/a"}, y.told); d != "" {
		t.Error(d)
	}
	if y.looks(31 * 24 * 60 * minute); len(y.all) != 0 {
		t.Errorf("not forgotten: %+v", y.all)
	}
}

// A condition that comes and goes before the alert fires is told to nobody and forgotten; so is one that nobody could
// have seen in between.
func TestShortConditionsAreNotTold(t *testing.T) {
	t.Parallel()
	y := newStory()
	for range 20 {
		y.looks(2, lags("a"))
		y.looks(1)
	}
	if len(y.told) != 0 || len(y.all) != 0 {
		t.Errorf("told %v, kept %v", y.told, y.all)
	}
	y.looks(1, lags("a"))
	y.now = y.now.Add(time.Hour)
	y.looks(2, lags("a"))
	if y.all[0].State != Pending {
		t.Errorf("nobody looked for an hour: %+v", y.all[0])
	}
}

// What fires again after it was over is told again, with a new beginning.
func TestAgain(t *testing.T) {
	t.Parallel()
	y := newStory()
	for range 2 {
		y.looks(3*minute, lags("a"))
		y.looks(3 * minute)
	}
	if d := cmp.Diff([]string{"firing lag-high/a", "resolved lag-high/a", "firing lag-high/a", "resolved lag-high/a"}, y.told); d != "" {
		t.Error(d)
	}
}

// What fails together comes in one message, the gravest first.
func TestTogether(t *testing.T) {
	t.Parallel()
	y := newStory()
	all := []Finding{lags("a"), lags("b"), {Rule: BackendFailing, Backend: "c"}, {Rule: RecordsParked, Backend: "d"}}
	y.looks(5*minute, all...)
	y.looks(5 * minute)
	if d := cmp.Diff([]string{
		"firing records-parked/d",
		"firing backend-failing/c", "firing lag-high/a", "firing lag-high/b",
		"resolved backend-failing/c", "resolved lag-high/a", "resolved lag-high/b", "resolved records-parked/d",
	}, y.told); d != "" || y.count != 3 {
		t.Errorf("%d messages: %s", y.count, d)
	}
}

// What follows from a store that is down is not told, until a while after the store is back; other backends are.
func TestMuted(t *testing.T) {
	t.Parallel()
	y := newStory()
	down := Finding{Rule: BackendFailing, Backend: "a"}
	y.looks(10*minute, down, lags("a"), lags("b"))
	y.looks(10*minute, lags("a"))
	if d := cmp.Diff([]string{"firing backend-failing/a", "firing lag-high/b", "resolved backend-failing/a", "resolved lag-high/b"}, y.told); d != "" {
		t.Error(d)
	}
	y.looks(10*minute, lags("a"))
	if !slices.Contains(y.told, "firing lag-high/a") {
		t.Errorf("it lasts, and is not told: %v", y.told)
	}
}

// While nothing can be said of a rule, or of one alert, it stays as it is.
func TestBlind(t *testing.T) {
	t.Parallel()
	for _, blind := range []string{VerifyDiffers, "verify-differs/a"} {
		y := newStory()
		y.looks(4, Finding{Rule: VerifyDiffers, Backend: "a"})
		for range 100 * minute {
			y.look([]string{blind})
		}
		if y.all[0].State != Firing {
			t.Errorf("blind for %s: %+v", blind, y.all[0])
		}
		if y.looks(1); y.all[0].State != Resolved {
			t.Errorf("seen again: %+v", y.all[0])
		}
	}
}

// A rule that is switched off, or that a newer version does not know, is over at the next look.
func TestRuleThatIsOff(t *testing.T) {
	t.Parallel()
	y := newStory()
	y.looks(3*minute, lags("a"), Finding{Rule: LogLarge})
	y.s.Off, y.all[1].Rule = []string{LagHigh}, "no-such-rule"
	y.looks(1)
	for _, a := range y.all {
		if a.State != Resolved {
			t.Errorf("%+v", a)
		}
	}
}

// Whatever comes and goes: for each alert what is told begins with firing, and then firing and resolved take turns, with
// reminders only while it fires; and once nothing is wrong for long enough, everything that was told to fire is told to
// be over.
func TestTellingProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		y := newStory()
		y.s.Remind = 3 * time.Minute
		pool := []Finding{lags("a"), {Rule: BackendFailing, Backend: "a"}, {Rule: RecordsParked, Backend: "a"}, lags("b"), {Rule: WatchDrift, Kind: "k"}}
		for range rapid.IntRange(1, 12).Draw(t, "phases") {
			found := rapid.SliceOfNDistinct(rapid.SampledFrom(pool), 0, 4, Finding.ID).Draw(t, "found")
			y.looks(rapid.IntRange(1, 12).Draw(t, "looks"), found...)
		}
		y.looks(5 * minute)
		last := map[string]string{}
		for _, told := range y.told {
			status, id := told[:len(told)-len(lastWord(told))-1], lastWord(told)
			allowed := map[string][]string{
				"": {StatusFiring}, StatusFiring: {StatusReminder, StatusResolved}, StatusReminder: {StatusReminder, StatusResolved}, StatusResolved: {StatusFiring},
			}
			if !slices.Contains(allowed[last[id]], status) {
				t.Fatalf("%s after %q: %v", told, last[id], y.told)
			}
			last[id] = status
		}
		for id, status := range last {
			if status != StatusResolved {
				t.Fatalf("%s was left %s: %v", id, status, y.told)
			}
		}
	})
}

func lastWord(s string) string {
	i := len(s) - 1
	for s[i] != ' ' {
		i--
	}
	return s[i+1:]
}

// Each condition is found at its bound, not below, and not when its rule is off or blind.
func TestFind(t *testing.T) {
	t.Parallel()
	s := Settings{LogBytes: 1 << 30}.WithDefaults()
	f := Facts{
		Health: []health.Backend{
			{Name: "a", State: health.Paused, PausedBy: "engine", Reason: "denied: no"},
			{Name: "b", State: health.Paused, PausedBy: "operator", Reason: "disks"},
			{Name: "c", State: health.Down, Reason: "no answer"},
			{Name: "d", State: health.Degraded, Reason: "slow", Details: health.Details{Stopping: 10, Requests: 30}},
			{Name: "e", State: health.Healthy, Details: health.Details{Stopping: 9}},
			{Name: "f", State: health.Unknown},
		},
		Parked:    map[string]int64{"a": 1, "b": 0},
		Lag:       []Lag{{"a", 5, 5*time.Minute + 1}, {"b", 5, 5 * time.Minute}},
		Absent:    []Absent{{"a", 1}, {"b", 2}},
		LogBytes:  1<<30 + 1,
		Holder:    &Holder{"a transaction of process 7 (psql)", time.Hour},
		Drift:     []Drift{{"shop.orders", "order", "triggers are disabled"}},
		Verified:  []Verified{{"a", 3, 2}, {"b", 0, 0}},
		Forecasts: []Forecast{{"a", "lag", "a will be 5 minutes behind by 12:30 UTC", true}, {"b", "recovery", "b will have caught up", false}},
	}
	want := map[string]string{
		"backend-paused/a": "a pauses: denied: no", "backend-failing/c": "c is down: no answer", "backend-degraded/d": "d is degraded: slow",
		"refusals/d":       "d refused 10 requests of 30 within a minute for what does not mend itself, or asked for less",
		"records-parked/a": "1 record is parked by a", "lag-high/a": "a is 5m0s behind: 5 changes",
		"worker-absent/a": "nobody works 1 lane of a that is behind", "worker-absent/b": "nobody works 2 lanes of b that are behind",
		"log-large": "the log has 1 GiB, more than 1 GiB", "transaction-old": "a transaction of process 7 (psql), 1h0m0s old, keeps dead rows",
		"watch-drift//order": "the watch of shop.orders misses changes: triggers are disabled", "breach-predicted/a/lag": "a will be 5 minutes behind by 12:30 UTC",
		"verify-differs/a": "a differed from PostgreSQL in 3 records, 2 of them put into the log again",
	}
	got := map[string]string{}
	for _, x := range Find(f, s) {
		got[x.ID()] = x.Summary
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	s.Off = RuleNames()
	if got := Find(f, s); len(got) != 0 {
		t.Errorf("all are off: %v", got)
	}
	s.Off, f.Blind = nil, RuleNames()
	if got := Find(f, s); len(got) != 0 {
		t.Errorf("all are blind: %v", got)
	}
}

// Every rule that is muted exists, and no two rules mute each other.
func TestRulesFit(t *testing.T) {
	t.Parallel()
	for _, r := range Rules() {
		for _, name := range r.Mutes {
			other, known := ruleOf(name)
			if !known || slices.Contains(other.Mutes, r.Name) {
				t.Errorf("%s mutes %s", r.Name, name)
			}
		}
	}
}
