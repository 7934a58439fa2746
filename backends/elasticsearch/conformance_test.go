package elasticsearch

import (
	"maps"
	"net/url"
	"testing"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/backendtest"
	"github.com/outflow-db/outflow/internal/estest"
	"github.com/outflow-db/outflow/internal/pgtest"
)

// store opens a backend on the shared server, with names of its own, and with more settings.
func store(tb testing.TB, more map[string]any) *backend {
	tb.Helper()
	values := map[string]any{"addresses": estest.URL(tb), "prefix": estest.Prefix(tb)}
	maps.Copy(values, more)
	b, err := open(backends.Config{Name: "search", Type: Type, Settings: values})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// small keeps a test's index small.
func small(more map[string]any) map[string]any {
	values := map[string]any{"replicas": 0}
	maps.Copy(values, more)
	return values
}

var shapeSettings = map[backendtest.Shape]map[string]any{
	backendtest.Vector: {"fields": map[string]any{"embedding": map[string]any{"type": "dense_vector", "dims": 4}}},
	// The suite's real[] are of all sizes, and have NaN in them.
	backendtest.Types: {"fields": map[string]any{"c_reals": map[string]any{"type": "object", "enabled": false}}},
}

// The backend keeps its promises on a real server.
func TestConformance(t *testing.T) {
	t.Parallel()
	address, err := url.Parse(estest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	backendtest.Run(t, backendtest.Suite{
		Source:   pgtest.Empty,
		Open:     func(tb testing.TB) backends.Backend { tb.Helper(); return store(tb, nil) },
		Settings: func(shape backendtest.Shape) (map[string]any, bool) { return small(shapeSettings[shape]), true },
		Poison: func(r backends.Record) backends.Record {
			r.Doc = []byte(`{"name": {"an": "object"}}`)
			return r
		},
		PoisonShape: backendtest.Plain,
		Address:     address.Host,
		Through: func(tb testing.TB, proxy string) backends.Backend {
			tb.Helper()
			through := *address
			through.Host = proxy
			return store(tb, map[string]any{"addresses": through.String()})
		},
		Unreachable: func(tb testing.TB) backends.Backend {
			tb.Helper()
			return store(tb, map[string]any{"addresses": "http://127.0.0.1:1"})
		},
	})
}
