package postgres

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/pgtest"
)

var symbolColumns = []backends.Column{
	{Name: "name", Type: "text"}, {Name: "file", Type: "text"}, {Name: "doc", Type: "text"}, {Name: "line", Type: "integer"},
}

var vocabulary = []string{
	"parse", "Config", "reads", "the", "file", "and", "returns", "an", "error", "HTTPServer", "when", "it", "is", "closed", "Buffer",
	"writes", "bytes", "to", "stream", "json", "Encoder", "value", "map", "of", "keys", "context", "cancelled", "timeout", "net", "Conn",
}

func symbol(r *rand.Rand, i int) []byte {
	words := func(n int) string {
		var s strings.Builder
		for range n {
			s.WriteString(vocabulary[r.IntN(len(vocabulary))] + " ")
		}
		return s.String()
	}
	doc, err := json.Marshal(map[string]any{
		"name": fmt.Sprintf("%s%s%d", vocabulary[r.IntN(30)], vocabulary[r.IntN(30)], i%5000),
		"file": fmt.Sprintf("src/net/http/file%d.go", i%7000), "doc": words(30), "line": i % 900,
	})
	if err != nil {
		panic(err)
	}
	return doc
}

func rawVector(v []float32) []byte {
	a := newArray(oidFloat4, 0)
	a.b[7] = 0
	for _, x := range v {
		a.elements(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 4}, math.Float32bits(x)), 1)
	}
	return a.encode()
}

// BenchmarkWrite writes batches of 1000 symbols with full text; records/s is the number to hold.
func BenchmarkWrite(b *testing.B) {
	for _, c := range []struct {
		name     string
		settings map[string]any
	}{{"plain", nil}, {"text", map[string]any{"text": []any{"name", "doc", "file"}}}} {
		b.Run(c.name, func(b *testing.B) {
			store, err := open(b.Context(), backends.Config{Name: "b", Settings: map[string]any{"url": pgtest.URL(b, pgtest.Empty(b))}})
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			t := backends.Target{Kind: "symbol", Name: "symbols", Columns: symbolColumns, Settings: c.settings}
			if err := store.Prepare(b.Context(), []backends.Target{t}); err != nil {
				b.Fatal(err)
			}
			r, n := rand.New(rand.NewPCG(1, 2)), 0
			for b.Loop() {
				b.StopTimer()
				records := make([]backends.Record, 1000)
				for i := range records {
					n++
					records[i] = backends.Record{Key: fmt.Sprintf("src/net/http/file%d.go#%d", n%7000, n), Version: 1, Doc: symbol(r, n)}
				}
				b.StartTimer()
				if _, err := store.Write(b.Context(), t, records); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
