package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/projection"
)

// askStore finds what one backend's store lacks, and what is to be said about its projections. Its error is one of
// the database.
func askStore(ctx context.Context, c Config, b backends.Config) (a storeChanges, err error) {
	s, err := openStore(ctx, c, b)
	for _, err := range parts(err) {
		if reachable(err) {
			a.problems = append(a.problems, troubleOf(b.Name, err))
		} else {
			a.unreachable = append(a.unreachable, troubleOf(b.Name, err))
		}
	}
	if s == nil {
		return a, ctx.Err()
	}
	defer func() { err = errors.Join(err, s.backend.Close()) }()
	if err := a.lookups(ctx, c, s); err != nil {
		return a, err
	}
	changes, can, err := planStore(ctx, s)
	switch {
	case ctx.Err() != nil:
		return a, ctx.Err()
	case err != nil && backends.ClassOf(err) == backends.Rejected:
		a.problems = append(a.problems, troubleOf(b.Name, err))
	case err != nil:
		a.unreachable = append(a.unreachable, troubleOf(b.Name, err))
	case !can:
		a.warnings = append(a.warnings, Trouble{Backend: b.Name, Text: mute(b.Type)})
	}
	a.take(b.Name, s, changes)
	return a, nil
}

// mute is what is said of a type that is no backends.Planner.
func mute(typ string) string {
	return "backends of type " + typ + " cannot tell what would change in the store"
}

// reachable says whether an error is about the configuration, and not about a store that is not there.
func reachable(err error) bool {
	e, ok := errors.AsType[*backends.Error](err)
	return !ok || e.Class == backends.Rejected || e.Class == backends.Schema
}

// take makes steps of a store's changes.
func (a *storeChanges) take(backend string, s *store, changes []backends.Change) {
	for _, c := range changes {
		step := Step{Do: Action(c.What), Backend: backend, Target: c.Target, Field: c.Field, From: c.From, To: c.To}
		for kind, plans := range s.plans {
			if slices.ContainsFunc(plans, func(p *plan) bool { return p.Target == c.Target }) {
				step.Kind = kind
			}
		}
		a.steps = append(a.steps, step)
		if c.What == backends.Rebuild {
			a.problems = append(a.problems, Trouble{
				Backend: backend, Kind: step.Kind, Target: c.Target, Text: c.String(),
				Advice: anew(s, step.Kind),
			})
		}
	}
}

// anew is how a structure is made anew that cannot be changed.
func anew(s *store, kind string) string {
	if _, ok := s.rebuilder(); ok && kind != "" {
		return "outflow rebuild " + s.name + " " + kind + " --beside fills a new one while readers see this one; or take the change back"
	}
	return "choose another target, or take away what is there; then it is made anew and filled"
}

// lookups warns of projections that read whole tables for a few keys.
func (a *storeChanges) lookups(ctx context.Context, c Config, s *store) error {
	for _, p := range s.ordered() {
		tables, err := projection.WholeReads(ctx, c.Pool, p.Query)
		if err != nil {
			return fmt.Errorf("projection of kind %s into backend %s: %w", p.Kind, s.name, err)
		}
		if len(tables) == 0 {
			continue
		}
		list := strings.Join(tables, ", ")
		a.warnings = append(a.warnings, Trouble{
			Backend: s.name, Kind: p.Kind, Target: p.Target,
			Text:   "every page of changes reads all of " + list + ": no index serves the lookup",
			Advice: "create an index on the column of " + list + " by which the query looks rows up, and compare that column itself, not a cast of it: id = any($1::text[]::int[]), not id::text = any($1)",
		})
	}
	return nil
}

// planStore asks the store, if its type can tell.
func planStore(ctx context.Context, s *store) (changes []backends.Change, can bool, err error) {
	shell, ok := s.backend.(shell)
	if !ok {
		return nil, false, nil
	}
	planner, ok := shell.Backend.(backends.Planner)
	if !ok {
		return nil, false, nil
	}
	defer shell.recovered(ctx, "plan", &err)
	limited, cancel := context.WithTimeout(ctx, shell.request)
	defer cancel()
	changes, err = planner.Plan(limited, s.targets())
	return changes, true, err
}
