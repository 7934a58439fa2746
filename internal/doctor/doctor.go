// Package doctor looks for what operators get wrong: settings, rights, watches that miss something, what holds back
// the log, stores that do not answer, and jobs that do not run. It changes nothing.
package doctor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/jobs"
)

// Level says how bad a finding is.
type Level string

// The levels.
const (
	Fine    Level = "fine"    // looked at, and nothing is wrong
	Note    Level = "note"    // good to know
	Warning Level = "warning" // it works, and may not for long
	Problem Level = "problem" // it does not work, or loses something
)

// Finding is the answer of one check, or one of several.
type Finding struct {
	Check  string `json:"check"`            // what was looked at
	Level  Level  `json:"level"`            // how bad it is
	Text   string `json:"text"`             // what was found
	Advice string `json:"advice,omitempty"` // what to do; empty: nothing
}

// patient is what the checks share.
type patient struct {
	pool *pgxpool.Pool
	c    jobs.Config
	old  time.Duration // what is older holds dead rows for too long
}

// oldMost is how old a transaction may be that keeps dead rows.
const oldMost = 10 * time.Minute

// check looks at one thing. It answers nothing, or only notes, when that is well. An error is a check that could not
// be made.
type check struct {
	name string
	look func(context.Context, *patient) ([]Finding, error)
}

// checks are all, in the order in which they are told.
var checks = []check{
	{"server", server},
	{"settings", settings},
	{"clock", clock},
	{"history", history},
	{"connections", connections},
	{"watches", watches},
	{"old transactions", oldTransactions},
	{"log", logSize},
	{"rights", rights},
	{"projections", projections},
	{"backends", positions},
	{"stores", stores},
	{"workers", workers},
	{"queues", queues},
	{"parked", parked},
}

// Examine makes all checks, in a migrated database, and answers at least one finding for each, in their order. A check
// that fails is a problem by itself. It takes a few seconds at most when stores do not answer.
func Examine(ctx context.Context, c jobs.Config) []Finding {
	p := &patient{pool: c.Pool, c: c, old: oldMost}
	var all []Finding
	for _, k := range checks {
		found, err := k.look(ctx, p)
		if err != nil {
			found = append(found, Finding{Level: Problem, Text: fmt.Sprintf("it could not be looked at: %v", err)})
		}
		if !slices.ContainsFunc(found, func(f Finding) bool { return f.Level != Note }) {
			found = append([]Finding{{Level: Fine}}, found...)
		}
		for _, f := range found {
			f.Check = k.name
			all = append(all, f)
		}
	}
	return all
}

// Worst is the gravest level among findings.
func Worst(found []Finding) Level {
	order := []Level{Fine, Note, Warning, Problem}
	worst := 0
	for _, f := range found {
		worst = max(worst, slices.Index(order, f.Level))
	}
	return order[worst]
}

func one(level Level, advice, format string, args ...any) []Finding {
	return []Finding{{Level: level, Text: fmt.Sprintf(format, args...), Advice: advice}}
}
