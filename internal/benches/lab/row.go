package lab

import (
	"math"
	"strconv"
)

// Row is one line of the report.
type Row struct {
	Name  string  `json:"name"` // begins with the benchmark's name
	Value float64 `json:"value"`
	Unit  string  `json:"unit"` // x for a ratio
	Goal  string  `json:"goal"` // such as "<= 200"; empty: there is none
	OK    bool    `json:"ok"`   // the goal is met; true without one
	Note  string  `json:"note,omitempty"`
}

// Fact is a row without a goal. A value that is no number was not measured, which is not OK.
func Fact(name string, value float64, unit string) Row {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return Row{Name: name, Unit: unit, Note: "not measured"}
	}
	return Row{Name: name, Value: round(value), Unit: unit, OK: true}
}

// AtMost is a row whose value must not exceed the goal.
func AtMost(name string, value float64, unit string, goal float64) Row {
	r := Fact(name, value, unit)
	r.Goal, r.OK = "<= "+number(goal), r.OK && value <= goal
	return r
}

// AtLeast is a row whose value must reach the goal.
func AtLeast(name string, value float64, unit string, goal float64) Row {
	r := Fact(name, value, unit)
	r.Goal, r.OK = ">= "+number(goal), r.OK && value >= goal
	return r
}

// With is the row with a note, such as the spread of its rounds.
func (r Row) With(note string) Row {
	if r.Note == "" {
		r.Note = note
	}
	return r
}

// round keeps four significant digits, and whole numbers whole: the rest would be noise.
func round(v float64) float64 {
	if v >= 1000 || v <= -1000 {
		return float64(int64(v))
	}
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	if err != nil { // what was formatted can be parsed
		return v
	}
	return short
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
