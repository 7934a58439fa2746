package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/config"
	"github.com/outflow-db/outflow/jobs"
)

// planOptions are the flags of plan.
type planOptions struct{ prune, detailed, json, schema bool }

func (a *app) plan() *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Shows what apply would change, and changes nothing",
		Long: `Compares the configuration with the database and the stores, and shows what outflow apply
would do: watches to add or change, backends to add, projections to fill because they are new
or have changed, structures to make in the stores. Nothing is changed.

What the database has and the configuration has not is kept, and shown as such; with --prune
the plan is that of outflow apply --prune, which forgets it.

Each projection is tried against the real tables: what its query yields, whether the backend
can take it, and whether an index serves the lookup of a few keys. A query that reads a whole
table for them is a warning. A store that does not answer is shown, and the rest is planned.

With --json the output is {"changes", "steps", "kept", "problems", "warnings",
"unreachable"}. changes is false if there is nothing to do. steps and kept have
{"do", "kind", "backend", "target", "field", "from", "to", "why", "keys"}, do being
unwatch, drop, watch, rewatch, add, fill, forget, create, alter or rebuild; the others have
{"kind", "backend", "target", "text", "advice"}.`,
		Example: `  outflow plan
  outflow plan --config new.yaml --detailed-exitcode
  outflow plan --json | jq -r '.steps[] | [.do, .backend, .kind] | @tsv'`,
		Annotations: exits(map[int]string{
			exitOK:          "planned; with --detailed-exitcode: there is nothing to do",
			exitNotWell:     "apply would fail: the output says why",
			exitUnreachable: "PostgreSQL cannot be reached, or a store: its part of the plan is missing",
			exitChanges:     "with --detailed-exitcode: there is something to do",
		}),
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runPlan(cmd.Context(), o) },
	}
	cmd.Flags().BoolVar(&o.prune, "prune", false, "forget what is not configured any more")
	cmd.Flags().BoolVar(&o.detailed, "detailed-exitcode", false, "let the exit status tell whether there is something to do")
	cmd.Flags().BoolVar(&o.json, "json", false, "write JSON")
	cmd.Flags().BoolVar(&o.schema, "schema", false, "only write the JSON Schema of the configuration file, for editors")
	return cmd
}

func (a *app) runPlan(ctx context.Context, o planOptions) error {
	if o.schema {
		_, err := a.out.Write(config.Schema())
		return err
	}
	c, pool, err := a.ready(ctx, 0)
	if err != nil {
		return err
	}
	defer pool.Close()
	p, err := jobs.MakePlan(ctx, c.Jobs(pool, a.logger(c)), jobs.PlanOptions{Prune: o.prune})
	if err != nil {
		return err
	}
	if o.json {
		err = a.writeJSON(planJSON{Changes: !p.Empty(), Plan: p})
	} else {
		a.printPlan(p)
	}
	if err != nil {
		return err
	}
	return o.verdict(p)
}

// planJSON is what --json shows.
type planJSON struct {
	Changes bool `json:"changes"`
	*jobs.Plan
}

// verdict is the exit status of a plan, as an error that has been told already.
func (o planOptions) verdict(p *jobs.Plan) error {
	switch {
	case len(p.Problems) > 0:
		return errDiffers
	case len(p.Unreachable) > 0:
		return errDeaf
	case o.detailed && !p.Empty():
		return errChanges
	default:
		return nil
	}
}

// printPlan is the plan for people.
func (a *app) printPlan(p *jobs.Plan) {
	for _, s := range p.Steps {
		fmt.Fprintln(a.out, stepLine(s))
	}
	for _, s := range p.Kept {
		fmt.Fprintln(a.out, keptLine(s))
	}
	for _, list := range []struct {
		name     string
		troubles []jobs.Trouble
	}{{"problem", p.Problems}, {"cannot ask", p.Unreachable}, {"warning", p.Warnings}} {
		for _, t := range list.troubles {
			fmt.Fprintf(a.out, "! %s: %s\n", list.name, about(t)+t.Text)
			if t.Advice != "" {
				fmt.Fprintf(a.out, "    %s\n", t.Advice)
			}
		}
	}
	fmt.Fprintln(a.out, planSummary(p))
}

// planSummary is the plan in one sentence.
func planSummary(p *jobs.Plan) string {
	switch {
	case len(p.Problems) > 0:
		return "the plan cannot be applied: " + counted(int64(len(p.Problems)), "problem")
	case len(p.Steps) > 0:
		return counted(int64(len(p.Steps)), "step") + " to take: outflow apply takes them"
	case len(p.Unreachable) > 0:
		return "nothing to do, as far as the stores could be asked"
	default:
		return "nothing to do: everything is as configured"
	}
}

// about names what a trouble concerns.
func about(t jobs.Trouble) string {
	switch {
	case t.Backend != "" && t.Target != "":
		return t.Backend + "/" + t.Target + ": "
	case t.Backend != "":
		return t.Backend + ": "
	case t.Kind != "":
		return "kind " + t.Kind + ": "
	default:
		return ""
	}
}

// signs say at a glance what a step does: + is new, ~ changes, - goes away.
var signs = map[jobs.Action]string{
	jobs.DoWatch: "+", jobs.DoAdd: "+", jobs.DoCreate: "+",
	jobs.DoRewatch: "~", jobs.DoAlter: "~", jobs.DoFill: "~", jobs.DoRebuild: "!",
	jobs.DoUnwatch: "-", jobs.DoDrop: "-", jobs.DoForget: "-",
}

// stepLine is a step in one line, as something to do.
func stepLine(s jobs.Step) string {
	return signs[s.Do] + " " + stepText(s)
}

func stepText(s jobs.Step) string {
	switch s.Do {
	case jobs.DoUnwatch:
		if s.From == "" {
			return "kind " + s.Kind + ": forget it"
		}
		return "kind " + s.Kind + ": take the watch off " + s.From
	case jobs.DoDrop:
		return "backend " + s.Backend + ": forget it, its positions and what it parked; the store keeps its data"
	case jobs.DoWatch, jobs.DoRewatch:
		return "kind " + s.Kind + ": " + s.To
	case jobs.DoAdd:
		return "backend " + s.Backend + ": add it (" + s.To + ")"
	case jobs.DoFill:
		return s.Backend + "/" + s.Target + ": fill it with every " + s.Kind + estimate(s.Keys) + ": " + s.Why
	case jobs.DoForget:
		return s.Backend + "/" + s.Target + ": forget that it shows " + s.Kind + "; it keeps its data"
	default:
		return structure(s)
	}
}

// estimate is how many records a fill will write, if anybody knows.
func estimate(keys int64) string {
	if keys == 0 {
		return ""
	}
	return " (about " + number(keys) + ")"
}

// structure is what becomes of something in a store.
func structure(s jobs.Step) string {
	name := s.Backend
	if s.Target != "" {
		name += "/" + s.Target
	}
	text := name + ": " + string(s.Do)
	if s.Field != "" {
		text += " " + s.Field
	}
	switch {
	case s.From != "" && s.To != "":
		return text + ": " + s.From + " becomes " + s.To
	case s.From != "":
		return text + ": " + s.From + " goes"
	case s.To != "":
		return text + ": " + s.To
	default:
		return text
	}
}

// keptLine is something that is not configured and kept.
func keptLine(s jobs.Step) string {
	switch {
	case s.Do == jobs.DoDrop:
		return "  backend " + s.Backend + " is not configured: it is kept (--prune forgets it)"
	case s.From != "":
		return "  kind " + s.Kind + " is not configured: " + s.From + " stays watched (--prune takes the watch off)"
	default:
		return "  kind " + s.Kind + " is not configured: it is kept (--prune forgets it)"
	}
}
