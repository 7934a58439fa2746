package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/outflow-db/outflow/jobs"
)

// workerEnv holds the links in the environment of a worker process.
const workerEnv = "OUTFLOW_TORTURE_WORKER"

// workerName is the name of the workers' connections.
const workerName = "torture-worker"

// work is the main function of a worker process: it runs engines until SIGTERM. It answers the exit code.
func work(text string) int {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	var l links
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		log.Error("reading the links failed", "error", err)
		return 2
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	for ctx.Err() == nil {
		err := runEngine(ctx, l, log)
		if err == nil {
			continue
		}
		log.Error("the engine failed", "error", err)
		if ctx.Err() != nil && !errors.Is(err, context.Canceled) {
			return 1
		}
		pause(ctx, 200*time.Millisecond) // a connection was cut while it started
	}
	return 0
}

// runEngine runs one engine until ctx ends.
func runEngine(ctx context.Context, l links, log *slog.Logger) error {
	pool, err := l.connect(ctx, workerName, 40)
	if err != nil {
		return err
	}
	defer pool.Close()
	engine, err := jobs.New(ctx, l.config(pool, workerName, log))
	if err != nil {
		return fmt.Errorf("making an engine: %w", err)
	}
	return engine.Run(ctx)
}
