package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/config"
	"github.com/outflow-db/outflow/console"
	"github.com/outflow-db/outflow/jobs"
)

// watching is how the engine of a process is watched: by a console, and by traces.
type watching struct {
	console *console.Console    // nil: none
	tracing *sdk.TracerProvider // nil: none
	metrics *console.Metrics
	engine  atomic.Pointer[jobs.Engine] // that runs; nil: none yet
	log     *slog.Logger
}

// watched makes the configuration's engine one that is watched. The caller calls run, or close if it does not.
func (a *app) watched(ctx context.Context, c *config.Config, settings *jobs.Config) (*watching, error) {
	w := &watching{log: settings.Logger, metrics: console.NewMetrics()}
	var err error
	if w.tracing, err = a.tracing(ctx, w.log); err != nil {
		return nil, err
	}
	if w.console, err = w.open(ctx, c, settings.Pool); err != nil && a.again {
		w.log.ErrorContext(ctx, "no console", "error", err)
	} else if err != nil {
		w.close(ctx)
		return nil, err
	}
	settings.Observer = w.metrics
	if w.tracing != nil {
		settings.Tracing = w.tracing
	}
	return w, nil
}

// open opens the console. Where the configuration names no address, several processes of a machine share the default
// one: the first has it, and the others say so and go without.
func (w *watching) open(ctx context.Context, c *config.Config, pool *pgxpool.Pool) (*console.Console, error) {
	if c.Console.Off() {
		return nil, nil
	}
	listen := c.Console.Listen
	if listen == "" {
		listen = console.Default
	}
	k, err := console.Open(ctx, console.Config{
		Listen: listen, User: c.Console.User, Password: c.Console.Password, Token: c.Console.Token,
		Pool: pool, Metrics: w.metrics, Version: built().Outflow, Logger: w.log, Alerts: c.Alerts,
		Running: func() bool { e := w.engine.Load(); return e != nil && e.Running() },
		Status: func(ctx context.Context) (any, error) {
			return statusOf(ctx, c, pool)
		},
		Endpoints: func() map[string][]backends.Endpoint {
			if e := w.engine.Load(); e != nil {
				return e.Endpoints()
			}
			return nil
		},
	})
	switch {
	case err == nil:
		w.log.InfoContext(ctx, "the console is open", "url", k.URL())
		return k, nil
	case c.Console.Listen == "" && errors.Is(err, syscall.EADDRINUSE):
		w.log.WarnContext(ctx, "no console: another program listens there; console.listen in the configuration names another address, or off", "address", listen)
		return nil, nil
	default:
		return nil, err
	}
}

// run runs the engine until ctx ends, and watches it meanwhile. A console that fails is said, and the engine goes on.
func (w *watching) run(ctx context.Context, e *jobs.Engine) error {
	w.engine.Store(e)
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if w.console == nil {
			return
		}
		if err := w.console.Run(watch); err != nil {
			w.log.ErrorContext(ctx, "the console ended", "error", err)
		}
		w.console = nil
	}()
	err := e.Run(ctx)
	stop()
	<-ended
	w.close(ctx)
	return err
}

// close closes what is open.
func (w *watching) close(ctx context.Context) {
	if w.console != nil {
		if err := w.console.Close(); err != nil {
			w.log.WarnContext(ctx, "closing the console failed", "error", err)
		}
	}
	if w.tracing == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := w.tracing.Shutdown(ctx); err != nil {
		w.log.WarnContext(ctx, "the last traces were not sent", "error", err)
	}
}

// tracing sends spans to where the usual variables of OpenTelemetry say, and is nil if they say nothing.
func (a *app) tracing(ctx context.Context, log *slog.Logger) (*sdk.TracerProvider, error) {
	endpoint, _ := a.env("OTEL_EXPORTER_OTLP_ENDPOINT")
	if traces, ok := a.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"); ok && traces != "" {
		endpoint = traces
	}
	if disabled, _ := a.env("OTEL_SDK_DISABLED"); endpoint == "" || disabled == "true" {
		return nil, nil
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("tracing", "error", config.Redact(err.Error())) }))
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("tracing to OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
	}
	self := resource.NewSchemaless(attribute.String("service.name", "outflow"), attribute.String("service.version", built().Outflow))
	if named, err := resource.New(ctx, resource.WithFromEnv(), resource.WithHost()); err == nil {
		if self, err = resource.Merge(self, named); err != nil {
			return nil, fmt.Errorf("tracing: %w", err)
		}
	}
	return sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(self)), nil
}
