package jobs

import (
	"errors"
	"fmt"
	"time"
)

// Schedule says when a backend is verified without being asked to. The zero value is: never. A verify reads every record
// of both sides, and on whose time it may do so is for operators to say.
type Schedule struct {
	Every    time.Duration // how often; zero: never; at least a minute
	From, To Clock         // the time of the day in which it may work; the same: at any time
	Zone     string        // whose clock From and To are of, such as Europe/Berlin; empty: UTC
	Repair   bool          // put differing keys into the log again
	Deep     bool          // as VerifyOptions.Deep
	Dangling bool          // as VerifyOptions.Dangling
	Rate     int           // records per second, of PostgreSQL's and then of the store's; default 10000, at least 100
}

// Clock is a time of the day in minutes after midnight, below 24 hours.
type Clock int

// ParseClock reads a time of the day such as 02:30.
func ParseClock(text string) (Clock, error) {
	t, err := time.Parse("15:04", text)
	if err != nil || len(text) != len("15:04") {
		return 0, fmt.Errorf("%q is no time of the day: want one such as 02:30", text)
	}
	return Clock(t.Hour()*60 + t.Minute()), nil
}

// String is the time of the day as ParseClock reads it.
func (c Clock) String() string { return fmt.Sprintf("%02d:%02d", int(c)/60, int(c)%60) }

// LeastRate is the least that Schedule.Rate can be: a store gives up a scan of which no page is asked for in minutes.
const LeastRate = 100

const (
	dayMinutes  = 24 * 60
	rateDefault = 10_000
)

// problems lists what is out of range.
func (s Schedule) problems() []error {
	var errs []error
	if s.Every != 0 && s.Every < time.Minute {
		errs = append(errs, fmt.Errorf("verify: every is %s, must be at least 1m", s.Every))
	}
	if s.From < 0 || s.From >= dayMinutes || s.To < 0 || s.To >= dayMinutes {
		errs = append(errs, errors.New("verify: from and to must be times of the day"))
	}
	if s.Rate != 0 && s.Rate < LeastRate {
		errs = append(errs, fmt.Errorf("verify: rate is %d, must be at least %d", s.Rate, LeastRate))
	}
	if _, err := time.LoadLocation(s.Zone); err != nil {
		errs = append(errs, fmt.Errorf("verify: zone: %w", err))
	}
	return errs
}

// rate is the records per second.
func (s Schedule) rate() int {
	if s.Rate == 0 {
		return rateDefault
	}
	return s.Rate
}

// wall is what the clock of the zone shows, as if its hours were always the same: differences are those of the clock,
// whatever is done to it in between.
func (s Schedule) wall(at time.Time) time.Time {
	zone, err := time.LoadLocation(s.Zone)
	if err != nil {
		zone = time.UTC // it was checked
	}
	at = at.In(zone)
	return time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), time.UTC)
}

// window is when the window began that is open at a time on the clock. False: none is.
func (s Schedule) window(wall time.Time) (began time.Time, open bool) {
	minute := Clock(wall.Hour()*60 + wall.Minute())
	midnight := time.Date(wall.Year(), wall.Month(), wall.Day(), 0, 0, 0, 0, time.UTC)
	began = midnight.Add(time.Duration(s.From) * time.Minute)
	switch {
	case s.From < s.To:
		return began, minute >= s.From && minute < s.To
	case minute >= s.From:
		return began, true
	default: // it began the day before
		return began.AddDate(0, 0, -1), s.From == s.To || minute < s.To
	}
}

// open says whether the window is open.
func (s Schedule) open(at time.Time) bool {
	_, open := s.window(s.wall(at))
	return open
}

// opens is when the window opens next: now if it is open. A window that the clock leaps over does not open that day.
func (s Schedule) opens(now time.Time) time.Time {
	if s.open(now) {
		return now
	}
	at := now.Truncate(time.Minute)
	for range 3 * dayMinutes {
		if at = at.Add(time.Minute); s.open(at) {
			break
		}
	}
	return at
}

// turn is which of its turns a verify that begins at a time on the clock is: the first is at the beginning of the
// window, and the next ones, if it is long enough, as far apart as they shall be. So a verify that begins late does not
// make the next one later.
func (s Schedule) turn(wall time.Time) time.Time {
	began, open := s.window(wall)
	if !open {
		return wall
	}
	return began.Add(wall.Sub(began).Truncate(s.Every))
}

// due says whether a verify is to begin now, when the last one began at a time; zero: there was none. One that is said to
// have begun in the future, farther away than the next would be, was begun by a clock that was wrong: it does not count.
func (s Schedule) due(last, now time.Time) bool {
	if s.Every <= 0 || !s.open(now) {
		return false
	}
	if last.IsZero() || last.After(now.Add(s.Every)) {
		return true
	}
	return s.turn(s.wall(now)).Sub(s.turn(s.wall(last))) >= s.Every
}
