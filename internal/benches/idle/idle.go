// Package idle measures what an engine with three backends costs that has nothing to do: the processor time of its
// process and of PostgreSQL, beside that of a server that nobody uses.
package idle

import (
	"context"
	"errors"
	"time"

	"github.com/outflow-db/outflow/backends"
	_ "github.com/outflow-db/outflow/backends/postgres" // the stores
	"github.com/outflow-db/outflow/internal/benches/lab"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// share is what was used, in percent of a core.
type share struct{ worker, server float64 }

// Run measures.
func Run(ctx context.Context, l *lab.Lab) ([]lab.Row, error) {
	c, err := setUp(ctx, l)
	if err != nil {
		return nil, err
	}
	alone, err := measure(ctx, l)
	if err != nil {
		return nil, err
	}
	e, err := l.Start(ctx, c)
	if err != nil {
		return nil, err
	}
	idle, err := measure(ctx, l)
	if err := errors.Join(err, e.Stop()); err != nil {
		return nil, err
	}
	return []lab.Row{
		lab.AtMost("idle: engine with three backends, its process and PostgreSQL", idle.worker+idle.server, "% of a core", 1),
		lab.Fact("idle: its process", idle.worker, "% of a core"),
		lab.Fact("idle: PostgreSQL", idle.server, "% of a core"),
		lab.Fact("idle: PostgreSQL without an engine", alone.server, "% of a core"),
	}, nil
}

// setUp fills three backends with a few records.
func setUp(ctx context.Context, l *lab.Lab) (c jobs.Config, err error) {
	if c.Pool, err = l.Database(ctx, "source", 16); err != nil {
		return c, err
	}
	if _, err = c.Pool.Exec(ctx, `create schema bench;
create table bench.items (id bigint primary key, name text not null);
insert into bench.items select i, 'item ' || i from generate_series(1, 1000) i`); err != nil {
		return c, err
	}
	c.Kinds = []outbox.Kind{{Name: "item", Table: "bench.items"}}
	for _, name := range []string{"search", "vectors", "graph"} {
		if _, err := l.Empty(ctx, name, 1); err != nil {
			return c, err
		}
		c.Backends = append(c.Backends, backends.Config{Name: name, Type: "postgres", Settings: map[string]any{"url": l.Server.URL(name)}})
		c.Projections = append(c.Projections, jobs.Projection{
			Kind: "item", Backend: name, Target: "items",
			Query: `select i.id::text as key, i.name from bench.items i where i.id = any($1::text[]::bigint[])`,
		})
	}
	return c, l.Fill(ctx, c)
}

// measure takes what is used, once everything has come to rest.
func measure(ctx context.Context, l *lab.Lab) (s share, err error) {
	if err := l.Calm(ctx); err != nil {
		return s, err
	}
	if err := lab.Rest(ctx, l.Span(10*time.Second, time.Second)); err != nil {
		return s, err
	}
	m, err := l.Meter()
	if err != nil {
		return s, err
	}
	begun := time.Now()
	if err := lab.Rest(ctx, l.Span(30*time.Second, time.Second)); err != nil {
		return s, err
	}
	worker, server, err := m.Read()
	percent := func(d time.Duration) float64 { return 100 * float64(d) / float64(time.Since(begun)) }
	return share{percent(worker), percent(server)}, err
}
