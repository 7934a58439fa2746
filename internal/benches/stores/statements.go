package stores

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/benches/lab"
	"github.com/outflow-db/outflow/internal/projection"
	"github.com/outflow-db/outflow/jobs"
)

// sample is how many records of a kind statements are built of, batchOf how many at once, as the engine does.
const (
	sample  = 20_000
	batchOf = 1000
)

// builder makes statements and sends none.
type builder interface {
	Statements(t backends.Target, records []backends.Record) (rows, bytes int, err error)
}

// statements measures how many rows a second one core makes statements of: inserts and deletes of vertices and edges.
func (g *graph) statements(ctx context.Context) (rows []lab.Row, err error) {
	b, err := backends.Open(ctx, backends.Config{Name: backend, Type: g.gauge.Behind.Type, Settings: g.gauge.Behind.Settings})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	for _, k := range []struct {
		what, keys string
		jobs.Projection
	}{
		{"vertices", `select id::text from ast.symbols limit $1`, symbols()},
		{"edges", `select jsonb_build_array(source, type, target)::text from ast.relations limit $1`, relations()},
	} {
		target, records, err := g.records(ctx, b, k.Projection, k.keys)
		if err != nil {
			return nil, err
		}
		for _, op := range []string{"inserts", "deletes"} {
			if op == "deletes" {
				deleted(records)
			}
			rate, size, err := g.build(b, target, records)
			if err != nil {
				return nil, err
			}
			rows = append(rows, lab.AtLeast(fmt.Sprintf("graph: statements of %s of %s, rows of one core", op, k.what), rate, "rows/s", 100_000).
				With(fmt.Sprintf("%.0f bytes a row; by processor time, garbage collection included", size)))
		}
	}
	return rows, nil
}

// records reads some records as the engine does.
func (g *graph) records(ctx context.Context, b backends.Backend, p jobs.Projection, keysQuery string) (t backends.Target, list []backends.Record, err error) {
	t = backends.Target{Kind: p.Kind, Name: p.Target, Settings: p.Settings}
	if t.Columns, _, err = projection.Describe(ctx, g.pool, p.Query); err != nil {
		return t, nil, err
	}
	layout, err := b.Layout(t)
	if err != nil {
		return t, nil, err
	}
	var keys []string
	if err := g.pool.QueryRow(ctx, `select array(`+keysQuery+`)`, g.Size(sample, sample/10)).Scan(&keys); err != nil {
		return t, nil, fmt.Errorf("reading keys: %w", err)
	}
	rows, err := g.pool.Query(ctx, projection.SQL(p.Query, layout), projection.Formats(layout), keys)
	if err != nil {
		return t, nil, fmt.Errorf("reading records: %w", err)
	}
	defer rows.Close()
	for r, err := range projection.Read(rows, layout, 1<<50) {
		if err != nil {
			return t, nil, fmt.Errorf("reading records: %w", err)
		}
		list = append(list, r)
	}
	return t, list, nil
}

// deleted makes the records those of keys that are gone.
func deleted(records []backends.Record) {
	for i, r := range records {
		records[i] = backends.Record{Key: r.Key, Version: r.Version, Deleted: true}
	}
}

// build makes statements of the records for a while.
func (g *graph) build(b backends.Backend, t backends.Target, records []backends.Record) (rate, size float64, err error) {
	maker, ok := b.(builder)
	if !ok {
		return 0, 0, fmt.Errorf("a backend of type %s does not make statements", g.gauge.Behind.Type)
	}
	before, err := lab.OwnCPU()
	if err != nil {
		return 0, 0, err
	}
	all, bytes := 0, 0
	for end := time.Now().Add(g.Span(2*time.Second, 100*time.Millisecond)); time.Now().Before(end); {
		for from := 0; from < len(records); from += batchOf {
			part := records[from:min(from+batchOf, len(records))]
			rows, n, err := maker.Statements(t, part)
			if err != nil {
				return 0, 0, err
			}
			if rows != len(part) {
				return 0, 0, fmt.Errorf("%d records became %d rows", len(part), rows)
			}
			all, bytes = all+rows, bytes+n
		}
	}
	after, err := lab.OwnCPU()
	return float64(all) / (after - before).Seconds(), float64(bytes) / float64(all), err
}
