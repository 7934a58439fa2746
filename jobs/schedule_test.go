package jobs

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func moment(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04 -0700", text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func clock(t *testing.T, text string) Clock {
	t.Helper()
	c, err := ParseClock(text)
	if err != nil || c.String() != text {
		t.Fatalf("%s is read as %s, %v", text, c, err)
	}
	return c
}

// A verify is due once a night, whenever in the window it began; and not at all outside of it.
func TestVerifyIsDue(t *testing.T) {
	t.Parallel()
	night := Schedule{Every: 24 * time.Hour, From: clock(t, "02:00"), To: clock(t, "05:00"), Zone: "Europe/Berlin"}
	over := Schedule{Every: 24 * time.Hour, From: clock(t, "22:00"), To: clock(t, "04:00")}
	hourly := Schedule{Every: time.Hour}
	week := Schedule{Every: 7 * 24 * time.Hour, From: clock(t, "02:00"), To: clock(t, "05:00")}
	for name, c := range map[string]struct {
		s         Schedule
		last, now string
		due       bool
	}{
		"never configured":             {Schedule{}, "", "2026-03-10 02:00 +0000", false},
		"the first":                    {night, "", "2026-03-10 02:00 +0100", true},
		"before the window":            {night, "", "2026-03-10 01:59 +0100", false},
		"at the window's end":          {night, "", "2026-03-10 05:00 +0100", false},
		"again in the same window":     {night, "2026-03-10 02:00 +0100", "2026-03-10 04:59 +0100", false},
		"next night, after a late one": {night, "2026-03-10 04:59 +0100", "2026-03-11 02:00 +0100", true},
		"when clocks go forward":       {night, "2026-03-28 02:00 +0100", "2026-03-29 03:00 +0200", true},
		"when clocks go back":          {night, "2026-10-24 02:00 +0200", "2026-10-25 02:00 +0200", true},
		"in the hour that comes twice": {night, "2026-10-25 02:00 +0200", "2026-10-25 02:30 +0100", false},
		"the night after":              {night, "2026-10-25 02:00 +0200", "2026-10-26 02:00 +0100", true},
		"after midnight, same window":  {over, "2026-03-10 22:00 +0000", "2026-03-11 03:59 +0000", false},
		"after midnight, late start":   {over, "2026-03-11 03:59 +0000", "2026-03-11 22:00 +0000", true},
		"over midnight, closed":        {over, "", "2026-03-11 12:00 +0000", false},
		"hourly, too early":            {hourly, "2026-03-10 09:50 +0000", "2026-03-10 09:59 +0000", false},
		"hourly, the next":             {hourly, "2026-03-10 09:50 +0000", "2026-03-10 10:00 +0000", true},
		"weekly, too early":            {week, "2026-03-03 04:00 +0000", "2026-03-09 04:30 +0000", false},
		"weekly":                       {week, "2026-03-03 04:00 +0000", "2026-03-10 02:00 +0000", true},
		"nights that were missed":      {night, "2026-01-10 02:00 +0100", "2026-03-10 04:58 +0100", true},
		"the clock went back an hour":  {night, "2026-03-11 02:10 +0100", "2026-03-11 02:00 +0100", false},
		"a clock that was years ahead": {night, "2036-03-11 02:10 +0100", "2026-03-11 02:00 +0100", true},
		"begun outside of the window":  {night, "2026-03-10 12:00 +0100", "2026-03-11 02:00 +0100", false},
		"and the night after that":     {night, "2026-03-10 12:00 +0100", "2026-03-12 02:00 +0100", true},
	} {
		var last time.Time
		if c.last != "" {
			last = moment(t, c.last)
		}
		if got := c.s.due(last, moment(t, c.now)); got != c.due {
			t.Errorf("%s: due is %v", name, got)
		}
	}
}

// schedules are any that are allowed.
func schedules() *rapid.Generator[Schedule] {
	return rapid.Custom(func(t *rapid.T) Schedule {
		return Schedule{
			Every: rapid.SampledFrom([]time.Duration{10 * time.Minute, time.Hour, 5 * time.Hour, 24 * time.Hour, 48 * time.Hour}).Draw(t, "every"),
			From:  Clock(rapid.IntRange(0, dayMinutes-1).Draw(t, "from")),
			To:    Clock(rapid.IntRange(0, dayMinutes-1).Draw(t, "to")),
			Zone:  rapid.SampledFrom([]string{"", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"}).Draw(t, "zone"),
		}
	})
}

// Looked at every few minutes for days, with changes of clocks among them: it never begins outside of the window, never
// twice in less than the time between as the clock shows it, and, if the window is open in that time, at least once.
func TestScheduleKeepsItsTimes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := schedules().Draw(t, "schedule")
		start := rapid.SampledFrom([]time.Time{
			time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 24, 0, 0, 0, 0, time.UTC),
			time.Date(2026, 4, 3, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC),
		}).Draw(t, "start")
		step := time.Duration(rapid.IntRange(3, 10).Draw(t, "minutes")) * time.Minute
		var last time.Time
		waited := time.Duration(0) // in open windows, since the last
		for now := start; now.Before(start.AddDate(0, 0, 4)); now = now.Add(step) {
			if !s.due(last, now) {
				if s.open(now) {
					waited += step
				}
				continue
			}
			if !s.open(now) {
				t.Fatalf("it begins at %s, while the window is closed", now)
			}
			if !last.IsZero() && s.turn(s.wall(now)).Sub(s.turn(s.wall(last))) < s.Every {
				t.Fatalf("it begins at %s, after %s", now, last)
			}
			last, waited = now, 0
		}
		if most := 2*s.Every + 3*time.Hour; waited > most {
			t.Fatalf("it has not begun for %s of open windows", waited)
		}
	})
}

// opens is the first minute at which the window is open, and no later than that.
func TestOpens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := schedules().Draw(t, "schedule")
		now := time.Date(2026, 3, 27, 0, 0, rapid.IntRange(0, 59).Draw(t, "second"), 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 250*dayMinutes).Draw(t, "after")) * time.Minute)
		at := s.opens(now)
		if at.Before(now) || !s.open(at) {
			t.Fatalf("it opens at %s, after %s", at, now)
		}
		for minute := now.Truncate(time.Minute).Add(time.Minute); minute.Before(at); minute = minute.Add(time.Minute) {
			if s.open(minute) {
				t.Fatalf("it is open at %s already", minute)
			}
		}
	})
}

// However the clock jumps, the next verify begins within a few windows after it has come to rest.
func TestScheduleSurvivesClocks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := schedules().Draw(t, "schedule")
		now := time.Date(2026, 3, 27, 0, 0, 0, 0, time.UTC)
		last := now.Add(time.Duration(rapid.IntRange(-100_000, 100_000).Draw(t, "jump")) * time.Hour)
		for end := now.Add(3*s.Every + 4*24*time.Hour); !s.due(last, now); now = now.Add(time.Minute) {
			if now.After(end) {
				t.Fatalf("after one that began at %s none is due until %s", last, now)
			}
		}
	})
}

// What cannot be a schedule is refused, all of it at once.
func TestScheduleProblems(t *testing.T) {
	t.Parallel()
	if errs := (Schedule{Every: 1, From: -1, Zone: "Nowhere/At all", Rate: 1}).problems(); len(errs) != 4 {
		t.Errorf("got %v", errs)
	}
	if errs := (Schedule{Every: time.Hour, From: 60, To: 120, Zone: "Europe/Berlin", Rate: LeastRate}).problems(); len(errs) > 0 {
		t.Error(errs)
	}
	for _, text := range []string{"", "2:00", "24:00", "02:60", "02:00:00", "noon"} {
		if c, err := ParseClock(text); err == nil {
			t.Errorf("%q is read as %s", text, c)
		}
	}
}
