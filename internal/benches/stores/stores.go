// Package stores measures Elasticsearch, Qdrant and NebulaGraph: how fast an engine empties a backlog into them, against a
// loop by hand and against single writes; how long a change takes until it can be read, against a synchronous writer;
// health checks and new connections.
//
// Elasticsearch is a real one; the others are stand-ins in this process, which cost less than a real server.
package stores

import (
	"context"
	"errors"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/elasticsearch"
	"github.com/outflow-db/outflow/backends/nebula"
	"github.com/outflow-db/outflow/backends/qdrant"
	"github.com/outflow-db/outflow/internal/benches/drain"
	"github.com/outflow-db/outflow/internal/benches/lab"
	"github.com/outflow-db/outflow/internal/benches/latency"
	"github.com/outflow-db/outflow/internal/benches/reach"
	"github.com/outflow-db/outflow/internal/esserver"
	"github.com/outflow-db/outflow/internal/nebulaserver"
	"github.com/outflow-db/outflow/internal/qdrantserver"
)

const rounds = 4 // even: each contender goes first as often

// Elasticsearch measures it.
func Elasticsearch(ctx context.Context, l *lab.Lab) (rows []lab.Row, err error) {
	server, err := esserver.Start(ctx, esserver.Config{Heap: "1g"})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	one := map[string]any{"replicas": 0}
	return all(ctx, l, lab.Store{
		Bench: "elasticsearch", Symbols: one, Items: one, Batch: 1000, Rounds: rounds,
		At: func(instance string) backends.Config {
			return backends.Config{Type: elasticsearch.Type, Settings: map[string]any{"addresses": server.URL(), "prefix": instance + "-"}}
		},
	})
}

// Qdrant measures it, with vectors.
func Qdrant(ctx context.Context, l *lab.Lab) ([]lab.Row, error) {
	server, err := qdrantserver.Start(qdrantserver.Options{})
	if err != nil {
		return nil, err
	}
	defer server.Stop()
	vector := map[string]any{"size": lab.Dimensions, "distance": "Cosine"}
	return all(ctx, l, lab.Store{
		Bench: "qdrant", Vectors: true, Batch: 256, Rounds: rounds,
		Symbols: map[string]any{"vectors": map[string]any{"vector": vector}}, Items: map[string]any{"vectors": map[string]any{}},
		At: func(instance string) backends.Config {
			return backends.Config{Type: qdrant.Type, Settings: map[string]any{"addresses": server.Address(), "prefix": instance + "-"}}
		},
	})
}

// Nebula measures NebulaGraph.
func Nebula(ctx context.Context, l *lab.Lab) (rows []lab.Row, err error) {
	server, err := nebulaserver.Start(nebulaserver.Config{}) //nolint:contextcheck // it runs until Close
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	return all(ctx, l, lab.Store{
		Bench: "nebula", Batch: 1000, Rounds: rounds,
		At: func(instance string) backends.Config {
			return backends.Config{Type: nebula.Type, Settings: map[string]any{"addresses": server.Addr(), "space": instance}}
		},
	})
}

func all(ctx context.Context, l *lab.Lab, store lab.Store) (rows []lab.Row, err error) {
	for _, measure := range []func(context.Context, *lab.Lab, lab.Store) ([]lab.Row, error){reach.Into, drain.Into, latency.Into} {
		more, err := measure(ctx, l, store)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}
