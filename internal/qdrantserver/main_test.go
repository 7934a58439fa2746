package qdrantserver_test

import (
	"context"
	"strings"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/outflow-db/outflow/internal/qdrantserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lab is a server with a client of its own.
type lab struct {
	testing.TB
	*qdrantserver.Server
	*pb.GrpcClient
	ctx context.Context //nolint:containedctx // the test's
}

func newLab(tb testing.TB, options qdrantserver.Options, dial ...grpc.DialOption) lab {
	tb.Helper()
	s, err := qdrantserver.Start(options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Stop)
	if dial == nil {
		dial = []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	}
	conn, err := grpc.NewClient("passthrough:///"+s.Address(), dial...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return lab{tb, s, pb.NewGrpcClientFromConn(conn), tb.Context()}
}

// docs is a lab with a collection "docs" of two shards, with a dense, a sparse and a multiple vector.
func docs(tb testing.TB) lab {
	tb.Helper()
	l := newLab(tb, qdrantserver.Options{})
	l.must(l.Collections().Create(l.ctx, &pb.CreateCollection{
		CollectionName: "docs", ShardNumber: new(uint32(2)),
		VectorsConfig: pb.NewVectorsConfigMap(map[string]*pb.VectorParams{
			"dense": {Size: 2, Distance: pb.Distance_Cosine},
			"dot":   {Size: 2, Distance: pb.Distance_Dot},
			"near":  {Size: 2, Distance: pb.Distance_Euclid},
			"city":  {Size: 2, Distance: pb.Distance_Manhattan},
			"multi": {Size: 2, Distance: pb.Distance_Dot, MultivectorConfig: &pb.MultiVectorConfig{}},
		}),
		SparseVectorsConfig: pb.NewSparseVectorsConfig(map[string]*pb.SparseVectorParams{"sparse": {}}),
	}))
	return l
}

func (l lab) must(_ any, err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// refused wants an error of a code that says something.
func (l lab) refused(err error, code codes.Code, says string) {
	l.Helper()
	if status.Code(err) != code || !strings.Contains(err.Error(), says) {
		l.Errorf("got %v, want %s: %s", err, code, says)
	}
}

func (l lab) upsert(guard *pb.Filter, points ...*pb.PointStruct) {
	l.Helper()
	l.must(l.Points().Upsert(l.ctx, &pb.UpsertPoints{CollectionName: "docs", Wait: new(true), Points: points, UpdateFilter: guard}))
}

func point(id uint64, payload map[string]any, vectors map[string]*pb.Vector) *pb.PointStruct {
	return &pb.PointStruct{Id: pb.NewIDNum(id), Payload: pb.NewValueMap(payload), Vectors: pb.NewVectorsMap(vectors)}
}

// get is a point's payload; nil if it is not there.
func (l lab) get(id uint64) *pb.RetrievedPoint {
	l.Helper()
	answer, err := l.Points().Get(l.ctx, &pb.GetPoints{
		CollectionName: "docs", Ids: []*pb.PointId{pb.NewIDNum(id)}, WithPayload: pb.NewWithPayload(true), WithVectors: pb.NewWithVectors(true),
	})
	l.must(answer, err)
	if len(answer.Result) == 0 {
		return nil
	}
	return answer.Result[0]
}

// found are the ids that a filter lets through.
func (l lab) found(f *pb.Filter) []uint64 {
	l.Helper()
	answer, err := l.Points().Scroll(l.ctx, &pb.ScrollPoints{CollectionName: "docs", Filter: f, Limit: new(uint32(1000))})
	l.must(answer, err)
	return numbers(answer.Result)
}

func numbers(points []*pb.RetrievedPoint) []uint64 {
	ids := []uint64{}
	for _, p := range points {
		ids = append(ids, p.Id.GetNum())
	}
	return ids
}
