package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/outflow-db/outflow/ast"
	"github.com/outflow-db/outflow/examples/gosource/gosource"
	"github.com/outflow-db/outflow/internal/progress"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// outcome is what the demo measured.
type outcome struct {
	load     *ast.Result
	caughtUp time.Duration // from the start until every backend had everything
	report   *jobs.Report
}

// view is what the live line shows. The loader and the watcher of the lag write it.
type view struct {
	mu      sync.Mutex
	most    int
	files   int64
	records int64
	done    bool // everything is loaded
	logged  int64
	changes int64
	lag     time.Duration
}

// text is the live line.
func (v *view) text() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	total := int64(v.most)
	if v.done || total < v.files {
		total = v.files
	}
	text := "loading      "
	if v.most > 0 {
		text += progress.Bar(v.files, total, 20) + "  "
	}
	return text + fmt.Sprintf("%s, %s; %s keys projected; lag %s",
		counted(v.files, "file"), counted(v.records, "record"), number(max(0, v.logged-v.changes)), lag(v.changes, v.lag))
}

// loaded takes in what a batch did.
func (v *view) loaded(p ast.Progress) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.files = p.Files
	for _, c := range []ast.Counts{p.Batch.Files, p.Batch.Symbols, p.Batch.Relations, p.Batch.Embeddings} {
		v.records += c.Total()
	}
}

// fill loads the source code while the engine projects it, and returns when every backend has it all.
func (d *demo) fill(ctx context.Context) error {
	v := &view{most: d.most}
	line := progress.Start(d.a.err, d.a.width, v.text)
	defer line.Stop()
	group, ctx := errgroup.WithContext(ctx)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	group.Go(func() error { return d.watch(watching, v) })
	group.Go(func() error {
		defer stop()
		return d.loadAll(ctx, v)
	})
	return group.Wait()
}

// loadAll loads everything and waits for the backends.
func (d *demo) loadAll(ctx context.Context, v *view) (err error) {
	started := time.Now()
	files := gosource.Files(ctx, d.dir, gosource.Options{Max: d.most})
	if d.out.load, err = ast.Load(ctx, d.pool, files, ast.Options{Progress: v.loaded}); err != nil {
		return err
	}
	v.mu.Lock()
	v.done = true
	v.mu.Unlock()
	for _, token := range d.out.load.Tokens {
		if err := outbox.Wait(ctx, d.pool, token); err != nil {
			return err
		}
	}
	d.out.caughtUp = time.Since(started)
	return nil
}

// watch asks for the lag until ctx ends, and once more then.
func (d *demo) watch(ctx context.Context, v *view) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for ended := false; !ended; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			ended = true
		}
		if err := d.measure(context.WithoutCancel(ctx), v); err != nil {
			return err
		}
	}
	return nil
}

// measure reads how much was logged and how far the backends are.
func (d *demo) measure(ctx context.Context, v *view) error {
	var logged int64
	if err := d.pool.QueryRow(ctx, "select coalesce(sum(cardinality(keys)), 0) from outbox.log where backend is null").Scan(&logged); err != nil {
		return fmt.Errorf("counting what was logged: %w", err)
	}
	all, err := outbox.Status(ctx, d.pool)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.logged, v.changes, v.lag = logged, 0, 0
	for _, b := range all {
		if b.Paused != "" {
			return fmt.Errorf("backend %s is paused: %s", b.Name, b.Paused)
		}
		v.changes, v.lag = max(v.changes, b.Changes), max(v.lag, b.Lag)
	}
	return nil
}
