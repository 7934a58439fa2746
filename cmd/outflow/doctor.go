package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/config"
	"github.com/outflow-db/outflow/internal/doctor"
)

func (a *app) doctor() *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Looks for what is set up wrong, and says what to do",
		Long: `Looks for what operators get wrong: PostgreSQL's version and settings, rights, watches that
miss something, transactions and slots that hold the log back, missing indexes, clocks,
stores that do not answer, queues that stand still. It changes nothing.

With --json the output is {"findings": [{"check", "level", "text", "advice"}]}, where level is
fine, note, warning or problem.`,
		Example:     "  outflow doctor\n  outflow doctor --json | jq '.findings[] | select(.level == \"problem\")'",
		Annotations: exits(map[int]string{exitOK: "no problem, warnings perhaps", exitNotWell: "there are problems"}),
		Args:        noArgs,
		RunE: a.withConfig(func(ctx context.Context, c *config.Config, pool *pgxpool.Pool, _ []string) error {
			return a.runDoctor(ctx, c, pool, json)
		}),
	}
	cmd.Flags().BoolVar(&json, "json", false, "write JSON")
	return cmd
}

func (a *app) runDoctor(ctx context.Context, c *config.Config, pool *pgxpool.Pool, json bool) error {
	found := doctor.Examine(ctx, c.Jobs(pool, a.logger(c)))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var err error
	if json {
		err = a.writeJSON(map[string]any{"findings": found})
	} else {
		a.printFindings(found)
	}
	if err == nil && doctor.Worst(found) == doctor.Problem {
		err = errDiffers
	}
	return err
}

// printFindings has a line for each finding, and one for what to do about it.
func (a *app) printFindings(found []doctor.Finding) {
	counts := map[doctor.Level]int64{}
	for _, f := range found {
		counts[f.Level]++
		text := inLine(f.Text)
		if f.Level == doctor.Fine {
			fmt.Fprintf(a.out, "%-8s %s\n", "ok", f.Check)
			continue
		}
		fmt.Fprintf(a.out, "%-8s %s: %s\n", f.Level, f.Check, text)
		if f.Advice != "" {
			fmt.Fprintf(a.out, "%-8s   -> %s\n", "", inLine(f.Advice))
		}
	}
	fmt.Fprintf(a.out, "%s, %s\n", counted(counts[doctor.Problem], "problem"), counted(counts[doctor.Warning], "warning"))
}
