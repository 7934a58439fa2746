package nebula

import (
	"maps"
	"testing"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/backendtest"
	"github.com/outflow-db/outflow/internal/nebulatest"
	"github.com/outflow-db/outflow/internal/pgtest"
)

type dict = map[string]any

// opened opens a backend on a server, in a space of its own, and with more settings. It is closed at the end of the
// test.
func opened(tb testing.TB, s nebulatest.Server, more dict) *backend {
	tb.Helper()
	values := dict{"addresses": s.Addr, "user": s.User, "password": s.Password, "space": s.Space(tb), "partitions": 5}
	maps.Copy(values, more)
	b, err := open(backends.Config{Name: "graph", Type: Type, Settings: values})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = b.Close() })
	return b
}

// The suite has values in these columns that the property types of their own do not: infinity, years before Christ,
// 24 o'clock.
var wideTypes = dict{"properties": dict{
	"c_date": "STRING", "c_time": "string", "c_timestamp": "STRING", "c_timestamptz": "STRING",
}}

// The backend keeps its promises, with vertices and with edges, on the stand-in or on the server that is named.
func TestConformance(t *testing.T) {
	t.Parallel()
	for name, base := range map[string]dict{
		"vertices": {},
		// An edge of each record's id to itself: the suite's keys have one column.
		"edges": {"edge": dict{"source": 0, "target": 0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := nebulatest.Open(t)
			backendtest.Run(t, backendtest.Suite{
				Source: pgtest.Empty,
				Open:   func(tb testing.TB) backends.Backend { tb.Helper(); return opened(tb, server, nil) },
				Settings: func(shape backendtest.Shape) (dict, bool) {
					settings := maps.Clone(base)
					if shape == backendtest.Types {
						maps.Copy(settings, wideTypes)
					}
					return settings, true
				},
				Poison: func(r backends.Record) backends.Record {
					r.Doc = []byte(`{"name": "x", "n": "no number", "note": null}`)
					return r
				},
				PoisonShape: backendtest.Plain,
				Address:     server.Addr,
				Through: func(tb testing.TB, proxy string) backends.Backend {
					tb.Helper()
					return opened(tb, server, dict{"addresses": proxy})
				},
				Denied: func(tb testing.TB) backends.Backend {
					tb.Helper()
					return opened(tb, server, dict{"password": "wrong"})
				},
				Unreachable: func(tb testing.TB) backends.Backend {
					tb.Helper()
					return opened(tb, server, dict{"addresses": "127.0.0.1:1"})
				},
				HugeValue: 1 << 20,
			})
		})
	}
}
