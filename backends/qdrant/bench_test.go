package qdrant

import (
	"encoding/json"
	"fmt"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/qdrantserver"
	"github.com/outflow-db/outflow/internal/qdranttest"
)

// BenchmarkWrite compares Write with upserts as anybody would send them, 256 records with a vector of 256 elements each.
func BenchmarkWrite(b *testing.B) {
	to := vectors()
	to.Settings = dict{"vectors": dict{"v": dict{"size": 256, "distance": "Dot"}}}
	records, vector := make([]backends.Record, 256), make([]float32, 256)
	for i := range records {
		records[i] = record(fmt.Sprint(i), 1, vector...)
		records[i].Doc = fmt.Appendf(nil, `{"id": %d, "name": "Name%d", "path": "src/net/http/server.go", "kind": "function", "line": %d, "doc": "what it does", "exported": true}`, i, i, i)
	}
	for name, write := range map[string]func(*backend){
		"guarded": func(backend *backend) { backend.mustWrite(b, to, records...) },
		"plain":   func(backend *backend) { plain(b, backend, records) },
	} {
		b.Run(name, func(b *testing.B) {
			s := qdranttest.Server(b, qdrantserver.Options{})
			backend := opened(b, map[string]any{"addresses": s.Address()}, nil)
			backend.mustPrepare(b, to)
			b.ReportAllocs()
			for b.Loop() {
				for i := range records {
					records[i].Version++
				}
				write(backend)
			}
			b.ReportMetric(float64(b.N*len(records))/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// plain upserts without a guard.
func plain(tb testing.TB, b *backend, records []backends.Record) {
	tb.Helper()
	points := make([]*pb.PointStruct, len(records))
	for i, r := range records {
		var doc map[string]any
		if err := json.Unmarshal(r.Doc, &doc); err != nil {
			tb.Fatal(err)
		}
		m, err := readArray(r.Raw[0])
		if err != nil {
			tb.Fatal(err)
		}
		points[i] = &pb.PointStruct{Id: pb.NewIDNum(uint64(i)), Payload: pb.NewValueMap(doc), Vectors: pb.NewVectorsMap(map[string]*pb.Vector{"v": pb.NewVectorDense(m.all)})}
	}
	if _, err := b.points.Upsert(tb.Context(), &pb.UpsertPoints{CollectionName: "symbols", Wait: new(true), Points: points}); err != nil {
		tb.Fatal(err)
	}
}
