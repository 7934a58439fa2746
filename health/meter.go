package health

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/outflow-db/outflow/backends"
)

// classes are the classes of errors, in the order in which they are counted. The last is for all that have none.
var classes = []backends.Class{backends.Transient, backends.Overload, backends.Unknown, backends.Rejected, backends.Schema, backends.Denied}

func classIndex(c backends.Class) int {
	if i := slices.Index(classes, c); i >= 0 {
		return i
	}
	return slices.Index(classes, backends.Unknown)
}

// steps are the buckets of latencies: each is a quarter wider than the one before, from 64 microseconds on.
const steps = 80

// bucket is the one of a latency.
func bucket(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 64))
	exponent := bits.Len64(us) - 1
	quarter := int(us>>(exponent-2)) & 3 //nolint:gosec // two bits
	return min((exponent-6)*4+quarter, steps-1)
}

// bound is the upper bound of a bucket.
func bound(i int) time.Duration {
	return time.Duration((uint64(4+i%4+1)<<(i/4+6))>>2) * time.Microsecond
}

// Counts is what happened within a time.
type Counts struct {
	Requests int    // to the store, whether they were answered or not
	Failed   [6]int // of them, by class
	Written  int    // records that the store took: written, deleted, or had newer
	Refused  int    // records that it refused for good
	Retries  int    // requests that were tried again
	latency  [steps]uint32
}

// Failures are the requests that say that the store does not work: all that failed, but for those that were refused
// because of a record.
func (c *Counts) Failures() int {
	n := 0
	for i, failed := range c.Failed {
		if classes[i] != backends.Rejected {
			n += failed
		}
	}
	return n
}

// Of is how many requests failed with one of the classes.
func (c *Counts) Of(of ...backends.Class) int {
	n := 0
	for _, class := range of {
		n += c.Failed[classIndex(class)]
	}
	return n
}

func (c *Counts) answered() int { return c.Requests - c.Failures() }

// classes tells the failures by class, the most frequent first.
func (c *Counts) classes() string {
	order := []int{}
	for i, n := range c.Failed {
		if n > 0 && classes[i] != backends.Rejected {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return c.Failed[b] - c.Failed[a] })
	var parts []string
	for _, i := range order {
		parts = append(parts, fmt.Sprintf("%s %d", classes[i], c.Failed[i]))
	}
	return strings.Join(parts, ", ")
}

// failing tells the failures of a time.
func (c *Counts) failing(when string) string {
	return fmt.Sprintf("%d of %d requests %s failed: %s", c.Failures(), c.Requests, when, c.classes())
}

// also tells the failures besides something else.
func (c *Counts) also() string {
	if c.Failures() == 0 {
		return ""
	}
	return "; " + c.failing("just now")
}

// Quantile is a time within which that part of the answered requests was, exact to a quarter; 0 if there were none.
func (c *Counts) Quantile(q float64) time.Duration {
	total := uint64(0)
	for _, n := range c.latency {
		total += uint64(n)
	}
	if total == 0 {
		return 0
	}
	want, seen := uint64(q*float64(total)), uint64(0)
	for i, n := range c.latency {
		if seen += uint64(n); seen > want || seen == total {
			return bound(i)
		}
	}
	return bound(steps - 1)
}

// add adds others.
func (c *Counts) add(o *Counts) {
	c.Requests, c.Written, c.Refused, c.Retries = c.Requests+o.Requests, c.Written+o.Written, c.Refused+o.Refused, c.Retries+o.Retries
	for i, n := range o.Failed {
		c.Failed[i] += n
	}
	for i, n := range o.latency {
		c.latency[i] += n
	}
}

// slots of a window: as many as there are looks in it; and of its last quarter.
const (
	slots       = 12
	slotsRecent = 3
)

// Meter counts what a process asks of one backend. Its methods may be called from many goroutines at once; none of
// them waits for anything but a few memory accesses of the others. The zero value is ready.
type Meter struct {
	mu   sync.Mutex
	ring [slots]Counts
	at   int
}

// Request counts one, with the class of the error that it failed with as a whole, if it did.
func (m *Meter) Request(took time.Duration, class backends.Class) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := &m.ring[m.at]
	now.Requests++
	if class != "" {
		now.Failed[classIndex(class)]++
		if class != backends.Rejected {
			return
		}
	}
	now.latency[bucket(took)]++
}

// Records counts what came of records.
func (m *Meter) Records(written, refused, retries int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := &m.ring[m.at]
	now.Written, now.Refused, now.Retries = now.Written+written, now.Refused+refused, now.Retries+retries
}

// Look is what happened in the window and in its last quarter. The oldest part is forgotten.
func (m *Meter) Look() (window, recent Counts) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range slots {
		one := &m.ring[(m.at-i+slots)%slots]
		if window.add(one); i < slotsRecent {
			recent.add(one)
		}
	}
	m.at = (m.at + 1) % slots
	m.ring[m.at] = Counts{}
	return window, recent
}
