package alerts

import (
	"slices"
	"time"
)

// Severity says how soon somebody should look.
type Severity string

// The severities.
const (
	Critical Severity = "critical" // now: stores fall behind, or are wrong
	Warning  Severity = "warning"  // today
)

// Names of the rules, which the runbook has as well.
const (
	BackendFailing  = "backend-failing"
	BackendDegraded = "backend-degraded"
	BackendPaused   = "backend-paused"
	RecordsParked   = "records-parked"
	LagHigh         = "lag-high"
	BreachPredicted = "breach-predicted"
	Refusals        = "refusals"
	VerifyDiffers   = "verify-differs"
	WatchDrift      = "watch-drift"
	WorkerAbsent    = "worker-absent"
	LogLarge        = "log-large"
	TransactionOld  = "transaction-old"
)

// Rule is a condition that operators are told of.
type Rule struct {
	Name     string
	Severity Severity
	For      func(Settings) time.Duration // how long the condition must hold
	Advice   string                       // what to do, in a sentence
	Mutes    []string                     // rules that follow from this one, for the same backend: they are not told
}

func at(d time.Duration) func(Settings) time.Duration {
	return func(Settings) time.Duration { return d }
}

// rules are all, the gravest first.
var rules = []Rule{
	{
		BackendPaused, Critical, at(time.Minute), "read the reason: the store needs you; the backend resumes by itself once it works",
		[]string{BackendFailing, BackendDegraded, LagHigh, BreachPredicted, Refusals, WorkerAbsent},
	},
	{
		BackendFailing, Critical, func(s Settings) time.Duration { return s.Failing }, "look at the store and at the network to it; the backend catches up by itself",
		[]string{BackendDegraded, LagHigh, BreachPredicted, Refusals},
	},
	{
		WorkerAbsent, Critical, func(s Settings) time.Duration { return s.Absent }, "start workers with this backend: outflow run; outflow lanes shows who holds what",
		[]string{LagHigh, BreachPredicted},
	},
	{VerifyDiffers, Critical, at(0), "compare again with outflow verify --repair: it puts what differs into the log again", nil},
	{WatchDrift, Critical, at(0), "outflow doctor says which statement mends it; then verify with repair what was written meanwhile", nil},
	{LagHigh, Warning, at(time.Minute), "outflow health says whether the store is slow; more lanes write side by side: outflow lanes split", []string{BreachPredicted}},
	{RecordsParked, Warning, at(0), "outflow parked list tells the reasons: mend the rows or the projection, then outflow parked retry", nil},
	{Refusals, Warning, at(time.Minute), "outflow health tells the classes: give the store more memory or nodes, or mend credentials and targets", nil},
	{BackendDegraded, Warning, func(s Settings) time.Duration { return s.Degraded }, "outflow health says what is not as it should be", nil},
	{BreachPredicted, Warning, at(5 * time.Minute), "there is time: find out what grows before the bound is reached", nil},
	{LogLarge, Warning, at(5 * time.Minute), "outflow status tells which backend holds the log; one that does not come back must be removed", nil},
	{TransactionOld, Warning, at(0), "outflow doctor names it: end it; it keeps dead rows and the changes that it made wait for its end", nil},
}

// Rules are all rules, the gravest first.
func Rules() []Rule { return slices.Clone(rules) }

// RuleNames are the names of all rules.
func RuleNames() []string {
	var names []string
	for _, r := range rules {
		names = append(names, r.Name)
	}
	return names
}

// ruleOf is the rule with the name.
func ruleOf(name string) (Rule, bool) {
	i := slices.IndexFunc(rules, func(r Rule) bool { return r.Name == name })
	if i < 0 {
		return Rule{}, false
	}
	return rules[i], true
}
