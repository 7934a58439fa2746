package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/jobs"
)

func (a *app) work() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Runs the workers until it is told to end",
		Long: `Sets up what the configuration says (watches, backends, and filling those that are new or
whose projection has changed), and then works until SIGTERM or SIGINT: pages under way are
finished, their positions saved and the lanes released. A second signal ends it at once,
which loses nothing: what was not saved is written again.

Any number of processes may run on one database; each lane has one worker at a time. The log
goes to the standard error; log.level and log.format in the configuration set its form.`,
		Example: `  outflow run
  OUTFLOW_LOG_FORMAT=json outflow run --config /etc/outflow.yaml`,
		Annotations: exits(map[int]string{
			exitOK:          "it was told to end, and did",
			exitNotWell:     "setting up failed, or the workers did",
			exitInterrupted: "a second signal ended it before it was done",
		}),
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runWork(cmd.Context()) },
	}
}

func (a *app) runWork(ctx context.Context) error {
	c, pool, err := a.ready(ctx, 0)
	if err != nil {
		return err
	}
	defer pool.Close()
	log := a.logger(c)
	log.InfoContext(ctx, "starting", "version", built().Outflow, "configuration", c)
	settings := c.Jobs(pool, log)
	a.limitMemory(settings.Settings)
	if err := jobs.Setup(ctx, settings); err != nil {
		return err
	}
	engine, err := jobs.New(ctx, settings)
	if err != nil {
		return err
	}
	if err := engine.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	log.Info("ended")
	return nil
}
