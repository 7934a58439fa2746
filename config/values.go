package config

import (
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/outflow-db/outflow/jobs"
)

// convert makes a field of a function that understands text. What a reference yielded is not quoted in problems.
func convert[T any](r *reader, to *T, want string, parse func(string) (T, bool)) field {
	return func(n *yaml.Node, path string) {
		text, referred, ok := r.scalar(n, path, want)
		if !ok {
			return
		}
		v, ok := parse(text)
		switch {
		case ok:
			*to = v
		case referred:
			r.fail(n, path, "want %s, not what %s yields", want, short(n.Value))
		default:
			r.fail(n, path, "want %s, have %q", want, short(text))
		}
	}
}

// text reads a text that is not empty.
func (r *reader) text(to *string, want string) field {
	return convert(r, to, want, func(s string) (string, bool) { return s, strings.TrimSpace(s) != "" })
}

// choice reads one of a few words.
func (r *reader) choice(to *string, words ...string) field {
	return convert(r, to, "one of "+strings.Join(words, ", "), func(s string) (string, bool) {
		return s, slices.Contains(words, s)
	})
}

func (r *reader) flag(to *bool) field {
	return convert(r, to, "true or false", func(s string) (bool, bool) { return s == "true", s == "true" || s == "false" })
}

// count reads a whole number from 1 to most.
func (r *reader) count(to *int, most int) field {
	want := "a whole number from 1 to " + strconv.Itoa(most)
	return convert(r, to, want, func(s string) (int, bool) {
		v, err := strconv.Atoi(s)
		return v, err == nil && v >= 1 && v <= most
	})
}

// parkLimitMost is the largest limit of what is parked that means something.
const parkLimitMost = 1_000_000

// parkLimit reads how many records a backend may park for one reason, or that there is no such limit.
func (r *reader) parkLimit(to *int) field {
	return convert(r, to, "a whole number from 1 to "+strconv.Itoa(parkLimitMost)+", or none", func(s string) (int, bool) {
		if s == "none" {
			return jobs.NoParkLimit, true
		}
		v, err := strconv.Atoi(s)
		return v, err == nil && v >= 1 && v <= parkLimitMost
	})
}

// level reads a level of the log.
func (r *reader) level(to *slog.Level) field {
	return convert(r, to, "one of debug, info, warn, error", func(s string) (slog.Level, bool) {
		var v slog.Level
		return v, v.UnmarshalText([]byte(s)) == nil
	})
}

// duration reads a time span of at least least.
func (r *reader) duration(to *time.Duration, least time.Duration, example string) field {
	want := "a time span of at least " + least.String() + ", such as " + example
	return convert(r, to, want, func(s string) (time.Duration, bool) {
		v, ok := parseDuration(s)
		return v, ok && v >= least
	})
}

// parseDuration reads Go's durations, and days: "36h", "1m30s", "7d".
func parseDuration(s string) (time.Duration, bool) {
	number, isDays := strings.CutSuffix(s, "d")
	if !isDays {
		v, err := time.ParseDuration(s)
		return v, err == nil
	}
	const most = math.MaxInt64 / int64(24*time.Hour)
	days, err := strconv.ParseInt(number, 10, 64)
	return time.Duration(days) * 24 * time.Hour, err == nil && days >= 0 && days <= most
}

// clock reads a time of the day.
func (r *reader) clock(to *jobs.Clock) field {
	return convert(r, to, "a time of the day such as 02:30", func(s string) (jobs.Clock, bool) {
		v, err := jobs.ParseClock(s)
		return v, err == nil
	})
}

// zone reads the name of a time zone.
func (r *reader) zone(to *string) field {
	return convert(r, to, "a time zone such as Europe/Berlin or UTC", func(s string) (string, bool) {
		_, err := time.LoadLocation(s)
		return s, err == nil && s != "" && s != "Local" // which every machine has another of
	})
}

// rate reads how many records per second.
func (r *reader) rate(to *int) field {
	want := "a whole number of records per second of at least " + strconv.Itoa(jobs.LeastRate)
	return convert(r, to, want, func(s string) (int, bool) {
		v, err := strconv.Atoi(s)
		return v, err == nil && v >= jobs.LeastRate
	})
}

// size reads a number of bytes of at least least.
func (r *reader) size(to *int, least int, example string) field {
	want := "a number of bytes of at least " + strconv.Itoa(least) + ", such as " + example
	return convert(r, to, want, func(s string) (int, bool) {
		v, ok := parseSize(s)
		return v, ok && v >= least
	})
}

// parseSize reads a number of bytes: "1048576", "512KiB", "4MiB", "1GiB".
func parseSize(s string) (int, bool) {
	unit := 1
	for i, suffix := range []string{"KiB", "MiB", "GiB"} {
		if number, ok := strings.CutSuffix(s, suffix); ok {
			s, unit = strings.TrimSpace(number), 1<<(10*(i+1))
			break
		}
	}
	v, err := strconv.Atoi(s)
	if err != nil || v < 0 || v > math.MaxInt/unit {
		return 0, false
	}
	return v * unit, true
}
