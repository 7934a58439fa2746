package nebula

import (
	"fmt"
	"testing"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/nebulaserver"
)

// edges are n relations between symbols whose keys are UUIDs, as the model of source code has them.
func edges(n int) []backends.Record {
	records := make([]backends.Record, n)
	for i := range records {
		records[i] = record(fmt.Sprintf(`["%08x-1111-4222-8333-444444444444", "calls", "%08x-5555-4666-8777-888888888888"]`, i, i*7919%n), 1,
			fmt.Sprintf(`{"via": "name%d"}`, i))
	}
	return records
}

// BenchmarkBuild is the making of statements alone: rows per second and core.
func BenchmarkBuild(b *testing.B) {
	records := edges(maxRecords)
	deletes := make([]backends.Record, len(records))
	for i, r := range records {
		deletes[i] = backends.Record{Key: r.Key, Version: r.Version, Deleted: true}
	}
	for name, list := range map[string][]backends.Record{"insert": records, "delete": deletes} {
		b.Run(name, func(b *testing.B) {
			g := plainly(b, nil)
			b.ReportAllocs()
			for b.Loop() {
				if rows, _, err := g.Statements(calls(), list); err != nil || rows != len(list) {
					b.Fatal(rows, err)
				}
			}
			b.ReportMetric(float64(b.N*len(records))/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkWrite is writes to the server in the process, which takes most of the time.
func BenchmarkWrite(b *testing.B) {
	_, at := server(b, nebulaserver.Config{})
	g := opened(b, at, nil)
	g.mustPrepare(b, calls())
	records := edges(maxRecords)
	b.ReportAllocs()
	for b.Loop() {
		g.mustWrite(b, calls(), records...)
	}
	b.ReportMetric(float64(b.N*len(records))/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkEnds is the search for ends that are there, of edges by the page: those that are asked for, of which the server
// takes most of the time, and those that are remembered.
func BenchmarkEnds(b *testing.B) {
	_, at := server(b, nebulaserver.Config{})
	g := opened(b, at, nil)
	g.mustPrepare(b, symbols(), calls())
	records := edges(maxRecords)
	keys := make([]string, len(records))
	for i, r := range records {
		keys[i] = r.Key
		g.mustWrite(b, symbols(), symbol(r.Key[2:38], 1), symbol(r.Key[51:87], 1))
	}
	for name, again := range map[string]bool{"asked": true, "remembered": false} {
		b.Run(name, func(b *testing.B) {
			e := g.search(b, calls(), symbols(), calls())
			b.ReportAllocs()
			for b.Loop() {
				if again {
					e.known = known{most: knownMost}
				}
				if got := e.missing(b, keys...); len(got) > 0 {
					b.Fatal(len(got), " are missing, such as ", got[0])
				}
			}
			b.ReportMetric(float64(b.N*len(keys))/b.Elapsed().Seconds(), "edges/s")
		})
	}
}

// BenchmarkHealth is a health check over a session that is there, BenchmarkConnect one that begins and ends a session.
func BenchmarkHealth(b *testing.B) {
	_, at := server(b, nebulaserver.Config{})
	g := opened(b, at, nil)
	for b.Loop() {
		if err := g.Health(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkConnect is a new session: a connection, a login and a first statement.
func BenchmarkConnect(b *testing.B) {
	_, at := server(b, nebulaserver.Config{})
	for b.Loop() {
		g := plainly(b, dict{"addresses": at.Addr})
		if err := g.Health(b.Context()); err != nil {
			b.Fatal(err)
		}
		_ = g.Close()
	}
}
