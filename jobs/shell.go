package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// prepareTime is how long a store may take to make its targets ready. Some make an index in minutes.
const prepareTime = 5 * time.Minute

// shell stands between the engine and a backend, which somebody else may have written: no call lasts for ever, no
// panic ends the process, no answer is left out.
type shell struct {
	backends.Backend
	name    string
	request time.Duration // for one request
	log     *slog.Logger
}

// Prepare is bounded by prepareTime.
func (s shell) Prepare(ctx context.Context, targets []backends.Target) (err error) {
	defer s.recovered(ctx, "prepare", &err)
	ctx, cancel := context.WithTimeout(ctx, prepareTime)
	defer cancel()
	return s.Backend.Prepare(ctx, targets)
}

// Write is bounded by the time for a request. A record that failed without a reason did so for an unknown one.
func (s shell) Write(ctx context.Context, target backends.Target, records []backends.Record) (results []backends.Result, err error) {
	defer s.recovered(ctx, "write", &err)
	ctx, cancel := context.WithTimeout(ctx, s.request)
	defer cancel()
	results, err = s.Backend.Write(ctx, target, records)
	for i, r := range results {
		if r.Outcome == backends.Failed && r.Err == nil {
			results[i].Err = s.failure("write", errors.New("the backend does not say why a record failed"))
		}
	}
	return results, err
}

// Scan is bounded by the time for a request, for each page.
func (s shell) Scan(ctx context.Context, target backends.Target, fn func([]backends.Entry) error) (err error) {
	defer s.recovered(ctx, "scan", &err)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(s.request, cancel)
	defer silence.Stop()
	return s.Backend.Scan(ctx, target, func(page []backends.Entry) error {
		silence.Stop()
		defer silence.Reset(s.request)
		return fn(page)
	})
}

// Lookup is bounded by the time for a request.
func (s shell) Lookup(ctx context.Context, target backends.Target, keys []string) (entries []backends.Entry, err error) {
	defer s.recovered(ctx, "lookup", &err)
	ctx, cancel := context.WithTimeout(ctx, s.request)
	defer cancel()
	return s.Backend.Lookup(ctx, target, keys)
}

// Health is bounded by the time for a request.
func (s shell) Health(ctx context.Context) (err error) {
	defer s.recovered(ctx, "health", &err)
	ctx, cancel := context.WithTimeout(ctx, s.request)
	defer cancel()
	return s.Backend.Health(ctx)
}

// rebuildShell is the shell of a backends.Rebuilder.
type rebuildShell struct {
	shell
	backends.Rebuilder
}

// Finish takes as long as it needs.
func (s rebuildShell) Finish(ctx context.Context, target backends.Target) (err error) {
	defer s.recovered(ctx, "finish", &err)
	return s.Rebuilder.Finish(ctx, target)
}

// Serve is bounded by prepareTime.
func (s rebuildShell) Serve(ctx context.Context, target backends.Target) (err error) {
	defer s.recovered(ctx, "serve", &err)
	ctx, cancel := context.WithTimeout(ctx, prepareTime)
	defer cancel()
	return s.Rebuilder.Serve(ctx, target)
}

// Drop is bounded by prepareTime.
func (s rebuildShell) Drop(ctx context.Context, target backends.Target) (err error) {
	defer s.recovered(ctx, "drop", &err)
	ctx, cancel := context.WithTimeout(ctx, prepareTime)
	defer cancel()
	return s.Rebuilder.Drop(ctx, target)
}

// probeTime bounds a probe. A store that takes longer to say that it is there is not well.
const probeTime = 5 * time.Second

// failoverShell is the shell of a backends.Failover.
type failoverShell struct {
	shell
	failover backends.Failover
}

// failoverOf is the backend as one that knows its endpoints apart, or nil.
func failoverOf(b backends.Backend) backends.Failover {
	outer, ok := b.(shell)
	if !ok {
		return nil
	}
	if inner, ok := outer.Backend.(backends.Failover); ok {
		return failoverShell{outer, inner}
	}
	return nil
}

// Endpoints is the backend's.
func (s failoverShell) Endpoints() []backends.Endpoint { return s.failover.Endpoints() }

// Probe is bounded by probeTime.
func (s failoverShell) Probe(ctx context.Context, address string) (err error) {
	defer s.recovered(ctx, "probe", &err)
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	return s.failover.Probe(ctx, address)
}

// recovered makes an error of a panic.
func (s shell) recovered(ctx context.Context, op string, err *error) {
	p := recover()
	if p == nil {
		return
	}
	s.log.ErrorContext(ctx, "a backend panicked", "op", op, "panic", p, "stack", string(debug.Stack()))
	*err = s.failure(op, fmt.Errorf("the backend panicked: %v", p))
}

// failure is an error of which nobody knows what the store did.
func (s shell) failure(op string, cause error) *backends.Error {
	return &backends.Error{Op: op, Backend: s.name, Class: backends.Unknown, Err: cause}
}

// leased is a backend that is written to within the lease only: each request asks for itself, also those that
// bisection makes.
type leased struct {
	backends.Backend
	t *outbox.Tenure
}

// Write fails with outbox.ErrLost, and sends nothing, when the lease may be over.
func (l leased) Write(ctx context.Context, target backends.Target, records []backends.Record) ([]backends.Result, error) {
	if !l.t.Live() {
		return nil, fmt.Errorf("lane %d of backend %s: the lease ran out before a send: %w", l.t.Lane, l.t.Backend, outbox.ErrLost)
	}
	return l.Backend.Write(ctx, target, records)
}
