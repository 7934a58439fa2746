package main

import (
	"context"
	"errors"
	"os"
	"sync"

	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/config"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/migrations"
)

func (a *app) work() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Runs the workers until it is told to end",
		Long: `Sets up what the configuration says (watches, backends, and filling those that are new or
whose projection has changed), and then works until SIGTERM or SIGINT: pages under way are
finished, their positions saved and the lanes released. A second signal ends it at once,
which loses nothing: what was not saved is written again.

A changed configuration is taken without a restart: when its file, or a file that it refers to,
has another content, and at once on SIGHUP. What changed is in the log. One that is wrong is
told with all that is wrong, and the old one goes on; one that cannot be put in place, but could
after an outflow rebuild --beside, is taken as soon as that has begun.

While it works it has a console at http://127.0.0.1:8317/, unless console.listen says otherwise:
how far every backend is, River UI, /metrics for Prometheus, /healthz, /readyz and /status.
With OTEL_EXPORTER_OTLP_ENDPOINT set it sends traces of what it writes.

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

// runWork runs engines, one after the other, until it is told to end.
func (a *app) runWork(ctx context.Context) error {
	asked, stop := hangups()
	defer stop()
	c, err := a.configuration()
	for err == nil && c != nil {
		c, err = a.runEngine(ctx, c, asked)
		if a.again && errors.Is(err, context.Canceled) { // it was told to end while it started anew: it had worked
			return nil
		}
		a.again = true
	}
	return err
}

// runEngine runs an engine until ctx ends, or until the configuration needs another one: that is the answer.
func (a *app) runEngine(ctx context.Context, c *config.Config, asked <-chan os.Signal) (next *config.Config, err error) {
	pool, err := a.poolFor(ctx, c, 0)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	if err := migrations.Validate(ctx, pool); err != nil {
		return nil, err
	}
	log := a.logger(c)
	log.InfoContext(ctx, "starting", "version", built().Outflow, "configuration", c)
	settings := c.Jobs(pool, log)
	a.limitMemory(settings.Settings)
	if err := jobs.Setup(ctx, settings); err != nil {
		return nil, err
	}
	watching, err := a.watched(ctx, c, &settings)
	if err != nil {
		return nil, err
	}
	engine, err := jobs.New(ctx, settings)
	if err != nil {
		watching.close(ctx)
		return nil, err
	}
	r := &reloader{read: a.configuration, engine: engine, try: a.try, log: log, pool: pool, runs: unplaced(c)}
	running, end := context.WithCancel(ctx)
	defer end()
	var following sync.WaitGroup
	following.Go(func() {
		if next = r.follow(running, asked); next != nil {
			end()
		}
	})
	err = watching.run(running, engine)
	end()
	following.Wait()
	if err != nil && !errors.Is(err, context.Canceled) {
		return nil, err
	}
	if ctx.Err() != nil {
		next = nil
	}
	log.Info("ended")
	return next, nil
}
