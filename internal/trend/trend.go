// Package trend says where a series of measurements is going, and nothing when that cannot be told. It is pure.
//
// The slope of a series is Theil and Sen's: the median of the slopes between all pairs of points, which a third of
// wild points cannot move. A series has a trend when all of this holds:
//
//   - there are Least points or more in the short window, and they span half of it or more; and those of the long window
//     half of that;
//   - of the pairs of the short window, Agree or more go the same way as the slope, and of those of the long window
//     LongAgree or more: so a step, which goes nowhere within the short window,
//     and a sawtooth, which goes up and down within the long one, have none;
//   - the change over the short window is Clear times the noise or more: the median distance of its points from the line;
//   - the last third of the short window goes the same way, at a third of the slope at least: what has turned or come
//     to rest has none.
//
// Where it goes is then told from the later half of the short window, so that a series that has just begun to grow is
// not taken for a slower one.
package trend

import (
	"math"
	"slices"
	"time"
)

// The bounds of the rule.
const (
	Short     = 20 * time.Minute
	Long      = 60 * time.Minute
	Least     = 10
	Agree     = 0.85
	LongAgree = 0.6
	Clear     = 6
)

// Point is one measurement.
type Point struct {
	At time.Time
	V  float64
}

// Series are measurements in the order of their times.
type Series []Point

// Line is where a series goes.
type Line struct {
	At    time.Time // of the last point
	Level float64   // of the line there
	Slope float64   // a second, of late
	Whole float64   // the same over the whole short window: steadier, and later
}

// Of is the trend of a series, as it is at its last point. ok is false when it has none.
func Of(s Series) (l Line, ok bool) {
	if len(s) == 0 {
		return Line{}, false
	}
	end := s[len(s)-1].At
	short, long := s.since(end.Add(-Short)), s.since(end.Add(-Long))
	if len(short) < Least || short.span() < Short/2 || long.span() < Long/2 {
		return Line{}, false
	}
	slope, agree := slopes(short)
	if slope == 0 || agree < Agree || math.IsNaN(slope) || math.IsInf(slope, 0) {
		return Line{}, false
	}
	if same(long.pairs(), slope) < LongAgree {
		return Line{}, false
	}
	if _, noise := short.fit(slope); math.Abs(slope)*short.span().Seconds() < Clear*noise {
		return Line{}, false
	}
	if late, _ := slopes(short[len(short)-len(short)/3-1:]); late*slope <= 0 || math.Abs(late) < math.Abs(slope)/3 {
		return Line{}, false
	}
	half := short[len(short)-len(short)/2-1:]
	of, _ := slopes(half)
	if of*slope <= 0 {
		return Line{}, false
	}
	level, _ := half.fit(of)
	return Line{end, level, of, slope}, true
}

// Reaches is when the line comes to a bound. ok is false when it goes elsewhere, is there already, or takes longer than
// the horizon.
func (l Line) Reaches(bound float64, horizon time.Duration) (at time.Time, ok bool) {
	seconds := (bound - l.Level) / l.Slope
	if !(seconds > 0) || seconds > horizon.Seconds() {
		return time.Time{}, false
	}
	return l.At.Add(time.Duration(seconds * float64(time.Second))), true
}

// Doubles is after which time the values of a series double, if it grows by the same factor again and again.
// ok is false when it does not, or more slowly than the horizon. Values of zero or less are passed by.
func Doubles(s Series, horizon time.Duration) (d time.Duration, ok bool) {
	var logs Series
	for _, p := range s {
		if p.V > 0 {
			logs = append(logs, Point{p.At, math.Log2(p.V)})
		}
	}
	l, ok := Of(logs)
	if !ok || l.Whole <= 0 || 1/l.Whole > horizon.Seconds() {
		return 0, false
	}
	return time.Duration(float64(time.Second) / l.Whole), true
}

// since are the points from a time on.
func (s Series) since(at time.Time) Series {
	i, _ := slices.BinarySearchFunc(s, at, func(p Point, at time.Time) int { return p.At.Compare(at) })
	return s[i:]
}

func (s Series) span() time.Duration { return s[len(s)-1].At.Sub(s[0].At) }

// mostPoints bounds the work: longer series are thinned.
const mostPoints = 120

// pairs are the slopes between all pairs of points.
func (s Series) pairs() []float64 {
	step := (len(s) + mostPoints - 1) / mostPoints
	var list []float64
	for i := 0; i < len(s); i += step {
		for j := i + step; j < len(s); j += step {
			if d := s[j].At.Sub(s[i].At).Seconds(); d > 0 {
				list = append(list, (s[j].V-s[i].V)/d)
			}
		}
	}
	return list
}

// slopes is the median of the slopes, and which part of them goes the same way.
func slopes(s Series) (slope, agree float64) {
	list := s.pairs()
	slope = median(list)
	return slope, same(list, slope)
}

func same(list []float64, slope float64) float64 {
	if len(list) == 0 {
		return 0
	}
	n := 0
	for _, v := range list {
		if v*slope > 0 {
			n++
		}
	}
	return float64(n) / float64(len(list))
}

// fit is the level at the last point of the line with the slope, and how far points are from it, in the median.
func (s Series) fit(slope float64) (level, noise float64) {
	end := s[len(s)-1].At
	var levels, far []float64
	for _, p := range s {
		levels = append(levels, p.V+slope*end.Sub(p.At).Seconds())
	}
	level = median(levels)
	for _, v := range levels {
		far = append(far, math.Abs(v-level))
	}
	return level, median(far)
}

// median is that of a list, which it leaves as it is; 0 for none.
func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return sorted[n/2-1]/2 + sorted[n/2]/2
}
