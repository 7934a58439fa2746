package jobs

import (
	"fmt"
	"sync"
	"time"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// Rules of the limit of what is parked.
const (
	limitWindow  = 10 * time.Minute // what was refused and taken before is forgotten
	limitSlots   = 10               // parts of the window, which are forgotten as a whole
	limitOwnPart = 20               // a process judges by what it saw itself: by one part of so many of the limit, at least
	limitGroups  = 1000             // a process counts so many groups in a slot; more are no masses of equal refusals
)

// place is where records of a kind go.
type place struct{ kind, target string }

// placeOf is where the records of a group go.
func placeOf(why outbox.ParkedReason) place { return place{why.Kind, why.Target} }

// refusals is what is known of a group when one more record of it is about to be parked.
type refusals struct {
	shared int // records of the group that were parked within the window, by all processes
	own    int // refusals of the group within the window that this process got, with this one
	taken  int // records that the group's target took within the window from this process
}

// suspicious says whether what a process saw itself allows that a limit is exceeded: mostly it does not, and nobody else
// has to be asked.
func (r refusals) suspicious(limit int) bool {
	return limit > 0 && r.own >= max(1, limit/limitOwnPart) && r.own > r.taken
}

// exceed says whether the record should not be parked any more, but the backend paused: the group has reached the limit,
// and its target refuses more than it takes. A large backlog with few bad records never does that.
func (r refusals) exceed(limit int) bool { return r.suspicious(limit) && r.shared >= limit }

// lately counts what the targets of a store took and refused within the window. All lanes of a process share it.
type lately struct {
	mu    sync.Mutex
	slots [limitSlots]slot
}

// slot is a part of the window.
type slot struct {
	n       int64 // which one since the beginning of time
	taken   map[place]int
	refused map[outbox.ParkedReason]int
}

// at is the slot of now, emptied if it is an old one. The caller holds the lock.
func (l *lately) at(now time.Time) *slot {
	n := now.UnixNano() / int64(limitWindow/limitSlots)
	s := &l.slots[n%limitSlots]
	if s.n != n {
		*s = slot{n, map[place]int{}, map[outbox.ParkedReason]int{}}
	}
	return s
}

// took notes that a target took n records.
func (l *lately) took(p place, n int, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at(now).taken[p] += n
}

// refused notes a refusal, and answers what this process knows of its group.
func (l *lately) refused(why outbox.ParkedReason, now time.Time) refusals {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.at(now)
	if _, known := s.refused[why]; known || len(s.refused) < limitGroups {
		s.refused[why]++
	}
	var r refusals
	for i := range l.slots {
		if o := &l.slots[i]; s.n-o.n < limitSlots {
			r.own += o.refused[why]
			r.taken += o.taken[placeOf(why)]
		}
	}
	return r
}

// reset forgets everything: a backend that was resumed has another chance.
func (l *lately) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slots = [limitSlots]slot{}
}

// limitError says that a backend refuses masses of records for one reason, of which this one is not parked any more.
type limitError struct {
	reason outbox.ParkedReason

	key   string
	limit int
	err   *backends.Error
}

// Error says what is refused and what to do.
func (e *limitError) Error() string {
	return fmt.Sprintf("%d records of kind %s and more were refused for one reason within %v, and fewer were taken: key %s in target %s: %s: %s (%s; it goes on by itself once a sample is taken; outflow parked list tells more, and outflow resume goes on at once)",
		e.limit, e.reason.Kind, limitWindow, e.key, e.reason.Target, e.reason.Class, e.cause(), e.err.What())
}

// cause is what the store said.
func (e *limitError) cause() string {
	if e.err.Err != nil {
		return e.err.Err.Error()
	}
	return string(e.err.Class)
}
