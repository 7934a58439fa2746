package qdrantserver_test

import (
	"slices"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
)

// space is a lab with three points in the plane, and a sparse and multiple vector each.
func space(tb testing.TB) lab {
	tb.Helper()
	l := docs(tb)
	for id, at := range map[uint64][]float32{1: {1, 0}, 2: {0, 2}, 3: {3, 3}} {
		l.upsert(nil, point(id, map[string]any{"n": int64(10 - id)}, map[string]*pb.Vector{
			"dense": pb.NewVectorDense(at), "dot": pb.NewVectorDense(at), "near": pb.NewVectorDense(at), "city": pb.NewVectorDense(at),
			"sparse": pb.NewVectorSparse([]uint32{uint32(id), 100}, []float32{1, float32(id)}),
			"multi":  pb.NewVectorMulti([][]float32{at, {0, 0}}),
		}))
	}
	l.upsert(nil, point(4, nil, nil)) // without any
	return l
}

func scored(points []*pb.ScoredPoint) []uint64 {
	ids := []uint64{}
	for _, p := range points {
		ids = append(ids, p.Id.GetNum())
	}
	return ids
}

// The nearest points are found by each distance, exactly and in order.
func TestNearest(t *testing.T) {
	t.Parallel()
	l := space(t)
	for name, c := range map[string]struct {
		query *pb.Query
		using string
		want  []uint64
	}{
		"cosine":    {pb.NewQuery(0, 1), "dense", []uint64{2, 3, 1}},
		"dot":       {pb.NewQuery(1, 0), "dot", []uint64{3, 1, 2}},
		"euclid":    {pb.NewQuery(1, 0), "near", []uint64{1, 2, 3}},
		"manhattan": {pb.NewQuery(0, 1), "city", []uint64{2, 1, 3}},
		"a point":   {pb.NewQueryID(pb.NewIDNum(2)), "near", []uint64{2, 1, 3}},
		"sparse":    {pb.NewQuerySparse([]uint32{2, 100}, []float32{5, 1}), "sparse", []uint64{2, 3, 1}},
		"no index":  {pb.NewQuerySparse([]uint32{50}, []float32{5}), "sparse", []uint64{}},
		"multi":     {pb.NewQueryMulti([][]float32{{0, 1}, {0, 2}}), "multi", []uint64{3, 2, 1}},
		"none":      {nil, "", []uint64{1, 2, 3, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer, err := l.Points().Query(t.Context(), &pb.QueryPoints{CollectionName: "docs", Query: c.query, Using: &c.using})
			if err != nil {
				t.Fatal(err)
			}
			if got := scored(answer.Result); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// A search can be filtered, cut by score and paged, and tells what is asked for.
func TestSearch(t *testing.T) {
	t.Parallel()
	l := space(t)
	search := func(r *pb.SearchPoints) []*pb.ScoredPoint {
		t.Helper()
		r.CollectionName, r.VectorName = "docs", new("near")
		r.Vector = []float32{1, 0}
		answer, err := l.Points().Search(l.ctx, r)
		l.must(answer, err)
		return answer.Result
	}
	for _, c := range []struct {
		got  []*pb.ScoredPoint
		want []uint64
	}{
		{search(&pb.SearchPoints{Limit: 2}), []uint64{1, 2}},
		{search(&pb.SearchPoints{Limit: 2, Offset: new(uint64(1))}), []uint64{2, 3}},
		{search(&pb.SearchPoints{Limit: 9, ScoreThreshold: new(float32(2.5))}), []uint64{1, 2}},
		{search(&pb.SearchPoints{Limit: 9, Filter: all(pb.NewMatchInt("n", 7))}), []uint64{3}},
	} {
		if got := scored(c.got); !slices.Equal(got, c.want) {
			t.Errorf("got %v, want %v", got, c.want)
		}
	}
	one := search(&pb.SearchPoints{Limit: 1, WithPayload: pb.NewWithPayloadExclude("m"), WithVectors: pb.NewWithVectorsInclude("dot")})[0]
	if one.Payload["n"].GetIntegerValue() != 9 || len(one.Vectors.GetVectors().Vectors) != 1 {
		t.Errorf("got %v", one)
	}
	sparse, err := l.Points().Search(l.ctx, &pb.SearchPoints{CollectionName: "docs", Limit: 1, VectorName: new("sparse"), Vector: []float32{1}, SparseIndices: &pb.SparseIndices{Data: []uint32{3}}})
	if err != nil || !slices.Equal(scored(sparse.Result), []uint64{3}) {
		t.Errorf("got %v, %v", sparse, err)
	}
}

// What cannot be looked for is an error.
func TestBadQueries(t *testing.T) {
	t.Parallel()
	l := space(t)
	for name, c := range map[string]struct {
		query *pb.Query
		using string
		code  codes.Code
	}{
		"size":   {pb.NewQuery(1, 2, 3), "dot", codes.InvalidArgument},
		"name":   {pb.NewQuery(1, 2), "none", codes.InvalidArgument},
		"kind":   {pb.NewQuery(1, 2), "sparse", codes.InvalidArgument},
		"parts":  {pb.NewQueryMulti([][]float32{{1}}), "multi", codes.InvalidArgument},
		"point":  {pb.NewQueryID(pb.NewIDNum(4)), "dot", codes.NotFound},
		"id":     {pb.NewQueryID(pb.NewID("x")), "dot", codes.InvalidArgument},
		"fusion": {pb.NewQueryFusion(pb.Fusion_RRF), "dot", codes.Unimplemented},
		"text":   {pb.NewQueryDocument(&pb.Document{}), "dot", codes.Unimplemented},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := l.Points().Query(t.Context(), &pb.QueryPoints{CollectionName: "docs", Query: c.query, Using: &c.using})
			l.refused(err, c.code, "")
		})
	}
	_, err := l.Points().Search(l.ctx, &pb.SearchPoints{CollectionName: "none"})
	l.refused(err, codes.NotFound, "")
	_, err = l.Points().Query(l.ctx, &pb.QueryPoints{CollectionName: "none"})
	l.refused(err, codes.NotFound, "")
}

// Points are told in the order of a number in their payload, if it has an index.
func TestOrderBy(t *testing.T) {
	t.Parallel()
	l := space(t)
	ordered := func(d pb.Direction) ([]uint64, error) {
		answer, err := l.Points().Scroll(l.ctx, &pb.ScrollPoints{CollectionName: "docs", Limit: new(uint32(2)), OrderBy: &pb.OrderBy{Key: "n", Direction: &d}})
		return numbers(answer.GetResult()), err
	}
	_, err := ordered(pb.Direction_Asc)
	l.refused(err, codes.InvalidArgument, "No range index for `order_by` key: `n`")
	l.must(l.Points().CreateFieldIndex(l.ctx, &pb.CreateFieldIndexCollection{CollectionName: "docs", Wait: new(true), FieldName: "n", FieldType: pb.FieldType_FieldTypeInteger.Enum()}))
	for d, want := range map[pb.Direction][]uint64{pb.Direction_Asc: {3, 2}, pb.Direction_Desc: {1, 2}} {
		if got, err := ordered(d); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %v, %v", d, got, err)
		}
	}
}
