package ast

import (
	"fmt"
	"testing"
)

// sized is a file as large as those of the Go tree are on average.
func sized(path string) *SourceFile {
	const symbols, relations, dimensions = 50, 135, 256
	f := &SourceFile{Repository: "bench", Path: path, Language: "go", Bytes: 12000, Lines: 300}
	for i := range symbols {
		v := make(Vector, dimensions)
		for j := range 20 {
			v[(i*31+j*j)%dimensions] = 1 / float32(j+1)
		}
		f.Symbols = append(f.Symbols, Symbol{
			Kind: "function", Name: fmt.Sprintf("Name%d", i), Qualified: fmt.Sprintf("%s.Name%d", path, i),
			Signature: "func (ctx context.Context, name string) (result []byte, err error)", Doc: "Does what its name says, and says what went wrong.",
			LineStart: i * 6, LineEnd: i*6 + 5, Embeddings: []Embedding{{"hash-256", v}},
		})
	}
	for i := range relations {
		target := f.Symbols[(i*7)%symbols].Ref()
		target.Path = fmt.Sprintf("%d.go", i)
		f.Relations = append(f.Relations, Relation{Source: f.Symbols[i%symbols].Ref(), Type: "calls", Target: target})
	}
	return f
}

// BenchmarkLoad loads files that are not there yet.
func BenchmarkLoad(b *testing.B) {
	w := newWorld(b)
	b.ResetTimer()
	r, err := Load(b.Context(), w.pool, func(yield func(*SourceFile, error) bool) {
		for i := 0; i < b.N && yield(sized(fmt.Sprintf("%d.go", i)), nil); i++ {
		}
	}, Options{})
	if err != nil || r.Refused > 0 {
		b.Fatal(err, r.Refused)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Minutes(), "files/min")
	b.ReportMetric(float64(r.Slowest.Milliseconds()), "ms-slowest")
}

// BenchmarkReload loads files again of which nothing has changed.
func BenchmarkReload(b *testing.B) {
	w := newWorld(b)
	files := make([]*SourceFile, 200)
	for i := range files {
		files[i] = sized(fmt.Sprintf("%d.go", i))
	}
	for _, recheck := range []bool{false, true} {
		b.Run(fmt.Sprintf("recheck=%v", recheck), func(b *testing.B) {
			for b.Loop() {
				if _, err := Load(b.Context(), w.pool, these(files...), Options{Recheck: recheck}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*len(files))/b.Elapsed().Minutes(), "files/min")
		})
	}
}
