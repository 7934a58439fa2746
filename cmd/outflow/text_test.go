package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outflow-db/outflow/health"
	"github.com/outflow-db/outflow/internal/progress"
	"github.com/outflow-db/outflow/outbox"
)

// Numbers and time spans are written as people read them.
func TestText(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 7: "7", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -999: "-999"} {
		if got := number(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0s", 1500 * time.Microsecond: "2ms", 999 * time.Millisecond: "999ms", 1234 * time.Millisecond: "1.2s",
		3*time.Minute + 7*time.Second: "3m07s", 5*time.Hour + 2*time.Minute: "5h02m", 76 * time.Hour: "3d4h",
	} {
		if got := span(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
	if got := counted(1, "change") + ", " + counted(2000, "change"); got != "1 change, 2,000 changes" {
		t.Errorf("got %s", got)
	}
	for d, want := range map[time.Duration]int64{0: 0, time.Second: 600, time.Minute: 10} {
		if got := perMinute(10, d); got != want {
			t.Errorf("10 in %v are %d a minute, want %d", d, got, want)
		}
	}
}

// The screen of status says what each backend does and who holds its lanes.
func TestStatusScreen(t *testing.T) {
	t.Parallel()
	now := time.Now()
	all := []outbox.BackendStatus{
		{
			Name: "graph", Type: "nebula", Paused: "wrong password", Changes: 1200, Lag: 90 * time.Second, Parked: 2,
			Lanes: []outbox.LaneStatus{{Position: "10:20:" + strings.Repeat("11,", 20), Saved: now.Add(-time.Hour), Changes: 1200, Lag: 90 * time.Second}},
		},
		{Name: "search", Type: "postgres", Lanes: []outbox.LaneStatus{{Position: "5:5:", Owner: "host-1", Saved: now.Add(-200 * time.Millisecond)}, {Lane: 1, Position: "5:5:", Saved: now.Add(time.Second)}}},
		{Name: "vectors", Type: "qdrant", Changes: 1, Lanes: []outbox.LaneStatus{{Position: "5:5:", Saved: now, Changes: 1}}},
		{Name: "x", Type: "postgres"},
	}
	var out strings.Builder
	if err := printBackends(&out, all, []health.Backend{{Name: "search", State: health.Degraded}, {Name: "graph", State: health.Paused}}); err != nil {
		t.Fatal(err)
	}
	if err := printLanes(&out, all, now); err != nil {
		t.Fatal(err)
	}
	const want = `BACKEND  TYPE      LAG                   PARKED  HEALTH    STATE
graph    nebula    1,200 changes, 1m30s  2       paused    paused: wrong password
search   postgres  none                  0       degraded  working
vectors  qdrant    1 change, 0s          0       unknown   waiting for a worker
x        postgres  none                  0       unknown   idle
LANE       LAG                   WORKER  SAVED      POSITION
graph/0    1,200 changes, 1m30s  none    1h00m ago  10:20:11,11,11,11,11,11,11,11,11,11,11,1...
search/0   none                  host-1  200ms ago  5:5:
search/1   none                  none    0s ago     5:5:
vectors/0  1 change, 0s          none    0s ago     5:5:
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

// The demo's live line counts what is loaded and projected; without a known number of files there is no bar.
func TestDemoView(t *testing.T) {
	t.Parallel()
	v := &view{most: 10, files: 5, records: 1000, logged: 900, changes: 300, lag: 2 * time.Second}
	if got, want := v.text(), "loading      "+progress.Bar(5, 10, 20)+"  5 files, 1,000 records; 600 keys projected; lag 300 changes, 2.0s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	v.done = true
	if got := v.text(); !strings.Contains(got, progress.Bar(1, 1, 20)) {
		t.Errorf("got %q, want a full bar: there were no more files", got)
	}
	v = &view{files: 1, changes: 5}
	if got, want := v.text(), "loading      1 file, 0 records; 0 keys projected; lag 5 changes, 0s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A table cell is one line of bounded width.
func TestOneLine(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"a\n\tb  c": "a b c", strings.Repeat("é", 60): strings.Repeat("é", 60), strings.Repeat("é", 61): strings.Repeat("é", 57) + "...",
	} {
		if got := oneLine(s); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}
