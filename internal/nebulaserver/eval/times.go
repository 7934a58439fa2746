package eval

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // names of zones, on any machine

	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

var (
	datePattern  = regexp.MustCompile(`^(-?\d{1,5})(?:-(\d{1,2})(?:-(\d{1,2}))?)?$`)
	clockPattern = regexp.MustCompile(`^(\d{1,2})(?::(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,6})\d*)?)?)?$`)
	zonePattern  = regexp.MustCompile(`^(.*?)(Z|[+-]\d{2}:\d{2})?(?:\[([A-Za-z_/+\-0-9]+)\])?$`)
)

func parseDate(s string) (nebula.Date, bool) {
	m := datePattern.FindStringSubmatch(s)
	if m == nil {
		return nebula.Date{}, false
	}
	y, month, day := number(m[1], 0), number(m[2], 1), number(m[3], 1)
	return makeDate(y, month, day)
}

func makeDate(y, month, day int) (nebula.Date, bool) {
	t := time.Date(y, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if y < -32768 || y > 32767 || int(t.Month()) != month || t.Day() != day {
		return nebula.Date{}, false
	}
	return nebula.Date{Year: int16(y), Month: int8(month), Day: int8(day)}, true //nolint:gosec // checked
}

func number(s string, otherwise int) int {
	if s == "" {
		return otherwise
	}
	n, _ := strconv.Atoi(s) // digits by the pattern
	return n
}

func parseClock(s string) (nebula.Time, bool) {
	m := clockPattern.FindStringSubmatch(s)
	if m == nil {
		return nebula.Time{}, false
	}
	micro := number((m[4] + "000000")[:6], 0)
	return makeTime(number(m[1], 0), number(m[2], 0), number(m[3], 0), micro)
}

func makeTime(h, m, s, micro int) (nebula.Time, bool) {
	ok := h >= 0 && h < 24 && m >= 0 && m < 60 && s >= 0 && s < 60 && micro >= 0 && micro < 1e6
	return nebula.Time{Hour: int8(h), Minute: int8(m), Sec: int8(s), Microsec: int32(micro)}, ok //nolint:gosec // checked
}

// zone cuts the zone from a time and tells its offset; false: the two ways to name one contradict each other.
func zone(s string, at time.Time) (rest string, offset time.Duration, ok bool) {
	m := zonePattern.FindStringSubmatch(s)
	if m[2] != "" && m[2] != "Z" {
		h, minutes := number(m[2][1:3], 0), number(m[2][4:6], 0)
		offset = time.Duration(h)*time.Hour + time.Duration(minutes)*time.Minute
		if m[2][0] == '-' {
			offset = -offset
		}
	}
	if m[3] == "" {
		return m[1], offset, true
	}
	loc, err := time.LoadLocation(m[3])
	if err != nil {
		return "", 0, false
	}
	_, secs := at.In(loc).Zone()
	named := time.Duration(secs) * time.Second
	return m[1], named, m[2] == "" || named == offset
}

func parseTime(s string, now time.Time) (nebula.Time, bool) {
	rest, offset, ok := zone(s, now)
	t, ok2 := parseClock(rest)
	if !ok || !ok2 {
		return t, false
	}
	at := time.Date(2000, 1, 1, int(t.Hour), int(t.Minute), int(t.Sec), int(t.Microsec)*1000, time.UTC).Add(-offset)
	return clockOf(at), true
}

func clockOf(t time.Time) nebula.Time {
	d := value.DateTime(t)
	return nebula.Time{Hour: d.Hour, Minute: d.Minute, Sec: d.Sec, Microsec: d.Microsec}
}

func dateOf(t time.Time) nebula.Date {
	d := value.DateTime(t)
	return nebula.Date{Year: d.Year, Month: d.Month, Day: d.Day}
}

func parseDateTime(s string) (time.Time, bool) {
	day, clock, has := strings.Cut(s, "T")
	if !has {
		day, clock, has = strings.Cut(s, " ")
	}
	d, ok := parseDate(day)
	if !ok {
		return time.Time{}, false
	}
	at := time.Date(int(d.Year), time.Month(d.Month), int(d.Day), 0, 0, 0, 0, time.UTC)
	if !has {
		return at, true
	}
	rest, offset, ok := zone(clock, at)
	t, ok2 := parseClock(rest)
	if !ok || !ok2 {
		return time.Time{}, false
	}
	return at.Add(time.Duration(t.Hour)*time.Hour + time.Duration(t.Minute)*time.Minute +
		time.Duration(t.Sec)*time.Second + time.Duration(t.Microsec)*time.Microsecond - offset), true
}

// maxTimestamp keeps nanoseconds in 64 bits.
const maxTimestamp = 9223372036

func timestampOf(x any, now time.Time) any {
	switch x := x.(type) {
	case nil:
		return now.Unix()
	case int64:
		if x < 0 || x > maxTimestamp {
			return value.BadData
		}
		return x
	case string:
		if t, ok := parseDateTime(x); ok && t.Unix() >= 0 && t.Unix() <= maxTimestamp {
			return t.Unix()
		}
		return value.BadData
	}
	return value.BadType
}

// timeFunction is date, time or datetime of nothing, a string, a map, or a timestamp.
func timeFunction(name string, x any, now time.Time) any {
	switch x := x.(type) {
	case nil:
		return cutTime(name, now)
	case int64:
		return cutTime(name, time.Unix(x, 0))
	case value.Map:
		return fromMap(name, x)
	case nebula.Date, nebula.Time, nebula.DateTime:
		return x
	case string:
		switch name {
		case "date":
			if d, ok := parseDate(x); ok {
				return d
			}
		case "time":
			if t, ok := parseTime(x, now); ok {
				return t
			}
		default:
			if t, ok := parseDateTime(x); ok {
				return value.DateTime(t)
			}
		}
		return value.BadData
	}
	return value.BadType
}

func cutTime(name string, t time.Time) any {
	switch name {
	case "date":
		return dateOf(t)
	case "time":
		return clockOf(t)
	}
	return value.DateTime(t)
}

var timeParts = []string{"year", "month", "day", "hour", "minute", "second", "millisecond", "microsecond"}

func fromMap(name string, m value.Map) any {
	part := map[string]int{"year": 0, "month": 1, "day": 1}
	for k, v := range m {
		n, ok := v.(int64)
		if !ok || !slices.Contains(timeParts, k) {
			return value.BadData
		}
		part[k] = int(n)
	}
	d, ok := makeDate(part["year"], part["month"], part["day"])
	t, ok2 := makeTime(part["hour"], part["minute"], part["second"], part["millisecond"]*1000+part["microsecond"])
	switch {
	case !ok || !ok2:
		return value.BadData
	case name == "date":
		return d
	case name == "time":
		return t
	}
	return nebula.DateTime{
		Year: d.Year, Month: d.Month, Day: d.Day, Hour: t.Hour, Minute: t.Minute, Sec: t.Sec, Microsec: t.Microsec,
	}
}

func durationOf(x any) any {
	m, ok := x.(value.Map)
	if !ok {
		return value.BadType
	}
	var d nebula.Duration
	seconds := map[string]int64{"weeks": 604800, "days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}
	micros := map[string]int64{"milliseconds": 1000, "microseconds": 1}
	var micro int64
	for k, v := range m {
		n, ok := v.(int64)
		if !ok {
			return value.BadData
		}
		switch {
		case seconds[k] != 0:
			d.Seconds += n * seconds[k]
		case micros[k] != 0:
			micro += n * micros[k]
		case k == "years":
			d.Months += int32(n * 12) //nolint:gosec // as the server does
		case k == "months":
			d.Months += int32(n) //nolint:gosec // as the server does
		default:
			return value.BadData
		}
	}
	d.Seconds += micro / 1e6
	d.Microseconds = int32(micro % 1e6)
	return d
}

func shift(l any, d nebula.Duration, sign int) any {
	by := time.Duration(sign) * (time.Duration(d.Seconds)*time.Second + time.Duration(d.Microseconds)*time.Microsecond)
	months := sign * int(d.Months)
	switch l := l.(type) {
	case nebula.Date:
		at := value.Instant(nebula.DateTime{Year: l.Year, Month: l.Month, Day: l.Day})
		return dateOf(at.AddDate(0, months, 0).Add(by))
	case nebula.Time:
		at := value.Instant(nebula.DateTime{Year: 2000, Month: 1, Day: 1, Hour: l.Hour, Minute: l.Minute, Sec: l.Sec, Microsec: l.Microsec})
		return clockOf(at.Add(by))
	case nebula.DateTime:
		return value.DateTime(value.Instant(l).AddDate(0, months, 0).Add(by))
	}
	return value.BadType
}

func timePart(x any, name string) (any, bool) {
	parts := map[string]int64{}
	switch x := x.(type) {
	case nebula.Date:
		parts = map[string]int64{"year": int64(x.Year), "month": int64(x.Month), "day": int64(x.Day)}
	case nebula.Time:
		parts = map[string]int64{"hour": int64(x.Hour), "minute": int64(x.Minute), "second": int64(x.Sec), "microsecond": int64(x.Microsec)}
	case nebula.DateTime:
		parts = map[string]int64{
			"year": int64(x.Year), "month": int64(x.Month), "day": int64(x.Day), "hour": int64(x.Hour),
			"minute": int64(x.Minute), "second": int64(x.Sec), "microsecond": int64(x.Microsec),
		}
	}
	v, ok := parts[name]
	return v, ok
}
