package faults_test

import (
	"context"
	"testing"
	"time"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/qdrant"
	"github.com/outflow-db/outflow/integration/faults"
	"github.com/outflow-db/outflow/internal/qdrantserver"
	"github.com/outflow-db/outflow/internal/qdranttest"
	"github.com/outflow-db/outflow/jobs"
)

// vectors is a crowd whose store is a Qdrant behind a proxy: nodes with two named vectors, links without any.
type vectors struct {
	*crowd
	server *qdrantserver.Server // nil: a real one
	proxy  *faults.Proxy
	client *pb.GrpcClient
	prefix string
}

const vectorQuery = `select id as key, v, a, b from node where id = any($1::text[]::int[])`

func vectorSettings(a int) map[string]any {
	return map[string]any{"vectors": map[string]any{"a": map[string]any{"size": a, "distance": "Cosine"}, "b": map[string]any{"size": 2, "distance": "Euclid"}}}
}

// newVectors runs an engine on the shared server, which may be a real one that is named, or on a stand-in of its own.
func newVectors(t *testing.T, named bool) *vectors {
	t.Helper()
	v := &vectors{prefix: qdranttest.Prefix(t)}
	address := qdranttest.Open(t)
	if !named {
		v.server = qdranttest.Server(t, qdrantserver.Options{})
		address = v.server.Address()
	}
	v.proxy, v.client = faults.New(t, address), qdranttest.Client(t, address)
	v.crowd = newCrowd(t,
		backends.Config{Name: "vectors", Type: qdrant.Type, Settings: map[string]any{"addresses": v.proxy.Addr(), "api_key": qdranttest.APIKey(), "prefix": v.prefix}},
		jobs.Projection{Kind: "node", Backend: "vectors", Target: "node", Query: vectorQuery, Settings: vectorSettings(3)},
		jobs.Projection{Kind: "link", Backend: "vectors", Target: "link", Query: linkQuery, Settings: map[string]any{"vectors": map[string]any{}}})
	return v
}

// Random writers, and a connection that is cut, freezes and is refused: in the end verify finds what PostgreSQL has.
func TestEngineQdrantNetwork(t *testing.T) {
	t.Parallel()
	v := newVectors(t, true)
	v.storm(10, func(i int) {
		[]func(){
			v.proxy.Cut, v.proxy.Freeze, func() { v.proxy.CutAfter(3000) }, func() { v.proxy.Refuse(true) }, func() { v.proxy.SetLatency(20 * time.Millisecond) },
		}[i%5]()
	}, func() {
		v.proxy.Thaw()
		v.proxy.Refuse(false)
		v.proxy.SetLatency(0)
		v.proxy.CutAfter(0)
	})
}

// The same with a server that restarts, loses answers, applies late what its caller has given up, and has no room.
func TestEngineQdrantServer(t *testing.T) {
	t.Parallel()
	v := newVectors(t, false)
	v.storm(16, func(i int) {
		[]func(){
			func() {
				v.server.Stop()
				if err := v.server.Restart(); err != nil {
					t.Error(err)
				}
			},
			func() { v.server.Fail(qdrantserver.Fault{Trouble: qdrantserver.CutAfter, Method: "Upsert", Times: 2}) },
			func() { v.server.Fail(qdrantserver.Fault{Trouble: qdrantserver.ApplyLate, Method: "Upsert", Times: 1}) },
			func() { v.server.Fail(qdrantserver.Fault{Trouble: qdrantserver.HoldAfter, Method: "Delete", Times: 1}) },
			func() {
				v.server.Fail(qdrantserver.Fault{Trouble: qdrantserver.Refuse, Err: qdrantserver.Exhausted(), RetryAfter: time.Second, Times: 1})
			},
			func() {
				v.server.Fail(qdrantserver.Fault{Trouble: qdrantserver.Refuse, Err: qdrantserver.DiskFull(), Method: "Upsert", Times: 2})
			},
			v.server.Cut,
			func() { v.server.Fail(qdrantserver.Fault{Trouble: qdrantserver.CutBefore, Times: 3}) },
		}[i%8]()
	}, v.server.Heal)
}

// A new embedding model, of another dimension, is filled beside under constant writes and deletes: in the end every point
// of what readers see has the new vector, and there is one for every row.
func TestReembedding(t *testing.T) {
	t.Parallel()
	v := newVectors(t, true)
	for range 10 {
		v.change()
	}
	v.exec(`alter table node add c real[] default '{1,2,3,4,5}'`)
	v.exec(`update node set c = array[id, 2, 3, 4, 5]`)
	stop := v.writers()
	defer stop()
	v.c.Projections[0].Query = `select id as key, v, c as a, b from node where id = any($1::text[]::int[])`
	v.c.Projections[0].Settings = vectorSettings(5)
	if err := jobs.BeginRebuild(t.Context(), v.c, "vectors", "node"); err != nil {
		t.Fatal(err)
	}
	v.until(`select generation = 2 from outbox.projections where kind = 'node'`)
	v.run() // a worker with the new definition; the first one leaves the backend to it
	v.until(`select dropping is null from outbox.projections where kind = 'node'`)
	stop()
	v.settled()
	v.embedded(t.Context(), 5)
}

// embedded checks that every row of nodes has its point, with a vector of this size, and that there is no other.
func (v *vectors) embedded(ctx context.Context, size int) {
	v.t.Helper()
	var want int
	if err := v.source.QueryRow(ctx, `select count(*) from node`).Scan(&want); err != nil {
		v.t.Fatal(err)
	}
	limit := uint32(10_000)
	answer, err := v.client.Points().Scroll(ctx, &pb.ScrollPoints{
		CollectionName: v.prefix + "node", Limit: &limit, WithVectors: &pb.WithVectorsSelector{SelectorOptions: &pb.WithVectorsSelector_Enable{Enable: true}},
	})
	if err != nil {
		v.t.Fatal(err)
	}
	points := answer.GetResult()
	if len(points) != want || want == 0 {
		v.t.Errorf("%d points, %d rows", len(points), want)
	}
	for _, p := range points {
		vector := p.GetVectors().GetVectors().GetVectors()["a"]
		n := max(len(vector.GetDense().GetData()), len(vector.GetData())) //nolint:staticcheck // older servers answer so
		if n != size {
			v.t.Errorf("point %v has a vector of %d numbers", p.GetId(), n)
		}
	}
	collections, err := v.client.Collections().List(ctx, &pb.ListCollectionsRequest{})
	if err != nil {
		v.t.Fatal(err)
	}
	for _, c := range collections.GetCollections() {
		if c.GetName() == v.prefix+"node@1" {
			v.t.Error("the former collection is still there")
		}
	}
}
