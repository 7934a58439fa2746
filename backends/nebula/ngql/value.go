package ngql

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

type kind uint8

const (
	null kind = iota
	boolean
	integer
	float
	text
	date
	clock
	moment
	duration
	geography
)

// Value is a property's value. The zero value is NULL.
type Value struct {
	kind kind
	num  int64 // an integer, the bits of a float, days, microseconds
	more int64 // the months of a duration
	str  string
}

// Null is NULL.
func Null() Value { return Value{} }

// Bool is for BOOL.
func Bool(b bool) Value {
	v := Value{kind: boolean}
	if b {
		v.num = 1
	}
	return v
}

// Int is for INT8 to INT64, and for TIMESTAMP in seconds since 1970.
func Int(n int64) Value { return Value{kind: integer, num: n} }

// Float is for FLOAT and DOUBLE; infinities and NaN are written as divisions, since they have no literals.
func Float(f float64) Value {
	return Value{kind: float, num: int64(math.Float64bits(f))} //nolint:gosec // the bits as they are
}

// String is for STRING and FIXED_STRING, of any bytes.
func String(s string) Value { return Value{kind: text, str: s} }

// Date is for DATE: the day of t, in t's zone.
func Date(t time.Time) Value {
	y, m, d := t.Date()
	return Value{kind: date, num: time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix()}
}

// Time is for TIME: the time since midnight, which is cut to microseconds and to a day.
func Time(d time.Duration) Value {
	day := 24 * time.Hour
	return Value{kind: clock, num: (((d % day) + day) % day).Microseconds()}
}

// DateTime is for DATETIME, which NebulaGraph keeps in UTC and in microseconds.
func DateTime(t time.Time) Value { return Value{kind: moment, num: t.UnixMicro()} }

// Duration is for DURATION: months, which have no fixed length, and time, cut to microseconds.
func Duration(months int32, d time.Duration) Value {
	return Value{kind: duration, num: d.Microseconds(), more: int64(months)}
}

// Geography is for GEOGRAPHY, given as well-known text.
func Geography(wkt string) Value { return Value{kind: geography, str: wkt} }

// Any is the value as Go has it: nil, a bool, an int64, a float64, a string, which a geography is too, a time.Time in UTC
// for DATE and DATETIME, or the time.Duration since midnight for TIME. A DURATION is its expression.
func (v Value) Any() any {
	switch v.kind {
	case boolean:
		return v.num != 0
	case integer:
		return v.num
	case float:
		return math.Float64frombits(uint64(v.num)) //nolint:gosec // the bits as they were
	case text, geography:
		return v.str
	case date:
		return time.Unix(v.num, 0).UTC()
	case clock:
		return time.Duration(v.num) * time.Microsecond
	case moment:
		return time.UnixMicro(v.num).UTC()
	case duration:
		return string(v.append(nil))
	case null:
	}
	return nil
}

// append appends the value as an expression that has it.
func (v Value) append(b []byte) []byte {
	switch v.kind {
	case null: // below
	case boolean:
		return strconv.AppendBool(b, v.num != 0)
	case integer:
		return strconv.AppendInt(b, v.num, 10)
	case float:
		return appendFloat(b, math.Float64frombits(uint64(v.num))) //nolint:gosec // the bits as they were
	case text:
		return AppendString(b, v.str)
	case date:
		return appendTime(b, "date", time.Unix(v.num, 0).UTC(), time.DateOnly)
	case clock:
		return appendTime(b, "time", time.UnixMicro(v.num).UTC(), "15:04:05.000000")
	case moment:
		return appendTime(b, "datetime", time.UnixMicro(v.num).UTC(), "2006-01-02T15:04:05.000000")
	case duration:
		return v.appendDuration(b)
	case geography:
		b = append(b, "ST_GeogFromText("...)
		return append(AppendString(b, v.str), ')')
	}
	return append(b, "NULL"...)
}

func appendFloat(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, "0/0.0"...)
	case math.IsInf(f, 1):
		return append(b, "1/0.0"...)
	case math.IsInf(f, -1):
		return append(b, "-1/0.0"...)
	}
	from := len(b)
	b = strconv.AppendFloat(b, f, 'g', -1, 64)
	for _, c := range b[from:] {
		if c == '.' || c == 'e' {
			return b
		}
	}
	return append(b, ".0"...) // without it, it would be an integer
}

// appendTime appends a date or a time, whose text NebulaGraph reads; years of another length than four digits it takes
// as a map.
func appendTime(b []byte, function string, t time.Time, layout string) []byte {
	b = append(b, function...)
	if y := t.Year(); y >= 1000 && y <= 9999 || function == "time" {
		b = append(b, '(', '"')
		return append(t.AppendFormat(b, layout), '"', ')')
	}
	b = append(b, "({year:"...)
	b = strconv.AppendInt(b, int64(t.Year()), 10)
	parts := []struct {
		name string
		n    int
	}{
		{",month:", int(t.Month())},
		{",day:", t.Day()},
		{",hour:", t.Hour()},
		{",minute:", t.Minute()},
		{",second:", t.Second()},
		{",millisecond:", t.Nanosecond() / 1e6},
		{",microsecond:", t.Nanosecond() / 1e3 % 1e3},
	}
	if function == "date" {
		parts = parts[:2]
	}
	for _, p := range parts {
		b = append(b, p.name...)
		b = strconv.AppendInt(b, int64(p.n), 10)
	}
	return append(b, '}', ')')
}

func (v Value) appendDuration(b []byte) []byte {
	b = append(b, "duration({months:"...)
	b = strconv.AppendInt(b, v.more, 10)
	b = append(b, ",seconds:"...)
	b = strconv.AppendInt(b, v.num/1e6, 10)
	b = append(b, ",microseconds:"...)
	b = strconv.AppendInt(b, v.num%1e6, 10)
	return append(b, '}', ')')
}

// ID is the id of a vertex, for a space with ids of type FIXED_STRING or INT64. The zero ID is the empty string.
type ID struct {
	str   string
	num   int64
	isInt bool
}

// StringID is for spaces whose ids are strings.
func StringID(s string) ID { return ID{str: s} }

// IntID is for spaces whose ids are integers.
func IntID(n int64) ID { return ID{num: n, isInt: true} }

// String is the id as people read it.
func (id ID) String() string {
	if id.isInt {
		return strconv.FormatInt(id.num, 10)
	}
	return id.str
}

// ErrNUL is the error of an id with a NUL in it: NebulaGraph takes the bytes before it for the id.
var ErrNUL = errors.New("an id has a NUL")

// check refuses an id that would be another one in the store.
func (id ID) check() error {
	if strings.IndexByte(id.str, 0) >= 0 {
		return ErrNUL
	}
	return nil
}

func (id ID) append(b []byte) []byte {
	if id.isInt {
		return strconv.AppendInt(b, id.num, 10)
	}
	return AppendString(b, id.str)
}
