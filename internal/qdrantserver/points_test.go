package qdrantserver_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
)

func lower(version float64) *pb.Filter {
	return &pb.Filter{Must: []*pb.Condition{pb.NewRange("v", &pb.Range{Lt: &version})}}
}

// An update filter guards points that are there, and lets new ones in.
func TestUpdateFilter(t *testing.T) {
	t.Parallel()
	l := docs(t)
	l.upsert(lower(5), point(1, map[string]any{"v": 5}, nil))
	l.upsert(lower(3), point(1, map[string]any{"v": 3}, nil), point(2, map[string]any{"v": 3}, nil))
	l.upsert(lower(7), point(2, map[string]any{"v": 7}, nil))
	if n := l.Upserted(); n != 4 {
		t.Errorf("%d points came", n)
	}
	for id, want := range map[uint64]int64{1: 5, 2: 7} {
		if got := l.get(id).Payload["v"].GetIntegerValue(); got != want {
			t.Errorf("point %d: version %d, want %d", id, got, want)
		}
	}
}

// A mode says whether points may be new, or must be; of two with one id the last counts.
func TestUpdateMode(t *testing.T) {
	t.Parallel()
	l := docs(t)
	for _, c := range []struct {
		mode pb.UpdateMode
		want string
	}{{pb.UpdateMode_UpdateOnly, ""}, {pb.UpdateMode_InsertOnly, "b"}, {pb.UpdateMode_InsertOnly, "b"}, {pb.UpdateMode_UpdateOnly, "d"}} {
		name := string(rune('a' + l.Calls("Upsert")))
		l.must(l.Points().Upsert(l.ctx, &pb.UpsertPoints{
			CollectionName: "docs", Wait: new(true), UpdateMode: &c.mode,
			Points: []*pb.PointStruct{point(1, map[string]any{"name": "first"}, nil), point(1, map[string]any{"name": name}, nil)},
		}))
		if got := l.get(1).GetPayload()["name"].GetStringValue(); got != c.want {
			t.Errorf("%s of %s: got %q, want %q", c.mode, name, got, c.want)
		}
	}
}

// Points are deleted by id and by filter; what is not there is nothing.
func TestDelete(t *testing.T) {
	t.Parallel()
	l := docs(t)
	for id := range uint64(6) {
		l.upsert(nil, point(id, map[string]any{"v": int64(id)}, nil))
	}
	remove := func(s *pb.PointsSelector) {
		t.Helper()
		l.must(l.Points().Delete(l.ctx, &pb.DeletePoints{CollectionName: "docs", Wait: new(true), Points: s}))
	}
	remove(pb.NewPointsSelectorIDs([]*pb.PointId{pb.NewIDNum(0), pb.NewIDNum(99)}))
	guarded := lower(3)
	guarded.Must = append(guarded.Must, pb.NewHasID(pb.NewIDNum(2), pb.NewIDNum(4), pb.NewIDNum(98)))
	remove(pb.NewPointsSelectorFilter(guarded))
	if got := l.found(nil); !slices.Equal(got, []uint64{1, 3, 4, 5}) {
		t.Errorf("left are %v", got)
	}
}

// Values are set beside others, in place of all, and removed.
func TestPayload(t *testing.T) {
	t.Parallel()
	l := docs(t)
	one := pb.NewPointsSelector(pb.NewIDNum(1))
	l.upsert(nil, point(1, map[string]any{"a": 1}, nil))
	is := func(want ...string) {
		t.Helper()
		var got []string
		for name := range l.get(1).Payload {
			got = append(got, name)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	l.must(l.Points().SetPayload(l.ctx, &pb.SetPayloadPoints{CollectionName: "docs", Wait: new(true), PointsSelector: one, Payload: pb.NewValueMap(map[string]any{"b": 2, "c": 3})}))
	is("a", "b", "c")
	l.must(l.Points().DeletePayload(l.ctx, &pb.DeletePayloadPoints{CollectionName: "docs", Wait: new(true), PointsSelector: one, Keys: []string{"b"}}))
	is("a", "c")
	l.must(l.Points().OverwritePayload(l.ctx, &pb.SetPayloadPoints{CollectionName: "docs", Wait: new(true), PointsSelector: one, Payload: pb.NewValueMap(map[string]any{"d": 2})}))
	is("d")
	l.must(l.Points().ClearPayload(l.ctx, &pb.ClearPayloadPoints{CollectionName: "docs", Wait: new(true), Points: one}))
	is()
	_, err := l.Points().SetPayload(l.ctx, &pb.SetPayloadPoints{CollectionName: "docs", Wait: new(true), PointsSelector: pb.NewPointsSelector(pb.NewIDNum(2))})
	l.refused(err, codes.NotFound, "Not found: No point with id 2 found")
}

// Vectors are put beside others, and removed; a cosine's are kept at length one.
func TestVectors(t *testing.T) {
	t.Parallel()
	l := docs(t)
	l.upsert(nil, point(1, map[string]any{"v": 1}, map[string]*pb.Vector{"dense": pb.NewVector(3, 4)}))
	update := func(guard *pb.Filter, v map[string]*pb.Vector) {
		t.Helper()
		l.must(l.Points().UpdateVectors(l.ctx, &pb.UpdatePointVectors{CollectionName: "docs", Wait: new(true), UpdateFilter: guard, Points: []*pb.PointVectors{
			{Id: pb.NewIDNum(1), Vectors: pb.NewVectorsMap(v)},
		}}))
	}
	update(nil, map[string]*pb.Vector{"sparse": pb.NewVectorSparse([]uint32{7}, []float32{1}), "multi": pb.NewVectorMulti([][]float32{{1, 2}, {3, 4}})})
	update(lower(1), map[string]*pb.Vector{"dot": pb.NewVector(1, 1)})
	vectors := l.get(1).Vectors.GetVectors().Vectors
	if len(vectors) != 3 || !slices.Equal(vectors["dense"].GetDense().Data, []float32{0.6, 0.8}) || len(vectors["multi"].GetMultiDense().Vectors) != 2 {
		t.Errorf("got %v", vectors)
	}
	l.must(l.Points().DeleteVectors(l.ctx, &pb.DeletePointVectors{
		CollectionName: "docs", Wait: new(true), PointsSelector: pb.NewPointsSelector(pb.NewIDNum(1)), Vectors: &pb.VectorsSelector{Names: []string{"multi", "dense"}},
	}))
	if got := l.get(1).Vectors.GetVectors().Vectors; len(got) != 1 || got["sparse"] == nil {
		t.Errorf("got %v", got)
	}
}

// A batch is done in order, up to the first operation that fails.
func TestBatch(t *testing.T) {
	t.Parallel()
	l := docs(t)
	one := pb.NewPointsSelector(pb.NewIDNum(1))
	up := func(p *pb.PointStruct) *pb.PointsUpdateOperation {
		return pb.NewPointsUpdateUpsert(&pb.PointsUpdateOperation_PointStructList{Points: []*pb.PointStruct{p}})
	}
	answer, err := l.Points().UpdateBatch(l.ctx, &pb.UpdateBatchPoints{CollectionName: "docs", Wait: new(true), Operations: []*pb.PointsUpdateOperation{
		up(point(1, map[string]any{"a": 1}, map[string]*pb.Vector{"dot": pb.NewVector(1, 1)})), up(point(2, nil, nil)),
		pb.NewPointsUpdateSetPayload(&pb.PointsUpdateOperation_SetPayload{PointsSelector: one, Payload: pb.NewValueMap(map[string]any{"b": 1})}),
		pb.NewPointsUpdateDeletePayload(&pb.PointsUpdateOperation_DeletePayload{PointsSelector: one, Keys: []string{"a"}}),
		pb.NewPointsUpdateUpdateVectors(&pb.PointsUpdateOperation_UpdateVectors{Points: []*pb.PointVectors{{Id: pb.NewIDNum(1), Vectors: pb.NewVectorsMap(map[string]*pb.Vector{"near": pb.NewVector(1, 1)})}}}),
		pb.NewPointsUpdateDeleteVectors(&pb.PointsUpdateOperation_DeleteVectors{PointsSelector: one, Vectors: &pb.VectorsSelector{Names: []string{"dot"}}}),
		pb.NewPointsUpdateDeletePoints(&pb.PointsUpdateOperation_DeletePoints{Points: pb.NewPointsSelector(pb.NewIDNum(2))}),
	}})
	if err != nil || len(answer.Result) != 7 {
		t.Fatal(answer, err)
	}
	if p := l.get(1); len(p.Payload) != 1 || p.Payload["b"] == nil || p.Vectors.GetVectors().Vectors["near"] == nil || len(p.Vectors.GetVectors().Vectors) != 1 || l.get(2) != nil {
		t.Errorf("got %v", p)
	}
	_, err = l.Points().UpdateBatch(l.ctx, &pb.UpdateBatchPoints{CollectionName: "docs", Wait: new(true), Operations: []*pb.PointsUpdateOperation{
		pb.NewPointsUpdateOverwritePayload(&pb.PointsUpdateOperation_OverwritePayload{PointsSelector: one}),
		up(point(3, nil, map[string]*pb.Vector{"dot": pb.NewVector(1)})), up(point(4, nil, nil)),
		pb.NewPointsUpdateClearPayload(&pb.PointsUpdateOperation_ClearPayload{Points: one}),
	}})
	l.refused(err, codes.InvalidArgument, "Wrong input: Vector dimension error: expected dim: 2, got 1")
	if got := l.found(nil); !slices.Equal(got, []uint64{1}) || len(l.get(1).Payload) != 0 {
		t.Errorf("after the error there are %v", got)
	}
}

// What cannot be is refused with the server's code and text, and nothing of it is applied.
func TestRefused(t *testing.T) {
	t.Parallel()
	l := docs(t)
	vector := func(name string, v *pb.Vector) *pb.PointStruct { return point(1, nil, map[string]*pb.Vector{name: v}) }
	for name, c := range map[string]struct {
		point *pb.PointStruct
		code  codes.Code
		says  string
	}{
		"dimension":       {vector("dense", pb.NewVector(1, 2, 3)), codes.InvalidArgument, "Wrong input: Vector dimension error: expected dim: 2, got 3"},
		"multi dimension": {vector("multi", pb.NewVectorMulti([][]float32{{1, 2}, {1}})), codes.InvalidArgument, "expected dim: 2, got 1"},
		"multi empty":     {vector("multi", pb.NewVectorMulti(nil)), codes.InvalidArgument, "must not be empty"},
		"name":            {vector("other", pb.NewVector(1)), codes.InvalidArgument, "Wrong input: Not existing vector name error: other"},
		"sparse as dense": {vector("dense", pb.NewVectorSparse([]uint32{1}, []float32{1})), codes.InvalidArgument, "Conversion between sparse and regular vectors failed"},
		"dense as sparse": {vector("sparse", pb.NewVectorDense([]float32{1})), codes.InvalidArgument, "Conversion between regular and sparse vectors failed"},
		"sparse lengths":  {vector("sparse", pb.NewVectorSparse([]uint32{1}, []float32{1, 2})), codes.InvalidArgument, "must be the same length as indices"},
		"sparse twice":    {vector("sparse", pb.NewVectorSparse([]uint32{1, 1}, []float32{1, 2})), codes.InvalidArgument, "must be unique"},
		"no vectors":      {&pb.PointStruct{Id: pb.NewIDNum(1)}, codes.InvalidArgument, "Expected some vectors"},
		"no id":           {&pb.PointStruct{Vectors: pb.NewVectorsMap(nil)}, codes.InvalidArgument, "Empty ID is not allowed"},
		"bad id":          {&pb.PointStruct{Id: pb.NewID("x"), Vectors: pb.NewVectorsMap(nil)}, codes.InvalidArgument, "Unable to parse UUID: x"},
		"too deep":        {deep(60), codes.Internal, "recursion limit reached"},
		"deep enough":     {deep(30), codes.OK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := l.Points().Upsert(t.Context(), &pb.UpsertPoints{CollectionName: "docs", Wait: new(true), Points: []*pb.PointStruct{c.point}})
			if c.code != codes.OK || err != nil {
				l.refused(err, c.code, c.says)
			}
		})
	}
	_, err := l.Points().Upsert(l.ctx, &pb.UpsertPoints{CollectionName: "none"})
	l.refused(err, codes.NotFound, "Not found: Collection `none` doesn't exist!")
	_, err = l.Points().Delete(l.ctx, &pb.DeletePoints{CollectionName: "docs"})
	l.refused(err, codes.InvalidArgument, "PointSelector is missing")
}

// deep is a point with lists and objects in each other.
func deep(n int) *pb.PointStruct {
	var v any = "x"
	for i := range n {
		if v = []any{v}; i%4 == 0 {
			v = map[string]any{"in": v.([]any)[0]}
		}
	}
	return point(1, map[string]any{"deep": v}, nil)
}

// A batch that is larger than strict mode allows is refused.
func TestStrictMode(t *testing.T) {
	t.Parallel()
	l := docs(t)
	l.must(l.Collections().Create(l.ctx, &pb.CreateCollection{CollectionName: "strict", StrictModeConfig: &pb.StrictModeConfig{Enabled: new(true), UpsertMaxBatchsize: new(uint64(1))}}))
	_, err := l.Points().Upsert(l.ctx, &pb.UpsertPoints{CollectionName: "strict", Points: []*pb.PointStruct{point(1, nil, nil), point(2, nil, nil)}})
	l.refused(err, codes.InvalidArgument, "Bad request: Upsert size limit exceeded")
}

// Operations of a shard are applied in the order in which they came, whether anybody waits for them or not.
func TestOrder(t *testing.T) {
	t.Parallel()
	l := docs(t)
	for n := range 200 {
		last := n == 199
		answer, err := l.Points().Upsert(l.ctx, &pb.UpsertPoints{CollectionName: "docs", Wait: &last, Points: []*pb.PointStruct{point(1, map[string]any{"n": n}, nil)}})
		l.must(answer, err)
		if want := map[bool]pb.UpdateStatus{false: pb.UpdateStatus_Acknowledged, true: pb.UpdateStatus_Completed}[last]; answer.Result.Status != want {
			t.Fatalf("status %s, want %s", answer.Result.Status, want)
		}
	}
	if got := l.get(1).Payload["n"].GetIntegerValue(); got != 199 {
		t.Errorf("got %d", got)
	}
}

// Ids are numbers and UUIDs; numbers come first, and pages follow the order.
func TestScroll(t *testing.T) {
	t.Parallel()
	l := docs(t)
	var want []string
	for n := range 50 {
		id := pb.NewIDNum(uint64(n))
		if n >= 25 {
			id = pb.NewID(fmt.Sprintf("00000000-0000-0000-0000-0000000000%02d", n))
		}
		l.upsert(nil, &pb.PointStruct{Id: id, Vectors: pb.NewVectorsMap(nil)})
		want = append(want, id.String())
	}
	var got []string
	request := &pb.ScrollPoints{CollectionName: "docs", Limit: new(uint32(7))}
	for pages := 0; request.Offset != nil || pages == 0; pages++ {
		answer, err := l.Points().Scroll(l.ctx, request)
		l.must(answer, err)
		for _, p := range answer.Result {
			got = append(got, p.Id.String())
		}
		request.Offset = answer.NextPageOffset
	}
	normal := func(list []string) []string {
		for i := range list {
			list[i] = strings.Join(strings.Fields(list[i]), " ")
		}
		return list
	}
	if d := cmp.Diff(normal(want), normal(got)); d != "" {
		t.Error(d)
	}
	_, err := l.Points().Scroll(l.ctx, &pb.ScrollPoints{CollectionName: "docs", Limit: new(uint32(0))})
	l.refused(err, codes.InvalidArgument, "must be 1 or larger")
}
