package jobs

import "slices"

// Report is what a verify found.
type Report struct {
	Targets []TargetReport `json:"targets"`
}

// TargetReport is what a verify found in one target. The counts from Missing to InFlight are disjoint.
type TargetReport struct {
	Backend   string           `json:"backend"`
	Kind      string           `json:"kind"`
	Target    string           `json:"target"`
	Counts    *Counts          `json:"counts,omitempty"`  // of both sides, before anything was compared; nil: the store cannot count
	Records   int64            `json:"records"`           // in PostgreSQL
	Deep      int64            `json:"deep,omitempty"`    // of them, whose content in the store was compared
	Missing   int64            `json:"missing"`           // not in the store
	Extra     int64            `json:"extra"`             // in the store, and not in PostgreSQL
	Different int64            `json:"different"`         // with another content
	Parked    int64            `json:"parked"`            // differ, and are known to be refused by the store
	InFlight  int64            `json:"in_flight"`         // changed while they were compared: nothing can be said
	Repaired  int64            `json:"repaired"`          // put into the log again
	Columns   map[string]int64 `json:"columns,omitempty"` // of a deep verify: in how many records each column differs
	Examples  []Difference     `json:"examples,omitempty"`
	Dangling  *Dangling        `json:"dangling,omitempty"` // nil: not looked for, or the target has none by its nature
}

// Difference is one record that differs.
type Difference struct {
	Key     string   `json:"key"`
	What    string   `json:"what"`              // missing, extra, different or parked
	Columns []string `json:"columns,omitempty"` // of a deep verify: that differ
}

// OK says whether the target holds exactly what PostgreSQL holds, as far as it could be told. Records may dangle in both.
func (t TargetReport) OK() bool {
	return t.Missing+t.Extra+t.Different+t.Parked == 0 && (t.Counts == nil || !t.Counts.Differ)
}

// OK says whether every target is.
func (r *Report) OK() bool {
	return !slices.ContainsFunc(r.Targets, func(t TargetReport) bool { return !t.OK() })
}
