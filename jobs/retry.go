package jobs

import "time"

// Portions of a group of parked records that are tried again.
const (
	retrySample  = 5   // a round begins with so many records: if they are refused, the others are left alone
	retryGrows   = 10  // a portion has so many times the records of the one before,
	retryPortion = 500 // but not more than this
)

// retryPause is how long a group of parked records is left alone before round n (from 1) of those in a row in which nothing
// was taken: doubling from first up to most, less up to a quarter, so that groups do not come back together.
func retryPause(n int, first, most time.Duration, random float64) time.Duration {
	d := min(first, most)
	for i := 1; i < n && d < most; i++ {
		if d > most/2 {
			d = most
			break
		}
		d *= 2
	}
	return d - time.Duration(random*float64(d/4))
}

// nextPortion is how many records to try after a portion of n, of which so many were refused; 0: the round is over. After
// none it is a sample. Where more than half were refused the reason still holds.
func nextPortion(n, refused int) int {
	switch {
	case n == 0:
		return retrySample
	case 2*refused > n:
		return 0
	default:
		return min(n*retryGrows, retryPortion)
	}
}

// triesAfter is how many rounds in a row nothing was taken in, after one more.
func triesAfter(tries, taken int) int {
	if taken > 0 {
		return 0
	}
	return tries + 1
}
