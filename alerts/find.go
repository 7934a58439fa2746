package alerts

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/outflow-db/outflow/health"
	"github.com/outflow-db/outflow/outbox"
)

// Facts are what is known when somebody looks.
type Facts struct {
	Health    []health.Backend
	Parked    map[string]int64 // records, by backend
	Lag       []Lag
	Absent    []Absent
	LogBytes  int64
	Holder    *Holder // the oldest that keeps dead rows; nil: there is none
	Drift     []Drift
	Verified  []Verified
	Forecasts []Forecast
	// Blind names rules of which nothing can be said this time: their alerts stay as they are.
	Blind []string
}

// Lag is how far a backend is behind, as last sampled.
type Lag struct {
	Backend string
	Changes int64
	Time    time.Duration
}

// Absent are lanes of a backend that are behind and that nobody holds, though it is not paused.
type Absent struct {
	Backend string
	Lanes   int
}

// Holder is what keeps dead rows from being removed.
type Holder struct {
	What string // in a few words
	Age  time.Duration
}

// Drift is something that a watch misses.
type Drift struct{ Table, Kind, Problem string }

// Verified is the latest comparison of a backend with PostgreSQL that is known.
type Verified struct {
	Backend     string
	Differences int64
	Repaired    int64
}

// Forecast is what will be, if it goes on as it did.
type Forecast struct {
	Backend  string `json:"backend,omitempty"` // empty: it concerns the log or the database
	What     string `json:"what"`              // lag, latency, log, disk or recovery
	Sentence string `json:"sentence"`
	Breach   bool   `json:"breach"` // a bound of the settings will be reached
}

// Finding is a condition that holds.
type Finding struct {
	Rule, Backend, Kind string
	Summary             string
}

// ID identifies the alert that a finding belongs to.
func (f Finding) ID() string {
	switch {
	case f.Kind != "":
		return f.Rule + "/" + f.Backend + "/" + f.Kind
	case f.Backend != "":
		return f.Rule + "/" + f.Backend
	default:
		return f.Rule
	}
}

// Find says which conditions hold, by the bounds of the settings, which must have their defaults.
func Find(f Facts, s Settings) []Finding {
	var all []Finding
	found := func(rule, backend, kind, format string, args ...any) {
		if !s.off(rule) && !slices.Contains(f.Blind, rule) {
			all = append(all, Finding{rule, backend, kind, fmt.Sprintf(format, args...)})
		}
	}
	for _, b := range f.Health {
		findHealth(b, s, found)
	}
	for name, n := range f.Parked {
		if n >= int64(s.Parked) {
			found(RecordsParked, name, "", "%s %s parked by %s", counted(n, "record"), is(n), name)
		}
	}
	for _, l := range f.Lag {
		if l.Time > s.Lag {
			found(LagHigh, l.Backend, "", "%s is %s behind: %s", l.Backend, l.Time.Round(time.Second), counted(l.Changes, "change"))
		}
	}
	for _, a := range f.Absent {
		found(WorkerAbsent, a.Backend, "", "nobody works %s of %s that %s behind", counted(int64(a.Lanes), "lane"), a.Backend, is(int64(a.Lanes)))
	}
	for _, v := range f.Verified {
		if v.Differences > 0 {
			found(VerifyDiffers, v.Backend, "", "%s differed from PostgreSQL in %s, %d of them put into the log again", v.Backend, counted(v.Differences, "record"), v.Repaired)
		}
	}
	findDatabase(f, s, found)
	slices.SortFunc(all, func(a, b Finding) int { return cmp.Compare(a.ID(), b.ID()) })
	return all
}

type finder func(rule, backend, kind, format string, args ...any)

// findHealth looks at one backend.
func findHealth(b health.Backend, s Settings, found finder) {
	switch {
	case b.State == health.Paused && b.PausedBy != outbox.ByOperator:
		found(BackendPaused, b.Name, "", "%s pauses: %s", b.Name, b.Reason)
	case b.State.Bad():
		found(BackendFailing, b.Name, "", "%s is %s: %s", b.Name, b.State, b.Reason)
	case b.State == health.Degraded:
		found(BackendDegraded, b.Name, "", "%s is degraded: %s", b.Name, b.Reason)
	}
	if b.Details.Stopping >= s.Refusals {
		found(Refusals, b.Name, "", "%s refused %s of %d within a minute for what does not mend itself, or asked for less", b.Name, counted(int64(b.Details.Stopping), "request"), b.Details.Requests)
	}
}

// findDatabase looks at what concerns no single backend.
func findDatabase(f Facts, s Settings, found finder) {
	for _, d := range f.Drift {
		found(WatchDrift, "", cmp.Or(d.Kind, d.Table), "the watch of %s misses changes: %s", d.Table, d.Problem)
	}
	if f.LogBytes > int64(s.LogBytes) {
		found(LogLarge, "", "", "the log has %s, more than %s", Bytes(float64(f.LogBytes)), Bytes(float64(s.LogBytes)))
	}
	if f.Holder != nil && f.Holder.Age > s.Transaction {
		found(TransactionOld, "", "", "%s, %s old, keeps dead rows", f.Holder.What, f.Holder.Age.Round(time.Second))
	}
	for _, p := range f.Forecasts {
		if p.Breach {
			found(BreachPredicted, p.Backend, p.What, "%s", p.Sentence)
		}
	}
}

func counted(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func is(n int64) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// Bytes is a number of bytes as people read it.
func Bytes(n float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.size {
			return fmt.Sprintf("%.3g %s", n/u.size, u.name)
		}
	}
	return fmt.Sprintf("%.0f bytes", n)
}
