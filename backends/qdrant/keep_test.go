package qdrant

import (
	"fmt"
	"slices"
	"testing"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/backendtest"
	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/internal/qdrantserver"
	"github.com/outflow-db/outflow/internal/qdranttest"
)

// keeping is a target that does not resend vectors.
func keeping() backends.Target {
	t := vectors()
	t.Settings["resend_vectors"] = false
	return t
}

// A backend that does not resend vectors keeps the same promises.
func TestConformanceKeeping(t *testing.T) {
	t.Parallel()
	backendtest.Run(t, backendtest.Suite{
		Source: pgtest.Empty,
		Open:   func(tb testing.TB) backends.Backend { tb.Helper(); return store(tb, nil) },
		Base:   backendtest.Vector,
		Settings: func(shape backendtest.Shape) (map[string]any, bool) {
			return map[string]any{"vectors": shapeSettings[backendtest.Vector]["vectors"], "resend_vectors": false}, shape == backendtest.Vector
		},
		Address: qdranttest.Open(t),
		Through: func(tb testing.TB, proxy string) backends.Backend {
			tb.Helper()
			return store(tb, map[string]any{"addresses": proxy})
		},
	})
}

// sent counts the points that are sent whole from now on.
func sent(s *qdrantserver.Server) func() int {
	before := s.Upserted()
	return func() int { return s.Upserted() - before }
}

// When only the payload changed, no vector is sent, and the stored one stays; when it changed, it is.
func TestPayloadOnly(t *testing.T) {
	t.Parallel()
	b, s, _ := faulty(t)
	to := keeping()
	b.mustWrite(t, to, record("a", 1, 1, 2), record("b", 1, 1, 2), record("c", 1))
	count := sent(s)
	b.mustWrite(t, to, record("a", 2, 1, 2), record("b", 2, 3, 4), record("c", 2), gone("none", 2))
	if n := count(); n != 1 {
		t.Errorf("%d points were sent whole, want that of b", n)
	}
	for key, want := range map[string][]float32{"a": {1, 2}, "b": {3, 4}, "c": nil} {
		p := b.all(t, to)[key]
		if got := p.Vectors.GetVectors().GetVectors()["v"].GetDense().GetData(); !slices.Equal(got, want) || p.Payload["name"].GetStringValue() != key+" of 2" {
			t.Errorf("%s is %v", key, p)
		}
	}
}

// What changes between the look and the write is not overwritten, and not taken for written.
func TestPayloadOnlyRaces(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		meanwhile backends.Record
		want      backends.Result
		vector    []float32
	}{
		"deleted":       {gone("a", 2), backends.Result{}, []float32{1, 2}},
		"other vectors": {record("a", 2, 3, 4), backends.Result{}, []float32{1, 2}},
		"newer":         {record("a", 4, 1, 2), backends.Result{Outcome: backends.Stale, Stored: 4}, []float32{1, 2}},
		"newer vectors": {record("a", 4, 3, 4), backends.Result{Outcome: backends.Stale, Stored: 4}, []float32{3, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, s, _ := faulty(t)
			to, other := keeping(), opened(t, map[string]any{"addresses": s.Address()}, nil)
			b.mustWrite(t, to, record("a", 1, 1, 2))
			held, answer := make(chan struct{}), make(chan []backends.Result)
			s.Fail(qdrantserver.Fault{Method: "UpdateBatch", Trouble: qdrantserver.Hold, Times: 1, Seen: func() { close(held) }})
			go func() {
				results, err := b.Write(t.Context(), to, []backends.Record{record("a", 3, 1, 2)})
				if err != nil {
					t.Error(err)
				}
				answer <- results
			}()
			<-held
			other.mustWrite(t, to, c.meanwhile)
			s.Heal()
			if got := <-answer; len(got) != 1 || got[0] != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if got := b.all(t, to)["a"].Vectors.GetVectors().GetVectors()["v"].GetDense().GetData(); !slices.Equal(got, c.vector) {
				t.Errorf("the vector is %v", got)
			}
		})
	}
}

// What cannot be looked at before or after is told, with the class of what may have been done.
func TestPayloadOnlyFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method string
		after  int
		class  backends.Class
	}{"look": {"Get", 0, backends.Transient}, "write": {"UpdateBatch", 0, backends.Transient}, "look again": {"Get", 1, backends.Unknown}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, s, _ := faulty(t)
			b.mustWrite(t, keeping(), record("a", 1, 1, 2))
			s.Fail(qdrantserver.Fault{Method: c.method, After: c.after, Err: qdrantserver.Unavailable()})
			if _, err := b.Write(t.Context(), keeping(), []backends.Record{record("a", 2, 1, 2)}); backends.ClassOf(err) != c.class {
				t.Errorf("got %v, want %s", err, c.class)
			}
		})
	}
}

// BenchmarkPayloadOnly compares changes of the payload alone, with vectors of 1536 elements: resent, and not.
func BenchmarkPayloadOnly(b *testing.B) {
	for _, resend := range []bool{true, false} {
		b.Run(fmt.Sprintf("resend=%v", resend), func(b *testing.B) {
			s := qdranttest.Server(b, qdrantserver.Options{})
			to := vectors()
			to.Settings = dict{"vectors": dict{"v": dict{"size": 1536, "distance": "Dot"}}, "resend_vectors": resend}
			backend := opened(b, map[string]any{"addresses": s.Address()}, nil)
			backend.mustPrepare(b, to)
			records, vector := make([]backends.Record, 256), make([]float32, 1536)
			for i := range records {
				records[i] = record(fmt.Sprint(i), 1, vector...)
			}
			backend.mustWrite(b, to, records...)
			for b.Loop() {
				for i := range records {
					records[i].Version++
				}
				backend.mustWrite(b, to, records...)
			}
			b.ReportMetric(float64(b.N*len(records))/b.Elapsed().Seconds(), "records/s")
		})
	}
}
