package jobs

import (
	"math/rand/v2"
	"time"

	"github.com/outflow-db/outflow/backends"
)

// Pauses between tries of a request inside a job.
const (
	backoffFirst = 100 * time.Millisecond
	backoffMost  = 2 * time.Second
)

// backoff is how long to wait before try n (from 1) of a request that failed with the class: doubling, twice as
// long for overload, with a jitter of half so that workers do not come back together.
func backoff(n int, class backends.Class, random float64) time.Duration {
	d := backoffFirst << min(n-1, 10)
	if class == backends.Overload {
		d *= 2
	}
	d = min(d, backoffMost)
	return d/2 + time.Duration(random*float64(d/2))
}

// jobBackoff is how long River waits before attempt n+1 of a project job: seconds, not hours, so that a store that
// is back is written to soon.
func jobBackoff(n int, random float64) time.Duration {
	d := min(time.Second<<min(max(n-1, 0), 10), 4*time.Second)
	return d/2 + time.Duration(random*float64(d/2))
}

// verifyBackoff is how long River waits before attempt n+1 of a verify: up to five minutes.
func verifyBackoff(n int, random float64) time.Duration {
	d := min(time.Second<<min(max(n-1, 0), 10), 5*time.Minute)
	return d/2 + time.Duration(random*float64(d/2))
}

func random() float64 { return rand.Float64() }

// verdict is what to do with records whose write failed.
type verdict int

// The verdicts, the gravest last.
const (
	again  verdict = iota // the same records once more, after a pause
	fewer                 // once more, in halves, after a pause
	doubts                // once more, and suspect until it is certain
	mend                  // prepare the target again, once, then as stop
	stop                  // the backend pauses
	park                  // the record is parked
)

// judge is the behaviour of each class of errors.
func judge(class backends.Class) verdict {
	switch class {
	case backends.Transient:
		return again
	case backends.Overload:
		return fewer
	case backends.Rejected:
		return park
	case backends.Schema:
		return mend
	case backends.Denied:
		return stop
	case backends.Unknown:
		return doubts
	default:
		return doubts // what nobody classified says nothing about what the store did
	}
}

// fatal says whether a failure that ended a job means that the backend must pause: nothing but an operator, or time,
// makes it go away.
func fatal(class backends.Class) bool {
	v := judge(class)
	return v == mend || v == stop || v == park
}
