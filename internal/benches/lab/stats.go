package lab

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Quantile is the value below which the share q of the values lies, by the nearest rank. It is zero for none.
func Quantile[T ~float64 | ~int64](values []T, q float64) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// Median is the middle of the values, or the mean of the two in the middle. It is zero for none.
func Median[T ~float64 | ~int64](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// Mean is the arithmetic mean. It is zero for none.
func Mean[T ~float64 | ~int64](values []T) T {
	if len(values) == 0 {
		return 0
	}
	var sum T
	for _, v := range values {
		sum += v
	}
	return sum / T(len(values))
}

// Ratios divides the rounds of two contenders that were measured side by side.
func Ratios(of, to []float64) []float64 {
	ratios := make([]float64, len(of))
	for i := range of {
		ratios[i] = of[i] / to[i]
	}
	return ratios
}

// Rounds lists the values of rounds, for a note.
func Rounds(values []float64) string {
	text := make([]string, len(values))
	for i, v := range values {
		text[i] = fmt.Sprintf("%.3g", v)
	}
	return "rounds: " + strings.Join(text, " ")
}

// Millis is the duration in milliseconds.
func Millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
