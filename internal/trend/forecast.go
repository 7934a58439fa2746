package trend

import (
	"fmt"
	"time"
)

// Forecast is a sentence about what will be, if it goes on as it did.
type Forecast struct {
	What     string // lag, recovery, latency, log or disk
	Sentence string
	Breach   bool // a bound that was given will be reached
}

// Bounds are what a forecast compares with. A zero bound is none.
type Bounds struct {
	Lag     time.Duration
	Horizon time.Duration
}

// milestones are what a lag is said to reach.
var milestones = []time.Duration{
	5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour,
	6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 48 * time.Hour, 7 * 24 * time.Hour,
}

// Lag says how far a backend will be behind, from how many seconds it was: the largest of a few round spans that it
// reaches within the horizon; or when it will have caught up.
func Lag(name string, s Series, b Bounds) (f Forecast, ok bool) {
	l, ok := Of(s)
	if !ok {
		return Forecast{}, false
	}
	if l.Slope < 0 {
		at, ok := l.Reaches(0, b.Horizon)
		if !ok {
			return Forecast{}, false
		}
		return Forecast{What: "recovery", Sentence: fmt.Sprintf("%s will have caught up by %s", name, clock(at, l.At))}, true
	}
	reached := false
	for _, m := range milestones {
		if at, there := l.Reaches(m.Seconds(), b.Horizon); there && m >= time.Minute {
			f, reached = Forecast{What: "lag", Sentence: fmt.Sprintf("%s will be %s behind by %s", name, spoken(m), clock(at, l.At))}, true
		}
	}
	if b.Lag > 0 {
		if at, there := l.Reaches(b.Lag.Seconds(), b.Horizon); there {
			return Forecast{What: "lag", Sentence: fmt.Sprintf("%s will be %s behind by %s", name, spoken(b.Lag), clock(at, l.At)), Breach: true}, true
		}
	}
	return f, reached
}

// Latency says that requests take longer and longer.
func Latency(name string, s Series, b Bounds) (f Forecast, ok bool) {
	d, ok := Doubles(s, b.Horizon)
	if !ok {
		return Forecast{}, false
	}
	return Forecast{What: "latency", Sentence: fmt.Sprintf("the slowest requests to %s take twice as long each %s", name, spoken(roundSpan(d)))}, true
}

// Size says when something reaches a bound, which is told in words.
func Size(what, name string, s Series, bound float64, words string, b Bounds) (f Forecast, ok bool) {
	l, ok := Of(s)
	if !ok || bound <= 0 {
		return Forecast{}, false
	}
	at, ok := l.Reaches(bound, b.Horizon)
	if !ok || l.Slope < 0 {
		return Forecast{}, false
	}
	return Forecast{What: what, Sentence: fmt.Sprintf("%s reaches %s at %s", name, words, clock(at, l.At)), Breach: true}, true
}

// clock is a time as people read it, with its day when it is another than that of now.
func clock(at, now time.Time) string {
	at, now = at.UTC().Round(time.Minute), now.UTC()
	if at.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return at.Format("15:04 UTC")
	}
	return at.Format("Jan 2, 15:04 UTC")
}

// roundSpan leaves out what nobody can know of a span.
func roundSpan(d time.Duration) time.Duration {
	if d < time.Hour {
		return max(d.Round(time.Minute), time.Minute)
	}
	return d.Round(10 * time.Minute)
}

// spoken is a span in words.
func spoken(d time.Duration) string {
	switch {
	case d == time.Minute:
		return "1 minute"
	case d == time.Hour:
		return "1 hour"
	case d%time.Hour == 0:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d%time.Minute == 0 && d < 2*time.Hour:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	default:
		return d.String()
	}
}
