package alerts

import (
	"cmp"
	"slices"
	"time"
)

// State is what an alert is in.
type State string

// The states of an alert.
const (
	Pending  State = "pending"  // its condition does not hold for long enough yet
	Firing   State = "firing"   // it holds, or did just now
	Resolved State = "resolved" // it is over
)

// Alert is one, as it is kept.
type Alert struct {
	ID       string     `json:"id"`
	Rule     string     `json:"rule"`
	Backend  string     `json:"backend"` // empty: it concerns no single one
	Kind     string     `json:"kind"`    // empty, as above; for breach-predicted: what will be
	Severity Severity   `json:"severity"`
	Summary  string     `json:"summary"`
	State    State      `json:"state"`
	Since    time.Time  `json:"since"` // when the condition began to hold
	Fired    *time.Time `json:"fired_at"`
	Seen     time.Time  `json:"seen_at"` // when the condition was last found to hold
	Resolved *time.Time `json:"resolved_at"`
	Told     State      `json:"told"` // what the webhooks were last given; empty: nothing
	ToldAt   *time.Time `json:"told_at"`
}

// kept is how long an alert is shown that is over.
const kept = 30 * 24 * time.Hour

// Next takes the alerts a step on. changed are those that are new or otherwise than before, gone the ids of those that
// are to be forgotten. The settings must have their defaults.
func Next(now time.Time, s Settings, known []Alert, found []Finding, blind []string) (changed []Alert, gone []string) {
	have := map[string]Alert{}
	for _, a := range known {
		have[a.ID] = a
	}
	for _, f := range found {
		a, there := have[f.ID()]
		delete(have, f.ID())
		changed = append(changed, seen(now, s, a, there, f))
	}
	for _, a := range have {
		rule, known := ruleOf(a.Rule)
		switch {
		case a.State == Resolved && a.Resolved != nil && now.Sub(*a.Resolved) > kept, a.State == Pending && a.Fired == nil:
			gone = append(gone, a.ID)
		case a.State == Pending:
			a.State = Resolved
			changed = append(changed, a)
		case a.State == Firing && known && (slices.Contains(blind, rule.Name) || slices.Contains(blind, a.ID)): // nothing can be said
		case a.State == Firing && (now.Sub(a.Seen) >= s.Clear || s.off(a.Rule) || !known):
			a.State, a.Resolved = Resolved, &now
			changed = append(changed, a)
		}
	}
	slices.SortFunc(changed, func(a, b Alert) int { return cmp.Compare(a.ID, b.ID) })
	slices.Sort(gone)
	return changed, gone
}

// gap is how long nobody may have looked for a condition to have held meanwhile.
func (s Settings) gap() time.Duration { return max(4*s.Every, time.Minute) }

// seen is the alert after its condition was found to hold.
func seen(now time.Time, s Settings, a Alert, there bool, f Finding) Alert {
	rule, _ := ruleOf(f.Rule)
	if !there {
		a = Alert{ID: f.ID(), Rule: f.Rule, Backend: f.Backend, Kind: f.Kind, State: Resolved}
	}
	if a.State == Resolved || a.State == Pending && now.Sub(a.Seen) > s.gap() {
		a.State, a.Since = Pending, now
	}
	a.Severity, a.Summary, a.Seen = rule.Severity, f.Summary, now
	if a.State == Pending && now.Sub(a.Since) >= rule.For(s) {
		a.State, a.Fired, a.Resolved = Firing, &now, nil
	}
	return a
}

// Notice is what a message says of an alert.
type Notice struct {
	Status string // firing, still firing, or resolved
	Alert  Alert
}

// What a message says of an alert.
const (
	StatusFiring   = "firing"
	StatusReminder = "still firing"
	StatusResolved = "resolved"
)

// muted says whether an alert follows from another that fires, is about to, or was over only just now.
func muted(now time.Time, a Alert, all []Alert) bool {
	const after = 15 * time.Minute
	return slices.ContainsFunc(all, func(o Alert) bool {
		rule, known := ruleOf(o.Rule)
		if !known || o.ID == a.ID || o.Backend != a.Backend || !slices.Contains(rule.Mutes, a.Rule) {
			return false
		}
		return o.State != Resolved || o.Resolved != nil && now.Sub(*o.Resolved) < after
	})
}

// Owed are the notices of the next message, with the alerts as they are when they have been told. There are none as
// long as all of them may wait for others.
func Owed(now time.Time, s Settings, all []Alert) []Notice {
	var owed []Notice
	due := false
	for _, a := range all {
		since, status := a.Fired, StatusFiring
		switch {
		case a.State == Resolved && a.Told == Firing:
			since, status = a.Resolved, StatusResolved
		case a.State != Firing || muted(now, a, all):
			continue
		case a.Told == Firing && a.ToldAt != nil && now.Sub(*a.ToldAt) >= s.Remind:
			since, status = nil, StatusReminder
		case a.Told == Firing:
			continue
		}
		due = due || since == nil || now.Sub(*since) >= s.Group
		a.Told, a.ToldAt = a.State, &now
		owed = append(owed, Notice{status, a})
	}
	if !due {
		return nil
	}
	order := []string{StatusFiring, StatusReminder, StatusResolved}
	slices.SortStableFunc(owed, func(a, b Notice) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Status), slices.Index(order, b.Status)),
			cmp.Compare(a.Alert.Severity, b.Alert.Severity), cmp.Compare(a.Alert.ID, b.Alert.ID))
	})
	return owed
}
