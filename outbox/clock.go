package outbox

import "time"

// clock is a moment by both of the process's clocks. The monotonic one stands still while a machine sleeps, the
// other one can be set back: a lease is as old as the later of the two says.
type clock struct{ mono, wall time.Time }

func now() clock {
	t := time.Now()
	return clock{mono: t, wall: t.Round(0)}
}

// age is the time since the moment.
func (c clock) age() time.Duration {
	return max(time.Since(c.mono), time.Now().Round(0).Sub(c.wall))
}
