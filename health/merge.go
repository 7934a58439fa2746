package health

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/outflow-db/outflow/outbox"
)

// Row is how one process finds a backend.
type Row struct {
	Backend string
	Owner   string    // the process
	At      time.Time // when it said so
	Ended   bool      // the process has ended since
	State   State
	Since   time.Time
	Reason  string
	Details Details
}

// Details are what a process tells besides.
type Details struct {
	ProbeMillis float64          `json:"probe_ms"` // of the last probe; 0: none was answered
	Endpoints   []EndpointHealth `json:"endpoints,omitempty"`
	Requests    int              `json:"requests"` // of the window, as the rest
	Failed      int              `json:"failed"`
	Stopping    int              `json:"stopping"` // of them, those of which only an operator can mend the cause, or that ask for less: denied, schema, overload
	Written     int              `json:"written"`
	Refused     int              `json:"refused"`
	Retries     int              `json:"retries"`
	P50         float64          `json:"p50_ms"`
	P99         float64          `json:"p99_ms"`
	Window      float64          `json:"window_seconds"`
}

// Pause is why a backend is paused.
type Pause struct {
	Reason string
	By     string // operator, engine, or breaker: no process reaches the store
	At     time.Time
}

// Backend is how a backend is, all that is known taken together.
type Backend struct {
	Name      string
	State     State
	Since     time.Time // zero when it is Unknown
	Reason    string
	PausedBy  string // operator, engine or breaker; empty: it is not paused
	Processes int    // that said so, and count
	Endpoints []EndpointHealth
	Details   Details // counts of all of them; the worst latencies; the slowest probe
}

// Known says whether somebody has looked at the backend, and it is not paused: the reason says how it is.
func (b Backend) Known() bool { return b.State != Paused && b.State != Unknown }

// Merge takes together what processes say of a backend, by the rule of the package documentation.
func Merge(name string, rows []Row, pause *Pause, now time.Time) Backend {
	b := Backend{Name: name, State: Unknown, Reason: "no worker looks at it"}
	rows = slices.DeleteFunc(slices.Clone(rows), func(r Row) bool {
		return r.Backend != name || r.Ended || now.Sub(r.At) > Old
	})
	b.Processes = len(rows)
	for _, r := range rows {
		b.Details.add(r.Details)
		b.Endpoints = mergeEndpoints(b.Endpoints, r.Details.Endpoints)
	}
	b.Details.Endpoints = nil
	if pause != nil {
		b.State, b.Since, b.Reason, b.PausedBy = Paused, pause.At, pause.Reason, pause.By
		if pause.By == outbox.ByBreaker {
			b.State = Down
		}
		return b
	}
	rows = slices.DeleteFunc(rows, func(r Row) bool { return r.State == Paused || r.State == Unknown }) // it is not any more
	if len(rows) == 0 {
		return b
	}
	worst := slices.MaxFunc(rows, func(x, y Row) int { return cmp.Or(worse(x.State, y.State), y.Since.Compare(x.Since)) })
	b.State, b.Since, b.Reason = worst.State, worst.Since, worst.Reason
	alike := 0
	for _, r := range rows {
		if r.State == worst.State {
			alike++
		}
	}
	if alike < len(rows) {
		b.Reason = fmt.Sprintf("%d of %d workers say: %s", alike, len(rows), worst.Reason)
		if b.State == Down {
			b.State = Failing // others reach it
		}
	}
	return b
}

// mergeEndpoints keeps for each address the worst state.
func mergeEndpoints(all, more []EndpointHealth) []EndpointHealth {
	for _, e := range more {
		i := slices.IndexFunc(all, func(x EndpointHealth) bool { return x.Address == e.Address })
		if i < 0 {
			all = append(all, e)
		} else if worse(all[i].State, e.State) < 0 {
			all[i] = e
		}
	}
	return all
}

func (d *Details) add(o Details) {
	d.Requests, d.Failed, d.Stopping = d.Requests+o.Requests, d.Failed+o.Failed, d.Stopping+o.Stopping
	d.Written, d.Refused, d.Retries = d.Written+o.Written, d.Refused+o.Refused, d.Retries+o.Retries
	d.P50, d.P99, d.ProbeMillis, d.Window = max(d.P50, o.P50), max(d.P99, o.P99), max(d.ProbeMillis, o.ProbeMillis), max(d.Window, o.Window)
}
