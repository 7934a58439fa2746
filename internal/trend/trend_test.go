package trend

import (
	"bufio"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write what is foretold now into testdata")

var midnight = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// recorded is a series of testdata, a point a minute.
func recorded(t *testing.T, path string) Series {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var s Series
	for lines := bufio.NewScanner(f); lines.Scan(); {
		minute, value, _ := strings.Cut(lines.Text(), ",")
		n, err := strconv.Atoi(minute)
		if err != nil {
			continue // the head
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatal(err)
		}
		s = append(s, Point{midnight.Add(time.Duration(n) * time.Minute), v})
	}
	return s
}

// What is foretold at each minute of the recorded series is what testdata has, told once for as long as it stays the
// same kind of sentence; go test -update writes it anew.
func TestRecorded(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.csv")
	if err != nil || len(files) < 9 {
		t.Fatal(files, err)
	}
	b := Bounds{Lag: 5 * time.Minute, Horizon: 4 * time.Hour}
	for _, file := range files {
		s := recorded(t, file)
		var lines []string
		was := ""
		for i := range s {
			f, ok := Lag("search", s[:i+1], b)
			if strings.Contains(file, "latency") {
				f, ok = Latency("search", s[:i+1], b)
			}
			if is := fmt.Sprint(f.What, f.Breach, ok); is != was {
				was = is
				lines = append(lines, fmt.Sprintf("%s at %.0f: %s", s[i].At.Format("15:04"), s[i].V, map[bool]string{true: f.Sentence, false: "nothing"}[ok]))
			}
		}
		got := strings.Join(lines, "\n") + "\n"
		path := strings.TrimSuffix(file, ".csv") + ".golden"
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), got); d != "" {
			t.Errorf("%s: %s", file, d)
		}
	}
}

// Series without a trend foretell nothing at any minute: neither what is steady, nor noise, nor a step, nor what goes up
// and down.
func TestNothingIsForetoldOfNoise(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"steady", "noisy", "step"} {
		s := recorded(t, filepath.Join("testdata", name+".csv"))
		for i := range s {
			if l, ok := Of(s[:i+1]); ok {
				t.Errorf("%s, minute %d: %+v", name, i, l)
			}
		}
	}
}

// evenly makes a series of values, one a minute.
func evenly(values []float64) Series {
	var s Series
	for i, v := range values {
		s = append(s, Point{midnight.Add(time.Duration(i) * time.Minute), v})
	}
	return s
}

// A flat series never has a trend, whatever its level, also with jumps that come back.
func TestFlatHasNone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		level := rapid.Float64Range(-1e9, 1e9).Draw(t, "level")
		values := make([]float64, rapid.IntRange(1, 90).Draw(t, "n"))
		for i := range values {
			values[i] = level
		}
		if rapid.Bool().Draw(t, "jump") {
			values[rapid.IntRange(0, len(values)-1).Draw(t, "where")] += rapid.Float64Range(-1e9, 1e9).Draw(t, "far")
		}
		if l, ok := Of(evenly(values)); ok {
			t.Fatalf("%v: %+v", values, l)
		}
	})
}

// A straight line is found exactly, and reaches its bound when it should, and not sooner.
func TestLineIsFound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		slope := rapid.Float64Range(0.01, 1000).Draw(t, "slope") * rapid.SampledFrom([]float64{1, -1}).Draw(t, "sign")
		level := rapid.Float64Range(-1000, 1000).Draw(t, "level")
		values := make([]float64, rapid.IntRange(31, 90).Draw(t, "n"))
		for i := range values {
			values[i] = level + slope*60*float64(i)
		}
		l, ok := Of(evenly(values))
		if !ok || math.Abs(l.Slope-slope) > 1e-6*math.Abs(slope) {
			t.Fatalf("slope %v: %+v, %v", slope, l, ok)
		}
		ahead := rapid.IntRange(1, 200).Draw(t, "minutes")
		at, reached := l.Reaches(level+slope*60*float64(len(values)-1+ahead), time.Duration(ahead+1)*time.Minute)
		if want := l.At.Add(time.Duration(ahead) * time.Minute); !reached || at.Sub(want).Abs() > time.Second {
			t.Fatalf("reached %v at %s, want %s", reached, at, want)
		}
		if _, reached := l.Reaches(level+slope*60*float64(len(values)-1+ahead), time.Duration(ahead)*time.Minute-time.Second); reached {
			t.Fatal("beyond the horizon")
		}
		if _, reached := l.Reaches(level, time.Hour*1000); reached {
			t.Fatal("it was passed already")
		}
	})
}

// The unit of the values, and the hour, change nothing but the unit of the answer and its hour.
func TestScaling(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(0, 100), 1, 60).Draw(t, "values")
		drift := rapid.Float64Range(-20, 20).Draw(t, "drift")
		factor := math.Pow(2, float64(rapid.IntRange(-20, 20).Draw(t, "factor"))) // exact in binary
		shift := time.Duration(rapid.IntRange(0, 1000).Draw(t, "hours")) * time.Hour
		s, scaled := evenly(values), evenly(values)
		for i := range s {
			s[i].V += drift * float64(i)
			scaled[i] = Point{s[i].At.Add(shift), s[i].V * factor}
		}
		l, ok := Of(s)
		m, same := Of(scaled)
		if ok != same || l.Slope*factor != m.Slope || l.Level*factor != m.Level || ok && !l.At.Add(shift).Equal(m.At) {
			t.Fatalf("%+v, %v; scaled %+v, %v", l, ok, m, same)
		}
	})
}

// The mirror image of a series has the mirror image of its trend.
func TestMirror(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(0, 100), 1, 60).Draw(t, "values")
		drift := rapid.Float64Range(-20, 20).Draw(t, "drift")
		s, mirror := evenly(values), evenly(values)
		for i := range s {
			s[i].V += drift * float64(i)
			mirror[i].V = -s[i].V
		}
		l, ok := Of(s)
		m, same := Of(mirror)
		if ok != same || l.Slope != -m.Slope || l.Level != -m.Level {
			t.Fatalf("%+v, %v; mirrored %+v, %v", l, ok, m, same)
		}
	})
}

// Few points, points of a short time, and values that are no numbers have no trend; a long series is thinned, and has
// the same one.
func TestEdges(t *testing.T) {
	t.Parallel()
	ramp := func(n int, each time.Duration) Series {
		var s Series
		for i := range n {
			s = append(s, Point{midnight.Add(time.Duration(i) * each), float64(i)})
		}
		return s
	}
	for name, s := range map[string]Series{
		"none": nil, "nine": ramp(9, time.Minute), "within half an hour": ramp(170, 10*time.Second),
		"at one time": ramp(20, 0), "no number": {{midnight, math.NaN()}},
	} {
		if l, ok := Of(s); ok {
			t.Errorf("%s: %+v", name, l)
		}
	}
	if l, ok := Of(ramp(5000, time.Second)); !ok || math.Abs(l.Slope-1) > 1e-9 {
		t.Errorf("%+v, %v", l, ok)
	}
	if _, ok := Doubles(Series{{midnight, 0}, {midnight, -1}}, time.Hour); ok {
		t.Error("values of zero double")
	}
}

// Sizes reach their bounds at a time, tomorrow with its day; a bound of zero is none, and what shrinks reaches nothing.
func TestSize(t *testing.T) {
	t.Parallel()
	var values []float64
	for i := range 40 {
		values = append(values, float64(i))
	}
	b := Bounds{Horizon: 24 * time.Hour}
	f, ok := Size("log", "the log", evenly(values), 60, "10 GiB", b)
	if !ok || f != (Forecast{"log", "the log reaches 10 GiB at 13:00 UTC", true}) {
		t.Errorf("%+v, %v", f, ok)
	}
	if f, ok := Size("log", "the log", evenly(values), 1000, "10 GiB", b); !ok || f.Sentence != "the log reaches 10 GiB at Jan 2, 04:40 UTC" {
		t.Errorf("%+v, %v", f, ok)
	}
	if _, ok := Size("log", "the log", evenly(values), 0, "", b); ok {
		t.Error("there is no bound")
	}
	for i := range values {
		values[i] = -values[i]
	}
	if _, ok := Size("log", "the log", evenly(values), -100, "", b); ok {
		t.Error("it shrinks")
	}
}

// Spans are told in words.
func TestSpoken(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		time.Minute: "1 minute", 40 * time.Minute: "40 minutes", time.Hour: "1 hour", 90 * time.Minute: "90 minutes", 12 * time.Hour: "12 hours",
		150 * time.Minute: "2h30m0s", 10 * time.Second: "10s",
	} {
		if got := spoken(d); got != want {
			t.Errorf("%s: %s", d, got)
		}
	}
	if roundSpan(20*time.Second) != time.Minute || roundSpan(63*time.Minute) != time.Hour {
		t.Error("spans are not rounded")
	}
}

// A change that is small against the noise is no trend, though most points go its way; a larger one is.
func TestSmallAgainstNoise(t *testing.T) {
	t.Parallel()
	zigzag := func(slope float64) Series {
		var values []float64
		for i := range 61 {
			values = append(values, slope*float64(i)+[]float64{0, 1, -1}[i%3])
		}
		return evenly(values)
	}
	if l, ok := Of(zigzag(0.29)); ok {
		t.Errorf("%+v", l)
	}
	if _, ok := Of(zigzag(0.35)); !ok {
		t.Error("a clear one is none")
	}
}
