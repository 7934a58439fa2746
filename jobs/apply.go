package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// ApplyOptions say how to apply.
type ApplyOptions struct {
	PlanOptions
	// Done, if not nil, is called with each step that was taken. Its error ends Apply there.
	Done func(Step) error
}

// PlanError says that a plan cannot be applied. Nothing was done.
type PlanError struct{ Problems []Trouble }

// Error has a line for each problem.
func (e *PlanError) Error() string {
	errs := make([]error, len(e.Problems))
	for i, t := range e.Problems {
		errs[i] = errors.New(t.String())
	}
	return errors.Join(errs...).Error()
}

// String is the trouble in one line: what it concerns, what is wrong and what to do.
func (t Trouble) String() string {
	text := t.Text
	for _, part := range [][2]string{{"target", t.Target}, {"kind", t.Kind}, {"backend", t.Backend}} {
		if part[1] != "" {
			text = part[0] + " " + part[1] + ": " + text
		}
	}
	if t.Advice != "" {
		text += " (" + t.Advice + ")"
	}
	return text
}

// Apply makes the database and the stores what the configuration says: what MakePlan plans, in its order. It can be
// repeated, and one that was stopped anywhere is finished by the next: each step is a transaction of its own, and
// what follows from it is planned again until it is done. Filling is left to the workers.
//
// A plan with problems is a *PlanError, and nothing is done. A store that cannot be reached keeps nothing else from
// being done: it is an error in the end, and its targets are made by the next Apply or by its first worker. The
// answer is the plan that was applied.
func Apply(ctx context.Context, c Config, o ApplyOptions) (*Plan, error) {
	c, err := c.checked()
	if err != nil {
		return nil, err
	}
	if err := settle(ctx, c); err != nil {
		return nil, err
	}
	plan, err := MakePlan(ctx, c, o.PlanOptions)
	if err != nil {
		return nil, err
	}
	if len(plan.Problems) > 0 {
		return plan, &PlanError{plan.Problems}
	}
	a := applying{c: c, o: o, plan: plan}
	for _, phase := range []func(context.Context) error{a.prune, a.watch, a.backends, a.refill, a.prepare} {
		if err := phase(ctx); err != nil {
			return plan, err
		}
	}
	return plan, nil
}

// applying is one Apply under way.
type applying struct {
	c    Config
	o    ApplyOptions
	plan *Plan
}

// done tells of the steps that match.
func (a applying) done(match func(Step) bool) error {
	for _, s := range a.plan.Steps {
		if match(s) && a.o.Done != nil {
			if err := a.o.Done(s); err != nil {
				return err
			}
		}
	}
	return nil
}

// prune forgets what is not configured, each in a transaction of its own. Backends go first: a kind that one projects
// stays declared.
func (a applying) prune(ctx context.Context) error {
	if !a.o.Prune {
		return nil
	}
	for _, do := range []Action{DoDrop, DoUnwatch} {
		for _, s := range a.plan.Steps {
			if s.Do != do {
				continue
			}
			if err := inTurn(ctx, a.c.Pool, setupLock, func(tx pgx.Tx) error { return forget(ctx, tx, s) }); err != nil {
				return err
			}
			if err := a.done(func(x Step) bool { return x == s }); err != nil {
				return err
			}
		}
	}
	return nil
}

// forget takes one thing out of the database. The worker that holds a backend is asked again under the lock: it may
// have come since the plan was made.
func forget(ctx context.Context, tx pgx.Tx, s Step) error {
	if s.Do == DoDrop {
		var owner string
		err := tx.QueryRow(ctx, `select owner from outbox.lanes where backend = $1 and owner is not null and expires > clock_timestamp() limit 1`, s.Backend).Scan(&owner)
		if err == nil {
			return fmt.Errorf("forgetting backend %s: worker %s works it", s.Backend, owner)
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("forgetting backend %s: %w", s.Backend, err)
		}
		return Forget(ctx, tx, s.Backend)
	}
	if s.From != "" {
		if err := outbox.Unwatch(ctx, tx, s.From); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `
select outbox.drop_kind($1) where not exists (select from outbox.projections where kind = $1)
   and not exists (select from outbox.records where kind = $1) and not exists (select from outbox.dependants where dependant = $1)`, s.Kind)
	if err != nil {
		return fmt.Errorf("forgetting kind %s: %w", s.Kind, err)
	}
	return nil
}

func (a applying) watch(ctx context.Context) error {
	if err := inTurn(ctx, a.c.Pool, setupLock, func(tx pgx.Tx) error { return watch(ctx, tx, a.c.Kinds) }); err != nil {
		return err
	}
	return a.done(func(s Step) bool { return s.Do == DoWatch || s.Do == DoRewatch })
}

// backends registers the backends and records their projections, as Setup does.
func (a applying) backends(ctx context.Context) error {
	for _, b := range a.c.Backends {
		if err := inTurn(ctx, a.c.Pool, setupLock, func(tx pgx.Tx) error { return setupBackend(ctx, tx, a.c, b) }); err != nil {
			return err
		}
		if err := a.done(func(s Step) bool {
			return s.Backend == b.Name && (s.Do == DoAdd || s.Do == DoForget || s.Do == DoFill && s.Why != lacking)
		}); err != nil {
			return err
		}
	}
	return nil
}

// refill logs what a store has lost. It comes before the target is made again: after that, nobody could tell.
func (a applying) refill(ctx context.Context) error {
	for _, s := range a.plan.Steps {
		if s.Do != DoFill || s.Why != lacking {
			continue
		}
		if err := outbox.RelogAllFor(ctx, a.c.Pool, outbox.Fill, s.Backend, s.Kind, outbox.Cause{}); err != nil {
			return err
		}
		if err := a.done(func(x Step) bool { return x == s }); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes the targets of every store that has something to change.
func (a applying) prepare(ctx context.Context) error {
	var errs []error
	for _, b := range a.c.Backends {
		mine := func(s Step) bool { return s.Backend == b.Name && (s.Do == DoCreate || s.Do == DoAlter) }
		deaf := slices.ContainsFunc(a.plan.Unreachable, func(t Trouble) bool { return t.Backend == b.Name })
		mute := slices.ContainsFunc(a.plan.Warnings, func(t Trouble) bool { return t.Backend == b.Name && t.Text == mute(b.Type) })
		if !deaf && !mute && !slices.ContainsFunc(a.plan.Steps, mine) {
			continue
		}
		if err := prepareStore(ctx, a.c, b); err != nil {
			errs = append(errs, err)
			continue
		}
		if err := a.done(mine); err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}

func prepareStore(ctx context.Context, c Config, b backends.Config) (err error) {
	s, err := openStore(ctx, c, b)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.backend.Close()) }()
	return s.prepare(ctx, true)
}
