package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/internal/progress"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// besidePoll is the time between two looks at a rebuild that is waited for.
const besidePoll = 200 * time.Millisecond

// rebuiltBeside is what --beside --json shows.
type rebuiltBeside struct {
	Backend string             `json:"backend"`
	Targets []jobs.TargetState `json:"targets"`
	Waited  *int64             `json:"waited_ms"`
}

// runBeside begins rebuilds beside, or gives them up.
func (a *app) runBeside(ctx context.Context, o rebuildOptions, backend string, kinds []string) error {
	c, pool, err := a.ready(ctx, 0)
	if err != nil {
		return err
	}
	defer pool.Close()
	if kinds, err = kindsToRebuild(ctx, pool, backend, kinds); err != nil {
		return err
	}
	if o.cancel {
		return a.cancelBeside(ctx, o, pool, backend, kinds)
	}
	if err := jobs.BeginRebuild(ctx, c.Jobs(pool, a.logger(c)), backend, kinds...); err != nil {
		return err
	}
	r := rebuiltBeside{Backend: backend}
	if r.Targets, err = targetsOf(ctx, pool, backend, kinds); err != nil {
		return err
	}
	for _, t := range r.Targets {
		if !o.json && t.Building > 0 {
			fmt.Fprintf(a.out, "%s: generation %d of %s is being filled, while readers see %d\n", backend, t.Building, t.Target, t.Serving)
		}
	}
	if o.wait {
		began := time.Now()
		if r.Targets, err = a.awaitBeside(ctx, o, pool, r.Targets); err != nil {
			return err
		}
		ms := time.Since(began).Milliseconds()
		r.Waited = &ms
	}
	switch {
	case o.json:
		return a.writeJSON(r)
	case o.wait:
		fmt.Fprintf(a.out, "readers of %s see what was filled, after %s\n", backend, span(time.Duration(*r.Waited)*time.Millisecond))
	default:
		fmt.Fprintln(a.out, "the workers go on with it: outflow status tells how far they are")
	}
	return nil
}

func (a *app) cancelBeside(ctx context.Context, o rebuildOptions, pool *pgxpool.Pool, backend string, kinds []string) error {
	n, err := jobs.CancelRebuild(ctx, pool, backend, kinds...)
	if err != nil {
		return err
	}
	if o.json {
		return a.writeJSON(map[string]any{"backend": backend, "cancelled": n})
	}
	if n == 0 {
		fmt.Fprintf(a.out, "%s: no rebuild beside goes on\n", backend)
		return nil
	}
	fmt.Fprintf(a.out, "%s: %s given up; what was filled is removed by a worker\n", backend, counted(int64(n), "rebuild"))
	return nil
}

// targetsOf are the states of the targets of some kinds.
func targetsOf(ctx context.Context, db outbox.DB, backend string, kinds []string) ([]jobs.TargetState, error) {
	all, err := jobs.Targets(ctx, db, backend)
	return slices.DeleteFunc(all, func(t jobs.TargetState) bool { return !slices.Contains(kinds, t.Kind) }), err
}

// awaitBeside waits until nothing is being filled for them any more, and shows how far they are meanwhile. That the
// former generations are removed is left to the workers.
func (a *app) awaitBeside(ctx context.Context, o rebuildOptions, pool *pgxpool.Pool, begun []jobs.TargetState) (now []jobs.TargetState, err error) {
	ctx, cancel := within(ctx, o.timeout)
	defer cancel()
	var text atomic.Value
	text.Store("")
	line := progress.Start(a.err, a.width, func() string { return text.Load().(string) })
	defer line.Stop()
	backend := begun[0].Backend
	for {
		all, err := jobs.Targets(ctx, pool, backend)
		if err != nil {
			return nil, timedOut(ctx, err)
		}
		now = slices.DeleteFunc(all, func(t jobs.TargetState) bool { return !among(begun, t) })
		if !slices.ContainsFunc(now, func(t jobs.TargetState) bool { return t.Building > 0 }) {
			return now, givenUp(begun, now)
		}
		text.Store("rebuilding " + backend + "  " + besideLine(now))
		select {
		case <-ctx.Done():
			return nil, timedOut(ctx, fmt.Errorf("backend %s is still being rebuilt: %s: %w", backend, besideLine(now), context.Cause(ctx)))
		case <-time.After(besidePoll):
		}
	}
}

// timedOut is the error, or that of the caller's time.
func timedOut(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errTimeout) && !errors.Is(err, errTimeout) {
		return fmt.Errorf("waiting for a rebuild: %w", errTimeout)
	}
	return err
}

func among(begun []jobs.TargetState, t jobs.TargetState) bool {
	return slices.ContainsFunc(begun, func(b jobs.TargetState) bool { return b.Kind == t.Kind && b.Target == t.Target })
}

// givenUp is an error if readers do not see what was being filled.
func givenUp(begun, now []jobs.TargetState) error {
	var list []string
	for _, b := range begun {
		i := slices.IndexFunc(now, func(t jobs.TargetState) bool { return b.Kind == t.Kind && b.Target == t.Target })
		if b.Building > 0 && (i < 0 || now[i].Serving < b.Building) {
			list = append(list, b.Target)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return fmt.Errorf("the rebuild of %s was given up", strings.Join(list, ", "))
}

// besideLine tells in a line how far rebuilds are.
func besideLine(all []jobs.TargetState) string {
	var parts []string
	for _, t := range all {
		if !t.Rebuilding() {
			continue
		}
		part := t.Target + ": " + t.Phase
		if t.Note != "" {
			part += ", waits: " + t.Note
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}

// printRebuilds is the part of the screen that tells of rebuilds beside; nothing if there are none.
func printRebuilds(out io.Writer, all []jobs.TargetState) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nREBUILD\tKIND\tREADERS SEE\tFILLED\tPHASE\tWAITS FOR")
	for _, t := range all {
		filled, note := "none", "nothing"
		if t.Building > 0 {
			filled = fmt.Sprint(t.Building)
		}
		if t.Note != "" {
			note = t.Note
		}
		fmt.Fprintf(w, "%s: %s\t%s\t%d\t%s\t%s\t%s\n", t.Backend, t.Target, t.Kind, t.Serving, filled, t.Phase, note)
	}
	return w.Flush()
}
