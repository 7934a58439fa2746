package qdrantserver_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/outflow-db/outflow/internal/qdrantserver"
)

func (l lab) info(name string) *pb.CollectionInfo {
	l.Helper()
	answer, err := l.Collections().Get(l.ctx, &pb.GetCollectionInfoRequest{CollectionName: name})
	l.must(answer, err)
	return answer.Result
}

// A collection tells its configuration, with the server's defaults, its indexes and how many points it has.
func TestInfo(t *testing.T) {
	t.Parallel()
	l := docs(t)
	l.upsert(nil, point(1, nil, nil), point(2, nil, nil))
	l.must(l.Points().CreateFieldIndex(l.ctx, &pb.CreateFieldIndexCollection{
		CollectionName: "docs", Wait: new(true), FieldName: "a", FieldType: pb.FieldType_FieldTypeInteger.Enum(), FieldIndexParams: pb.NewPayloadIndexParamsInt(&pb.IntegerIndexParams{Range: new(true)}),
	}))
	info := l.info("docs")
	switch {
	case info.GetPointsCount() != 2, info.Status != pb.CollectionStatus_Green, !info.OptimizerStatus.Ok, info.Config.Params.ShardNumber != 2:
		t.Errorf("got %v", info)
	case info.Config.HnswConfig.GetM() != 16, info.Config.OptimizerConfig.GetIndexingThreshold() != 10000, !info.Config.Params.OnDiskPayload:
		t.Errorf("defaults are missing in %v", info.Config)
	}
	want := map[string]*pb.PayloadSchemaInfo{"a": {
		DataType: pb.PayloadSchemaType_Integer, Points: new(uint64(2)), Params: pb.NewPayloadIndexParamsInt(&pb.IntegerIndexParams{Range: new(true)}),
	}}
	if d := cmp.Diff(want, info.PayloadSchema, protocmp.Transform()); d != "" {
		t.Error(d)
	}
	l.must(l.Points().DeleteFieldIndex(l.ctx, &pb.DeleteFieldIndexCollection{CollectionName: "docs", Wait: new(true), FieldName: "a"}))
	if left := l.info("docs").PayloadSchema; len(left) > 0 {
		t.Errorf("left is %v", left)
	}
}

// A configuration is changed where the request says so, and nowhere else.
func TestUpdateCollection(t *testing.T) {
	t.Parallel()
	l := docs(t)
	update := func(r *pb.UpdateCollection) error {
		r.CollectionName = "docs"
		_, err := l.Collections().Update(l.ctx, r)
		return err
	}
	want := l.info("docs").Config
	want.HnswConfig.M, want.OptimizerConfig.IndexingThreshold = new(uint64(8)), new(uint64(0))
	want.Params.ReplicationFactor, want.Params.WriteConsistencyFactor, want.Params.OnDiskPayload = new(uint32(2)), new(uint32(2)), false
	scalar := &pb.ScalarQuantization{Type: pb.QuantizationType_Int8}
	want.QuantizationConfig = pb.NewQuantizationScalar(scalar)
	dense := want.Params.VectorsConfig.GetParamsMap().Map["dense"]
	dense.OnDisk, dense.HnswConfig = new(true), &pb.HnswConfigDiff{M: new(uint64(4))}
	dense.QuantizationConfig = pb.NewQuantizationBinary(&pb.BinaryQuantization{})
	want.Params.SparseVectorsConfig.Map["sparse"].Index = &pb.SparseIndexConfig{OnDisk: new(true)}
	want.Metadata = pb.NewValueMap(map[string]any{"a": 1})
	l.must(nil, update(&pb.UpdateCollection{
		HnswConfig: &pb.HnswConfigDiff{M: new(uint64(8))}, OptimizersConfig: &pb.OptimizersConfigDiff{IndexingThreshold: new(uint64(0))},
		Params:             &pb.CollectionParamsDiff{ReplicationFactor: new(uint32(2)), WriteConsistencyFactor: new(uint32(2)), OnDiskPayload: new(false)},
		QuantizationConfig: pb.NewQuantizationDiffScalar(scalar), Metadata: want.Metadata,
		VectorsConfig: pb.NewVectorsConfigDiffMap(map[string]*pb.VectorParamsDiff{"dense": {
			OnDisk: new(true), HnswConfig: dense.HnswConfig, QuantizationConfig: pb.NewQuantizationDiffBinary(&pb.BinaryQuantization{}),
		}}),
		SparseVectorsConfig: pb.NewSparseVectorsConfig(map[string]*pb.SparseVectorParams{"sparse": {Index: &pb.SparseIndexConfig{OnDisk: new(true)}}}),
	}))
	if d := cmp.Diff(want, l.info("docs").Config, protocmp.Transform()); d != "" {
		t.Error(d)
	}
	l.must(nil, update(&pb.UpdateCollection{QuantizationConfig: pb.NewQuantizationDiffProduct(&pb.ProductQuantization{})}))
	l.must(nil, update(&pb.UpdateCollection{QuantizationConfig: pb.NewQuantizationDiffDisabled()}))
	if q := l.info("docs").Config.QuantizationConfig; q != nil {
		t.Errorf("quantization is still %v", q)
	}
	l.refused(update(&pb.UpdateCollection{VectorsConfig: pb.NewVectorsConfigDiff(&pb.VectorParamsDiff{})}), codes.InvalidArgument, "Not existing vector name")
	l.refused(update(&pb.UpdateCollection{SparseVectorsConfig: pb.NewSparseVectorsConfig(map[string]*pb.SparseVectorParams{"x": {}})}), codes.InvalidArgument, "Not existing vector name")
}

// Collections that cannot be are refused.
func TestBadCollections(t *testing.T) {
	t.Parallel()
	l := docs(t)
	l.must(l.Collections().UpdateAliases(l.ctx, &pb.ChangeAliases{Actions: []*pb.AliasOperations{pb.NewAliasCreate("alias", "docs")}}))
	create := func(name string, p *pb.VectorParams) error {
		r := &pb.CreateCollection{CollectionName: name}
		if p != nil {
			r.VectorsConfig = pb.NewVectorsConfig(p)
		}
		_, err := l.Collections().Create(l.ctx, r)
		return err
	}
	l.refused(create("docs", nil), codes.AlreadyExists, "Wrong input: Collection `docs` already exists!")
	l.refused(create("alias", nil), codes.InvalidArgument, "Alias with the same name already exists")
	l.refused(create("", nil), codes.InvalidArgument, "between 1 and 255")
	l.refused(create("a/b", nil), codes.InvalidArgument, "cannot contain")
	l.refused(create(strings.Repeat("x", 256), nil), codes.InvalidArgument, "between 1 and 255")
	l.refused(create("a", &pb.VectorParams{Distance: pb.Distance_Dot}), codes.InvalidArgument, "from 1 to 65535")
	l.refused(create("a", &pb.VectorParams{Size: 4}), codes.InvalidArgument, "Unknown distance")
	_, err := l.Collections().Create(l.ctx, &pb.CreateCollection{
		CollectionName: "a", VectorsConfig: pb.NewVectorsConfigMap(map[string]*pb.VectorParams{"x": {Size: 1, Distance: pb.Distance_Dot}}),
		SparseVectorsConfig: pb.NewSparseVectorsConfig(map[string]*pb.SparseVectorParams{"x": {}}),
	})
	l.refused(err, codes.InvalidArgument, "same name")
	for _, bad := range []string{"", "none"} {
		_, err := l.Collections().Get(l.ctx, &pb.GetCollectionInfoRequest{CollectionName: bad})
		_, err2 := l.Collections().Update(l.ctx, &pb.UpdateCollection{CollectionName: bad})
		_, err3 := l.Points().Get(l.ctx, &pb.GetPoints{CollectionName: bad})
		for _, err := range []error{err, err2, err3} {
			l.refused(err, map[string]codes.Code{"": codes.InvalidArgument, "none": codes.NotFound}[bad], "")
		}
	}
}

// Aliases change all at once or not at all, are found as collections are, and go with theirs.
func TestAliases(t *testing.T) {
	t.Parallel()
	l := docs(t)
	l.must(l.Collections().Create(l.ctx, &pb.CreateCollection{CollectionName: "other"}))
	change := func(actions ...*pb.AliasOperations) error {
		_, err := l.Collections().UpdateAliases(l.ctx, &pb.ChangeAliases{Actions: actions})
		return err
	}
	is := func(want map[string]string) {
		t.Helper()
		answer, err := l.Collections().ListAliases(l.ctx, &pb.ListAliasesRequest{})
		l.must(answer, err)
		got := map[string]string{}
		for _, a := range answer.Aliases {
			got[a.AliasName] = a.CollectionName
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
	l.must(nil, change(pb.NewAliasCreate("a", "docs"), pb.NewAliasCreate("b", "other")))
	l.refused(change(pb.NewAliasDelete("a"), pb.NewAliasCreate("c", "none")), codes.NotFound, "`none`")
	l.refused(change(pb.NewAliasCreate("other", "docs")), codes.AlreadyExists, "`other`")
	l.refused(change(pb.NewAliasRename("none", "x")), codes.NotFound, "Alias none does not exists!")
	l.refused(change(&pb.AliasOperations{}), codes.InvalidArgument, "Malformed")
	is(map[string]string{"a": "docs", "b": "other"})
	l.must(nil, change(pb.NewAliasDelete("a"), pb.NewAliasCreate("a", "other"), pb.NewAliasRename("b", "c"), pb.NewAliasDelete("none")))
	is(map[string]string{"a": "other", "c": "other"})
	l.must(l.Points().Upsert(l.ctx, &pb.UpsertPoints{CollectionName: "a", Wait: new(true), Points: []*pb.PointStruct{point(1, nil, nil)}}))
	if n := l.info("other").GetPointsCount(); n != 1 {
		t.Errorf("through the alias came %d points", n)
	}
	of, err := l.Collections().ListCollectionAliases(l.ctx, &pb.ListCollectionAliasesRequest{CollectionName: "other"})
	if err != nil || len(of.Aliases) != 2 {
		t.Errorf("got %v, %v", of, err)
	}
	l.must(l.Collections().Delete(l.ctx, &pb.DeleteCollection{CollectionName: "other"}))
	is(map[string]string{})
	list, err := l.Collections().List(l.ctx, &pb.ListCollectionsRequest{})
	if err != nil || len(list.Collections) != 1 {
		t.Errorf("left are %v, %v", list, err)
	}
}

// A collection is there or not, and is deleted once.
func TestExists(t *testing.T) {
	t.Parallel()
	l := docs(t)
	for _, want := range []bool{true, false} {
		got, err := l.Collections().CollectionExists(l.ctx, &pb.CollectionExistsRequest{CollectionName: "docs"})
		gone, err2 := l.Collections().Delete(l.ctx, &pb.DeleteCollection{CollectionName: "docs"})
		if err != nil || err2 != nil || got.Result.Exists != want || gone.Result != want {
			t.Errorf("want %v: got %v, %v, %v, %v", want, got, err, gone, err2)
		}
	}
	_, err := l.Collections().CollectionExists(l.ctx, &pb.CollectionExistsRequest{CollectionName: "?"})
	l.refused(err, codes.InvalidArgument, "")
	_, err = l.Collections().Delete(l.ctx, &pb.DeleteCollection{CollectionName: "?"})
	l.refused(err, codes.InvalidArgument, "")
}

// A test says in what condition a collection is.
func TestSetStatus(t *testing.T) {
	t.Parallel()
	l := docs(t)
	l.SetStatus("docs", pb.CollectionStatus_Red, "broken")
	l.SetStatus("none", pb.CollectionStatus_Red, "broken")
	if info := l.info("docs"); info.Status != pb.CollectionStatus_Red || info.OptimizerStatus.Ok || info.OptimizerStatus.Error != "broken" {
		t.Errorf("got %v", info)
	}
}

// The server says which one it is, without credentials; everything else wants the key.
func TestCredentials(t *testing.T) {
	t.Parallel()
	l := newLab(t, qdrantserver.Options{APIKey: "right"})
	answer, err := l.Qdrant().HealthCheck(l.ctx, &pb.HealthCheckRequest{})
	if err != nil || answer.Version != qdrantserver.Version {
		t.Errorf("got %v, %v", answer, err)
	}
	list := func(key string) error {
		_, err := l.Collections().List(withKey(l.ctx, key), &pb.ListCollectionsRequest{})
		return err
	}
	l.must(nil, list("right"))
	l.refused(list("wrong"), codes.Unauthenticated, "Invalid API key or JWT")
	l.refused(list(""), codes.Unauthenticated, "Must provide an API key or an Authorization bearer token")
}
