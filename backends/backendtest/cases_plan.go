package backendtest

import (
	"slices"

	"github.com/outflow-db/outflow/backends"
)

// planner is the bench's backend as one that plans; it ends the case when it does not.
func (x *bench) planner() backends.Planner {
	x.Helper()
	p, ok := x.backend.(backends.Planner)
	if !ok {
		x.Skip("the backend does not plan")
	}
	return p
}

func (x *bench) plan(targets ...backends.Target) []backends.Change {
	x.Helper()
	changes, err := x.planner().Plan(x.Context(), targets)
	if err != nil {
		x.Fatalf("planning %d targets: %v", len(targets), err)
	}
	return changes
}

// Plan tells what Prepare would make, as often as it is asked, because it makes nothing; after Prepare there
// is nothing to tell.
func testPlan(tb test, s Suite) {
	x := unprepared(tb, s, s.Base, s.Open(tb))
	first := x.plan(x.target)
	if len(first) == 0 {
		x.Fatal("Plan tells of nothing that is to be made in an empty store")
	}
	for _, c := range first {
		if c.What != backends.Create {
			x.Errorf("in an empty store: %s: want only what is to be created", c)
		}
	}
	if again := x.plan(x.target); !slices.Equal(first, again) {
		x.Errorf("Plan changed the store, or its mind: %v, then %v", first, again)
	}
	if err := x.backend.Prepare(x.Context(), []backends.Target{x.target}); err != nil {
		x.Fatalf("preparing: %v", err)
	}
	if left := x.plan(x.target); len(left) > 0 {
		x.Errorf("after Prepare, Plan still has %v", left)
	}
}

// Plan names a target that is new beside one that is there, and only that.
func testPlanMore(tb test, s Suite) {
	x := newBench(tb, s)
	x.planner()
	x.write(x.state(7, 1, "a", "b"))
	more := x.target
	more.Name, more.Kind = "conformance_more", "another"
	changes := x.plan(x.target, more)
	if len(changes) == 0 {
		x.Error("Plan does not tell of a new target")
	}
	for _, c := range changes {
		if c.Target != more.Name || c.What != backends.Create {
			x.Errorf("%s: want only the creation of %s", c, more.Name)
		}
	}
	x.check()
}

// Plan asks for nothing that nobody wants: with no targets a prepared store is right.
func testPlanNothing(tb test, s Suite) {
	x := newBench(tb, s)
	if changes := x.plan(); len(changes) > 0 {
		x.Errorf("without targets: %v", changes)
	}
}
