package stores

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/ast"
	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/nebula"
	"github.com/outflow-db/outflow/examples/gosource/gosource"
	"github.com/outflow-db/outflow/internal/benches/lab"
	"github.com/outflow-db/outflow/internal/nebulaserver"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// graph is a whole source tree in PostgreSQL that becomes vertices and edges of a stand-in in this process.
type graph struct {
	*lab.Lab
	pool   *pgxpool.Pool
	server *nebulaserver.Server
	gauge  *lab.Gauge
}

const space = "code"

// Graph measures how all symbols of a source tree become vertices and all its relations edges, how fast statements are
// built of them, which share of the time is Outflow's own, and how long the graph takes to say who calls a symbol, two
// steps out. It fails if verify finds a difference, or PostgreSQL gives another answer.
func Graph(ctx context.Context, l *lab.Lab) (rows []lab.Row, err error) {
	server, err := nebulaserver.Start(nebulaserver.Config{Forget: true}) //nolint:contextcheck // it runs until Close
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	g := &graph{Lab: l, server: server}
	g.gauge = &lab.Gauge{Behind: backends.Config{Type: nebula.Type, Settings: map[string]any{"addresses": server.Addr(), "space": space}}}
	if g.pool, err = l.Database(ctx, "graph", 24); err != nil {
		return nil, err
	}
	loaded, err := ast.Load(ctx, g.pool, l.Files(ctx, l.Size(0, 100), gosource.Options{NoEmbeddings: true}), ast.Options{})
	if err != nil {
		return nil, err
	}
	l.Say("%d symbols and %d relations are in PostgreSQL", loaded.Symbols.Inserted, loaded.Relations.Inserted)
	if _, err := g.pool.Exec(ctx, "vacuum analyze"); err != nil {
		return nil, fmt.Errorf("vacuum: %w", err)
	}
	for _, measure := range []func(context.Context) ([]lab.Row, error){g.statements, g.drain, g.agrees, g.callers} {
		more, err := measure(ctx)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// symbols become vertices.
func symbols() jobs.Projection {
	return jobs.Projection{
		Kind: "symbol", Backend: backend, Target: "symbol",
		Query: `select s.id::text as key, s.name, s.qualified, s.kind, f.path, s.line_start
  from ast.symbols s join ast.files f on f.id = s.file_id where s.id = any($1::text[]::uuid[])`,
	}
}

// relations become edges, of the type that the key says.
func relations() jobs.Projection {
	return jobs.Projection{
		Kind: "relation", Backend: backend, Target: "relation",
		Query: `select k.key from unnest($1::text[]) k (key)
  join ast.relations r on r.source = (k.key::jsonb->>0)::uuid and r.type = k.key::jsonb->>1 and r.target = (k.key::jsonb->>2)::uuid`,
		Settings: map[string]any{
			"edge":  map[string]any{"source": 0, "target": 2},
			"types": map[string]any{"column": 1, "names": []any{"calls", "references", "contains", "imports", "embeds"}},
		},
	}
}

const backend = "graph"

// config projects what it is given, and symbols at least.
func (g *graph) config(more ...jobs.Projection) jobs.Config {
	return jobs.Config{
		Pool: g.pool, Kinds: []outbox.Kind{lab.SymbolKind, {Name: "relation", Table: "ast.relations"}},
		Backends: []backends.Config{g.gauge.Config(backend)}, Projections: append([]jobs.Projection{symbols()}, more...),
	}
}

// drain fills the graph, vertices first, and measures the edges.
func (g *graph) drain(ctx context.Context) (rows []lab.Row, err error) {
	if err := g.Fill(ctx, g.config()); err != nil {
		return nil, err
	}
	vertices, _ := g.gauge.Records()
	g.Say("%d vertices are in the graph", vertices)
	c := g.config(relations())
	if err := jobs.Setup(ctx, c); err != nil {
		return nil, err
	}
	g.gauge.Reset()
	p := startProfile()
	e, err := g.Start(ctx, c)
	if err != nil {
		return nil, err
	}
	err = lab.CaughtUp(ctx, g.pool)
	shares, failed := p.stop()
	if err := errors.Join(err, failed, e.Stop()); err != nil {
		return nil, err
	}
	calls := g.gauge.Calls()
	edges, _ := g.gauge.Records()
	if edges == 0 {
		return nil, errors.New("no relation became an edge")
	}
	took := calls[len(calls)-1].End.Sub(calls[0].Start).Seconds()
	g.Say("%d edges are in the graph", edges)
	return append([]lab.Row{
		lab.Fact("graph: relations as edges", float64(edges)/took, "records/s").
			With(fmt.Sprintf("%d relations, %d symbols; the store is a stand-in in the same process", edges, vertices)),
	}, shares.rows("graph: while relations become edges")...), nil
}

// agrees compares the graph with PostgreSQL, record by record.
func (g *graph) agrees(ctx context.Context) ([]lab.Row, error) {
	report, err := jobs.Verify(ctx, g.config(relations()), jobs.VerifyOptions{})
	if err != nil {
		return nil, err
	}
	var records, differ int64
	for _, t := range report.Targets {
		records += t.Records
		differ += t.Missing + t.Extra + t.Different + t.Parked + t.InFlight
	}
	if !report.OK() || differ > 0 {
		return nil, fmt.Errorf("the graph differs from PostgreSQL: %+v", report)
	}
	return []lab.Row{lab.AtMost("graph: records that differ from PostgreSQL, by verify", float64(differ), "", 0).With(fmt.Sprintf("%d compared", records))}, nil
}
