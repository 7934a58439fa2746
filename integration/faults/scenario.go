package faults

import (
	"context"
	"slices"
	"time"

	"github.com/outflow-db/outflow/backends/elasticsearch"
	"github.com/outflow-db/outflow/backends/nebula"
	"github.com/outflow-db/outflow/backends/postgres"
	"github.com/outflow-db/outflow/backends/qdrant"
)

// Scenario is one fault.
type Scenario struct {
	Part   string        // what it happens to: a part of a lab, or the type of a store
	Name   string        // in a few words; unique within the part
	Expect string        // what happens, in one sentence
	Lasts  time.Duration // at least; 0: as long as the run wants
	Sort   Sort
	Slow   bool // it takes long to be overcome, or much to be made: it is not picked at random
	Needs  Need

	// Do begins the fault, and answers how it ends; nil: by itself. The store is nil for parts that are no store.
	Do func(ctx context.Context, l *Lab, s *Store) (end func(context.Context) error, err error)
}

// Parts that are no stores. The others are called after the type of a store.
const (
	Source  = "source"  // PostgreSQL, from which is read
	Workers = "workers" // processes that project
)

// Parts lists the parts in which faults are made.
func Parts() []string {
	return []string{Source, Workers, postgres.Type, elasticsearch.Type, qdrant.Type, nebula.Type}
}

// Sort is how a fault is overcome.
type Sort int

// The sorts.
const (
	Transient Sort = iota // by itself
	Damage                // what the store holds was changed behind Outflow's back: by a verify with repair
	Restore               // the database has another history: by a verify with repair that workers queue
)

// Need is what a scenario needs to be made.
type Need int

// The needs.
const (
	Nothing   Need = 0
	OwnServer Need = 1 << iota // a server of the lab's own
	Processes                  // workers that are processes
	SmallDisk                  // a disk that can be filled, which takes root
	BigDisk                    // no such disk: pg_upgrade takes no tablespaces from its own version
	Programs                   // PostgreSQL's pg_dump, psql and pg_upgrade
	Prlimit                    // the program prlimit
)

// ID names the scenario.
func (s Scenario) ID() string { return s.Part + ": " + s.Name }

// Scenarios lists all that can be made in a lab.
func Scenarios() []Scenario {
	return slices.Concat(sourceScenarios(), workerScenarios(), restoreScenarios(), postgresScenarios(), elasticsearchScenarios(),
		qdrantScenarios(), nebulaScenarios())
}

// Of lists the scenarios of a part that can be made in the lab, and why the others cannot.
func (l *Lab) Of(part string) (can []Scenario, cannot map[string]string) {
	cannot = map[string]string{}
	for _, s := range Scenarios() {
		if s.Part != part {
			continue
		}
		if why := l.lacks(s); why != "" {
			cannot[s.ID()] = why
			continue
		}
		can = append(can, s)
	}
	return can, cannot
}

// Targets lists the stores that scenarios of a part are about: nil alone for those that are about no single one.
func (l *Lab) Targets(part string) []*Store {
	if part == Source || part == Workers {
		return []*Store{nil}
	}
	return slices.DeleteFunc(slices.Clone(l.Stores), func(s *Store) bool { return s.Type != part })
}

// lacks is what the lab lacks for the scenario; empty: nothing.
func (l *Lab) lacks(s Scenario) string {
	own, small := l.server != nil, l.disk != nil
	if targets := l.Targets(s.Part); s.Part != Source && s.Part != Workers && len(targets) > 0 {
		own, small = targets[0].Type != elasticsearch.Type || targets[0].elastic != nil, targets[0].disk != nil
	}
	switch {
	case s.Needs&OwnServer != 0 && !own:
		return "the server is not the lab's own"
	case s.Needs&Processes != 0 && l.o.Processes == 0:
		return "the workers are no processes"
	case s.Needs&SmallDisk != 0 && !small:
		return "a small disk cannot be mounted here"
	case s.Needs&BigDisk != 0 && l.disk != nil:
		return "the lab has a small disk"
	case s.Needs&Programs != 0 && !l.hasPrograms():
		return "PostgreSQL's programs are not here"
	case s.Needs&Prlimit != 0 && !hasProgram("prlimit"):
		return "the program prlimit is not here"
	}
	return ""
}
