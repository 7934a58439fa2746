package nebula

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/nebula/ngql"
)

// reader makes a property's value of a JSON value that PostgreSQL wrote. NULL never gets to it.
type reader func(gjson.Result) (ngql.Value, error)

// typeOf is the property type of a column, in which all that such a column usually holds is kept whole. What has no
// type of its own is kept as the text that PostgreSQL's to_jsonb writes.
func typeOf(c backends.Column) string {
	switch c.Base {
	case "boolean":
		return "BOOL"
	case "smallint":
		return "INT16"
	case "integer":
		return "INT32"
	case "bigint", "oid":
		return "INT64"
	case "real":
		return "FLOAT"
	case "double precision":
		return "DOUBLE"
	case "date":
		return "DATE"
	case "time without time zone":
		return "TIME"
	case "timestamp without time zone", "timestamp with time zone":
		return "DATETIME"
	}
	return "STRING"
}

const typeNames = "BOOL, INT8, INT16, INT32, INT64, FLOAT, DOUBLE, STRING, FIXED_STRING(n), DATE, TIME, DATETIME, TIMESTAMP or GEOGRAPHY"

var readers = map[string]reader{
	"BOOL":      readBool,
	"INT8":      readInt(8),
	"INT16":     readInt(16),
	"INT32":     readInt(32),
	"INT64":     readInt(64),
	"FLOAT":     readFloat(32),
	"DOUBLE":    readFloat(64),
	"STRING":    func(v gjson.Result) (ngql.Value, error) { return ngql.String(textOf(v)), nil },
	"DATE":      readDate,
	"TIME":      readTime,
	"DATETIME":  readDateTime,
	"TIMESTAMP": readTimestamp,
	"GEOGRAPHY": func(v gjson.Result) (ngql.Value, error) { return ngql.Geography(textOf(v)), nil },
}

// readerOf is the reader for a property type; nil: there is no such type.
func readerOf(typ string) reader {
	if n, ok := strings.CutPrefix(typ, "FIXED_STRING("); ok {
		length, err := strconv.Atoi(strings.TrimSuffix(n, ")"))
		if err != nil || length < 1 || length > 32767 || !strings.HasSuffix(n, ")") {
			return nil
		}
		return readFixed(length)
	}
	return readers[typ]
}

// textOf is a string as it is, and anything else as JSON.
func textOf(v gjson.Result) string {
	if v.Type == gjson.String {
		return v.Str
	}
	return v.Raw
}

var errForm = errors.New("it is of another type")

// readFixed refuses what the server would cut without a word.
func readFixed(length int) reader {
	return func(v gjson.Result) (ngql.Value, error) {
		s := textOf(v)
		if len(s) > length || strings.IndexByte(s, 0) >= 0 {
			return ngql.Value{}, fmt.Errorf("it has %d bytes: want up to %d, and no NUL", len(s), length)
		}
		return ngql.String(s), nil
	}
}

func readBool(v gjson.Result) (ngql.Value, error) {
	if v.Type != gjson.True && v.Type != gjson.False {
		return ngql.Value{}, errForm
	}
	return ngql.Bool(v.Type == gjson.True), nil
}

func readInt(bits int) reader {
	return func(v gjson.Result) (ngql.Value, error) {
		n, err := strconv.ParseInt(textOf(v), 10, bits)
		if err != nil {
			return ngql.Value{}, fmt.Errorf("it is no integer of %d bits", bits)
		}
		return ngql.Int(n), nil
	}
}

func readFloat(bits int) reader {
	return func(v gjson.Result) (ngql.Value, error) {
		f, err := strconv.ParseFloat(textOf(v), bits)
		if err != nil {
			return ngql.Value{}, fmt.Errorf("it is no floating-point number of %d bits", bits)
		}
		if bits == 32 && !math.IsNaN(f) && !math.IsInf(f, 0) { // the shortest text that is this number
			if f, err = strconv.ParseFloat(strconv.FormatFloat(f, 'g', -1, 32), 64); err != nil {
				return ngql.Value{}, err
			}
		}
		return ngql.Float(f), nil
	}
}

func readDate(v gjson.Result) (ngql.Value, error) {
	t, err := moment(textOf(v))
	if err != nil {
		return ngql.Value{}, err
	}
	return ngql.Date(t), nil
}

func readDateTime(v gjson.Result) (ngql.Value, error) {
	t, err := moment(textOf(v))
	if err != nil {
		return ngql.Value{}, err
	}
	return ngql.DateTime(t), nil
}

// latest is the last second that graphd takes for a TIMESTAMP.
const latest = math.MaxInt64 / 1_000_000_000

// readTimestamp reads whole seconds since 1970.
func readTimestamp(v gjson.Result) (ngql.Value, error) {
	seconds := v.Int()
	if v.Type != gjson.Number {
		t, err := moment(textOf(v))
		if err != nil {
			return ngql.Value{}, err
		}
		seconds = t.Unix()
	}
	if seconds < 0 || seconds > latest {
		return ngql.Value{}, errors.New("it is no time that a TIMESTAMP can have: want 1970 to 2262")
	}
	return ngql.Int(seconds), nil
}

func readTime(v gjson.Result) (ngql.Value, error) {
	t, err := time.Parse("15:04:05.999999", textOf(v))
	if err != nil {
		return ngql.Value{}, errors.New("it is no time of a day from 00:00:00 to 23:59:59.999999 without a zone")
	}
	return ngql.Time(t.Sub(t.Truncate(24 * time.Hour))), nil
}

// moment reads a date, with or without a time and a zone, as PostgreSQL writes them in JSON: the year may have more
// than four digits, or be BC.
func moment(s string) (time.Time, error) {
	text, bc := strings.CutSuffix(s, " BC")
	at := strings.IndexByte(text, '-')
	if at < 0 {
		return time.Time{}, fmt.Errorf("%q is no date that NebulaGraph can have", s)
	}
	year, err := strconv.Atoi(text[:at])
	if bc {
		year = 1 - year
	}
	if err != nil || year < math.MinInt16 || year > math.MaxInt16 {
		return time.Time{}, fmt.Errorf("%q is no date that NebulaGraph can have: want a year from %d to %d", s, math.MinInt16, math.MaxInt16)
	}
	leap := "2000"
	if year%4 != 0 || year%100 == 0 && year%400 != 0 {
		leap = "2001"
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02T15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999"} {
		t, err := time.Parse(layout, leap+text[at:])
		if err == nil {
			years := year - t.Year()
			t = t.AddDate(years, 0, 0) // before the zone is left: the new year may be in it
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no date that NebulaGraph can have", s)
}
