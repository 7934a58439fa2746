package lab

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// Engine is an engine that runs in this process.
type Engine struct {
	cancel context.CancelFunc
	ended  chan error
}

// Start starts an engine. Its configuration must have been set up.
func (l *Lab) Start(ctx context.Context, c jobs.Config) (*Engine, error) {
	if c.Logger == nil {
		c.Logger = l.Logger()
	}
	engine, err := jobs.New(ctx, c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	e := &Engine{cancel: cancel, ended: make(chan error, 1)}
	go func() { e.ended <- engine.Run(ctx) }()
	return e, nil
}

// Stop ends the engine and waits for it.
func (e *Engine) Stop() error {
	e.cancel()
	return <-e.ended
}

// Fill sets the configuration up and runs an engine until every backend has everything.
func (l *Lab) Fill(ctx context.Context, c jobs.Config) error {
	if err := jobs.Setup(ctx, c); err != nil {
		return err
	}
	e, err := l.Start(ctx, c)
	if err != nil {
		return err
	}
	return errors.Join(CaughtUp(ctx, c.Pool), e.Stop())
}

// CaughtUp returns when no backend has anything left to apply, or ctx ends.
func CaughtUp(ctx context.Context, db outbox.DB) error {
	for {
		all, err := outbox.Status(ctx, db)
		if err != nil {
			return err
		}
		var left int64
		for _, b := range all {
			if b.Paused != "" || b.Parked > 0 {
				return fmt.Errorf("backend %s has parked %d records, or is paused: %s", b.Name, b.Parked, b.Paused)
			}
			left += b.Changes
		}
		if left == 0 {
			return nil
		}
		if err := Rest(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// Rest waits for d, or fails when ctx ends.
func Rest(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
