package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/outbox"
)

func (a *app) pause() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "pause BACKEND...",
		Short: "Stops the work for backends until they are resumed",
		Long: `Stops the work for backends after the pages under way, in every process. What changes
meanwhile stays in the log, whatever its retention, and is applied when the backends are
resumed. Other backends go on.`,
		Example:     `  outflow pause search --reason "new disks until 5 pm"`,
		Annotations: exits(map[int]string{exitOK: "they are paused", exitNotWell: "there is no such backend"}),
		Args:        someBackends,
		RunE: a.onBackends("paused", func(ctx context.Context, pool *pgxpool.Pool, name string) error {
			return outbox.Pause(ctx, pool, name, outbox.ByOperator, reason)
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "paused by an operator", "`TEXT` that status shows")
	return cmd
}

func (a *app) resume() *cobra.Command {
	return &cobra.Command{
		Use:   "resume BACKEND...",
		Short: "Lets the work for paused backends go on",
		Long: `Lets the work for backends go on that an operator paused, or that paused themselves because
they could not go on. If the reason is still there, they pause again.`,
		Example:     "  outflow resume search",
		Annotations: exits(map[int]string{exitOK: "they run, if a worker does", exitNotWell: "there is no such backend"}),
		Args:        someBackends,
		RunE: a.onBackends("resumed", func(ctx context.Context, pool *pgxpool.Pool, name string) error {
			return outbox.Resume(ctx, pool, name)
		}),
	}
}

// onBackends does something with each of the backends, and says so. It ends with the first that fails.
func (a *app) onBackends(done string, do func(context.Context, *pgxpool.Pool, string) error) func(*cobra.Command, []string) error {
	return a.withPool(func(ctx context.Context, pool *pgxpool.Pool, names []string) error {
		for _, name := range names {
			if err := do(ctx, pool, name); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s %s\n", name, done)
		}
		return nil
	})
}
