package jobs

import (
	"errors"
	"testing"
	"time"
)

// An attempt ends when its window closes, and sleeps until the next one opens; when its backend is paused or leaves; and
// when it has lasted long, to go on at once.
func TestRunGoesOnOnlyInItsTime(t *testing.T) {
	t.Parallel()
	night := Schedule{Every: 24 * time.Hour, From: 2 * 60, To: 5 * 60}
	at := func(text string) time.Time { return moment(t, text+" +0000") }
	for name, c := range map[string]struct {
		now    string
		change func(*run)
		want   time.Duration // -1: it goes on
	}{
		"in the window":               {"2026-03-10 03:00", func(*run) {}, -1},
		"after the window":            {"2026-03-10 05:00", func(*run) {}, 21 * time.Hour},
		"the window closes meanwhile": {"2026-03-10 04:59", func(r *run) { r.since = r.since.Add(-time.Minute) }, 21 * time.Hour},
		"it is paused":                {"2026-03-10 03:00", func(r *run) { r.e.paused = map[string]string{"main": "operator"} }, runPause},
		"its backend leaves":          {"2026-03-10 03:00", func(r *run) { close(r.s.removed) }, time.Second},
		"its backend changes":         {"2026-03-10 03:00", func(r *run) { r.s.outdated.Store(true) }, time.Second},
		"it has lasted long":          {"2026-03-10 02:10", func(r *run) { r.since = r.since.Add(-runSlice) }, 0},
	} {
		r := &run{e: &Engine{ended: make(chan struct{})}, s: &store{name: "main", removed: make(chan struct{})}, set: night, now: at(c.now), since: time.Now()}
		c.change(r)
		err := r.goOn()
		var later notNowError
		switch {
		case c.want < 0 && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want >= 0 && (!errors.As(err, &later) || later.snooze > c.want || later.snooze < c.want-time.Minute):
			t.Errorf("%s: %v, want to sleep for %s", name, err, c.want)
		}
	}
}
