package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/outbox"
)

func (a *app) wait() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "wait TOKEN [BACKEND...]",
		Short: "Waits until backends have applied a transaction",
		Long: `Waits until the backends, or all of them, have applied everything that a transaction
changed. The transaction's token comes from select outbox.token(), from outbox.Token or from
outflow load --json. Records that a backend parked count as applied.`,
		Example: `  outflow wait 74912
  outflow wait --timeout 30s 74912 search vectors`,
		Annotations: exits(map[int]string{exitOK: "they have", exitNotWell: "the time was over, and some have not: the message says which"}),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{fmt.Errorf("which token? See %s --help", cmd.CommandPath())}
			}
			return nil
		},
		RunE: a.withPool(func(ctx context.Context, pool *pgxpool.Pool, args []string) error {
			ctx, cancel := within(ctx, timeout)
			defer cancel()
			return outbox.Wait(ctx, pool, args[0], args[1:]...)
		}),
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after this `TIME`, such as 30s; 0: never")
	return cmd
}

var errTimeout = errors.New("the time is over")

// within ends a context after a time, and says so; a time of zero is none.
func within(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, timeout, errTimeout)
}
