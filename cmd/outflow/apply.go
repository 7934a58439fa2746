package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/jobs"
)

// applyOptions are the flags of apply.
type applyOptions struct{ prune, json bool }

func (a *app) apply() *cobra.Command {
	var o applyOptions
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Makes the database and the stores what the configuration says",
		Long: `Takes the steps that outflow plan shows, and says each one when it is done. It can be repeated;
one that was stopped anywhere is finished by the next. Filling is the workers' work: apply
puts the keys into the log, and outflow run, wherever it runs, writes the records.

If anything is wrong with the configuration, nothing is done. A store that cannot be reached
keeps nothing else from being done: its structures are made by the next apply, or by its first
worker.

What the database has and the configuration has not is kept, and what a removed backend missed
stays in the log, for when it comes back. With --prune it is forgotten: watches are taken off,
a backend's positions and what it parked are deleted, its part of the log is freed. Tables and
stores keep their data. A backend that a worker works is not forgotten.

With --json the output is {"done", "steps", "kept", "problems", "warnings", "unreachable"}:
done are the steps that were taken, the others are as in outflow plan.`,
		Example: `  outflow apply
  outflow apply --config new.yaml
  outflow plan --prune && outflow apply --prune`,
		Annotations: exits(map[int]string{
			exitOK:          "everything is as configured",
			exitNotWell:     "something is wrong, and nothing was done; or a step failed: the output says what was done",
			exitUnreachable: "PostgreSQL cannot be reached, or a store: the rest was done",
		}),
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runApply(cmd.Context(), o) },
	}
	cmd.Flags().BoolVar(&o.prune, "prune", false, "forget what is not configured any more")
	cmd.Flags().BoolVar(&o.json, "json", false, "write JSON")
	return cmd
}

func (a *app) runApply(ctx context.Context, o applyOptions) error {
	c, pool, err := a.ready(ctx, 0)
	if err != nil {
		return err
	}
	defer pool.Close()
	done := []jobs.Step{}
	p, err := jobs.Apply(ctx, c.Jobs(pool, a.logger(c)), jobs.ApplyOptions{
		PlanOptions: jobs.PlanOptions{Prune: o.prune},
		Done: func(s jobs.Step) error {
			done = append(done, s)
			if !o.json {
				fmt.Fprintln(a.out, stepLine(s))
			}
			return nil
		},
	})
	if p == nil {
		return err
	}
	if o.json {
		return errors.Join(a.writeJSON(applyJSON{Done: done, Plan: p}), told(err))
	}
	return a.reportApply(p, len(done), err)
}

// applyJSON is what --json shows.
type applyJSON struct {
	Done []jobs.Step `json:"done"`
	*jobs.Plan
}

// told is err, without what the output has told already.
func told(err error) error {
	if _, wrong := errors.AsType[*jobs.PlanError](err); wrong {
		return errDiffers
	}
	return err
}

// reportApply is what is left to say after the steps.
func (a *app) reportApply(p *jobs.Plan, done int, err error) error {
	left := *p
	left.Steps = nil
	if _, wrong := errors.AsType[*jobs.PlanError](err); wrong {
		a.printPlan(&left)
		return errDiffers
	}
	for _, s := range p.Kept {
		fmt.Fprintln(a.out, keptLine(s))
	}
	for _, t := range p.Warnings {
		fmt.Fprintf(a.out, "! warning: %s\n", about(t)+t.Text)
	}
	if err != nil {
		return err
	}
	if done == 0 {
		fmt.Fprintln(a.out, "nothing to do: everything is as configured")
		return nil
	}
	fmt.Fprintln(a.out, "applied: "+counted(int64(done), "step")+" taken")
	return nil
}
