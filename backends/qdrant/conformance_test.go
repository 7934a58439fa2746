package qdrant

import (
	"encoding/binary"
	"maps"
	"testing"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/backendtest"
	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/internal/qdrantserver"
	"github.com/outflow-db/outflow/internal/qdranttest"
)

// store opens a backend on the shared server, with names of its own, and with more settings. It is closed at the
// end of the test.
func store(tb testing.TB, more map[string]any) *backend {
	tb.Helper()
	values := map[string]any{"addresses": qdranttest.Open(tb), "prefix": qdranttest.Prefix(tb)}
	if key := qdranttest.APIKey(); key != "" {
		values["api_key"] = key
	}
	return opened(tb, values, more)
}

func opened(tb testing.TB, values, more map[string]any) *backend {
	tb.Helper()
	maps.Copy(values, more)
	b, err := open(backends.Config{Name: "vectors", Type: Type, Settings: values})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = b.Close() })
	return b
}

var shapeSettings = map[backendtest.Shape]map[string]any{
	backendtest.Vector: {"vectors": map[string]any{"embedding": map[string]any{"size": 4, "distance": "Dot"}}},
	// The suite's real[] are of all sizes, and have NaN in them.
	backendtest.Types: {"vectors": map[string]any{}},
}

// The backend keeps its promises, on the stand-in or on the server that is named.
func TestConformance(t *testing.T) {
	t.Parallel()
	backendtest.Run(t, backendtest.Suite{
		Source:   pgtest.Empty,
		Open:     func(tb testing.TB) backends.Backend { tb.Helper(); return store(tb, nil) },
		Settings: func(shape backendtest.Shape) (map[string]any, bool) { return shapeSettings[shape], true },
		Poison: func(r backends.Record) backends.Record {
			r.Raw = [][]byte{reals(1, 2, 3)}
			return r
		},
		PoisonShape: backendtest.Vector,
		Address:     qdranttest.Open(t),
		Through: func(tb testing.TB, proxy string) backends.Backend {
			tb.Helper()
			return store(tb, map[string]any{"addresses": proxy})
		},
		Denied: func(tb testing.TB) backends.Backend {
			tb.Helper()
			s := qdranttest.Server(tb, qdrantserver.Options{APIKey: "right"})
			return opened(tb, map[string]any{"addresses": s.Address(), "api_key": "wrong"}, nil)
		},
		Unreachable: func(tb testing.TB) backends.Backend {
			tb.Helper()
			return store(tb, map[string]any{"addresses": "127.0.0.1:1"})
		},
	})
}

// reals is a real[] as PostgreSQL sends it.
func reals(list ...float32) []byte {
	raw := binary.BigEndian.AppendUint32(nil, 1)
	raw = binary.BigEndian.AppendUint32(raw, 0)
	raw = binary.BigEndian.AppendUint32(raw, oidFloat4)
	raw = binary.BigEndian.AppendUint32(raw, uint32(len(list)))
	raw = binary.BigEndian.AppendUint32(raw, 1)
	for _, v := range list {
		raw = binary.BigEndian.AppendUint32(raw, 4)
		raw, _ = binary.Append(raw, binary.BigEndian, v)
	}
	return raw
}
