// Package files measures how many source files a minute are loaded and projected at the same time: into the embedded
// read model, and into three stores that cost nothing, one each for search, vectors and the graph.
//
// The time ends when every store has applied every transaction of the load. Parsing the source code is part of it.
package files

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/ast"
	"github.com/outflow-db/outflow/backends"
	_ "github.com/outflow-db/outflow/backends/postgres" // the store
	"github.com/outflow-db/outflow/examples/gosource/gosource"
	"github.com/outflow-db/outflow/internal/benches/lab"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// result is one load with its projection.
type result struct {
	load         *ast.Result
	took         time.Duration
	transactions []time.Duration // of the load
	memory       int64           // of this process, at most
	writes       []lab.Call
}

// perMinute is the rate of files.
func (r *result) perMinute() float64 { return float64(r.load.Files.Total()) / r.took.Minutes() }

// Run measures.
func Run(ctx context.Context, l *lab.Lab) ([]lab.Row, error) {
	nothing, err := three(ctx, l)
	if err != nil {
		return nil, err
	}
	model, err := readModel(ctx, l)
	if err != nil {
		return nil, err
	}
	return rows(model, nothing), nil
}

// rows reports both loads.
func rows(model, nothing *result) []lab.Row {
	mean := model.load.Database / time.Duration(model.load.Batches)
	symbols, relations := model.load.Symbols.Total(), model.load.Relations.Total()
	var writes []time.Duration
	for _, c := range model.writes {
		writes = append(writes, c.End.Sub(c.Start))
	}
	size := fmt.Sprintf("%d files, %d symbols, %d relations", model.load.Files.Total(), symbols, relations)
	return []lab.Row{
		lab.AtLeast("files: loaded and projected into the read model", model.perMinute(), "files/min", 10_000).With(size),
		lab.AtLeast("files: loaded and projected into three stores that cost nothing", nothing.perMinute(), "files/min", 10_000),
		lab.Fact("files: records written to the read model", float64(written(model.writes))/model.took.Seconds(), "records/s"),
		lab.Fact("files: records written to stores that cost nothing", float64(written(nothing.writes))/nothing.took.Seconds(), "records/s"),
		lab.AtMost("files: transaction of a load, mean", lab.Millis(mean), "ms", 500).With("up to 500 files or 20,000 rows, fewer where they take longer than 200 ms"),
		lab.AtMost("files: transaction of a load, p99", lab.Millis(lab.Quantile(model.transactions, 0.99)), "ms", 500).With(fmt.Sprintf("%d transactions", len(model.transactions))),
		lab.AtMost("files: transaction of a load, longest", lab.Millis(model.load.Slowest), "ms", 500),
		lab.AtMost("files: memory of a process that parses, loads and projects, most", float64(model.memory)/(1<<20), "MB", 500),
		lab.AtMost("files: write of a batch into the read model, mean", lab.Millis(lab.Mean(writes)), "ms", 200),
		lab.Fact("files: write of a batch into the read model, p99", lab.Millis(lab.Quantile(writes, 0.99)), "ms"),
	}
}

func written(calls []lab.Call) (n int) {
	for _, c := range calls {
		n += c.Records
	}
	return n
}

// readModel loads into one backend that has everything.
func readModel(ctx context.Context, l *lab.Lab) (*result, error) {
	if _, err := l.Empty(ctx, "store", 1); err != nil {
		return nil, err
	}
	g := &lab.Gauge{Behind: backends.Config{Type: "postgres", Settings: map[string]any{"url": l.Server.URL("store")}}}
	return load(ctx, l, "readmodel", map[string]*lab.Gauge{"readmodel": g}, map[string][]string{
		"readmodel": {"file", "symbol", "relation", "embedding"},
	})
}

// three loads into a store each for search, vectors and the graph.
func three(ctx context.Context, l *lab.Lab) (*result, error) {
	gauges := map[string]*lab.Gauge{"search": {}, "vectors": {}, "graph": {}}
	return load(ctx, l, "three", gauges, map[string][]string{
		"search": {"file", "symbol"}, "vectors": {"embedding"}, "graph": {"file", "symbol", "relation"},
	})
}

// configure projects the model's kinds into each store.
func configure(l *lab.Lab, gauges map[string]*lab.Gauge, kinds map[string][]string) (c jobs.Config, err error) {
	watched, projections, err := l.Model()
	if err != nil {
		return c, err
	}
	c.Kinds = watched
	for name, g := range gauges {
		c.Backends = append(c.Backends, g.Config(name))
		for _, kind := range kinds[name] {
			p := projections[kind]
			p.Backend = name
			c.Projections = append(c.Projections, p)
		}
	}
	return c, nil
}

// load loads the source code into a database of its own while an engine projects it.
func load(ctx context.Context, l *lab.Lab, name string, gauges map[string]*lab.Gauge, kinds map[string][]string) (*result, error) {
	c, err := configure(l, gauges, kinds)
	if err != nil {
		return nil, err
	}
	if c.Pool, err = l.Database(ctx, name, 2*len(c.Backends)+12); err != nil {
		return nil, err
	}
	if err := errors.Join(jobs.Setup(ctx, c), l.Calm(ctx)); err != nil {
		return nil, err
	}
	engine, err := l.Start(ctx, c)
	if err != nil {
		return nil, err
	}
	r, err := fill(ctx, l, c.Pool)
	if err := errors.Join(err, engine.Stop()); err != nil {
		return nil, err
	}
	for _, g := range gauges {
		r.writes = append(r.writes, g.Calls()...)
	}
	l.Say("%s: %d files in %v, loaded in %v, %d records written", name, r.load.Files.Total(), r.took, r.load.Elapsed, written(r.writes))
	return r, nil
}

// fill loads and waits until every backend has everything.
func fill(ctx context.Context, l *lab.Lab, pool *pgxpool.Pool) (*result, error) {
	if err := lab.ResetPeak(); err != nil {
		return nil, err
	}
	r := &result{}
	options := ast.Options{Progress: func(p ast.Progress) { r.transactions = append(r.transactions, p.Batch.Time) }}
	begun := time.Now()
	files := l.Files(ctx, l.Size(0, 50), gosource.Options{})
	var err error
	if r.load, err = ast.Load(ctx, pool, files, options); err != nil {
		return nil, err
	}
	for _, token := range r.load.Tokens {
		if err := outbox.Wait(ctx, pool, token); err != nil {
			return nil, err
		}
	}
	r.took = time.Since(begun)
	m, err := lab.OwnMemory()
	r.memory = m.Peak
	return r, err
}
