package qdrantserver_test

import (
	"slices"
	"testing"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// library is a lab with points to look for.
func library(tb testing.TB) lab {
	tb.Helper()
	l := docs(tb)
	l.upsert(nil,
		point(1, map[string]any{
			"lang": "go", "stars": 5, "score": 1.5, "ok": true, "at": "2024-05-01T00:00:00Z", "text": "The quick brown Fox",
			"tags": []any{"a", "b"}, "in": map[string]any{"x": 1, "a.b": 1},
			"list": []any{map[string]any{"n": 1, "m": "x"}, map[string]any{"n": 2, "m": "y"}},
		}, map[string]*pb.Vector{"dot": pb.NewVector(1, 0)}),
		point(2, map[string]any{"lang": "rust", "stars": 7, "score": -2.5, "ok": false, "at": "2024-06-01", "tags": []any{}, "none": nil}, nil),
		point(3, map[string]any{"tags": []any{"c", nil}, "stars": "many"}, nil),
	)
	l.must(l.Points().CreateFieldIndex(l.ctx, &pb.CreateFieldIndexCollection{CollectionName: "docs", FieldName: "words", FieldType: pb.FieldType_FieldTypeText.Enum()}))
	l.must(l.Points().SetPayload(l.ctx, &pb.SetPayloadPoints{
		CollectionName: "docs", Wait: new(true), PointsSelector: pb.NewPointsSelector(pb.NewIDNum(1)), Payload: pb.NewValueMap(map[string]any{"words": "The quick brown Fox"}),
	}))
	return l
}

func all(list ...*pb.Condition) *pb.Filter { return &pb.Filter{Must: list} }

func day(text string) *timestamppb.Timestamp {
	t, _ := time.Parse(time.DateOnly, text)
	return timestamppb.New(t)
}

// Filters let through what they do on the server.
func TestFilters(t *testing.T) {
	t.Parallel()
	l := library(t)
	stars := func(r *pb.Range) *pb.Filter { return all(pb.NewRange("stars", r)) }
	for name, c := range map[string]struct {
		filter *pb.Filter
		want   []uint64
	}{
		"nothing":             {nil, []uint64{1, 2, 3}},
		"keyword":             {all(pb.NewMatch("lang", "go")), []uint64{1}},
		"keywords":            {all(pb.NewMatchKeywords("lang", "go", "rust")), []uint64{1, 2}},
		"other keywords":      {all(pb.NewMatchExcept("lang", "go")), []uint64{2}},
		"one of a list":       {all(pb.NewMatch("tags", "b")), []uint64{1}},
		"integer":             {all(pb.NewMatchInt("stars", 5)), []uint64{1}},
		"integers":            {all(pb.NewMatchInts("stars", 5, 7)), []uint64{1, 2}},
		"other integers":      {all(pb.NewMatchExceptInts("stars", 5)), []uint64{2}},
		"bool":                {all(pb.NewMatchBool("ok", false)), []uint64{2}},
		"part of a text":      {all(pb.NewMatchText("text", "brown F")), []uint64{1}},
		"words":               {all(pb.NewMatchText("words", "fox the")), []uint64{1}},
		"other words":         {all(pb.NewMatchText("words", "fo")), []uint64{}},
		"below":               {stars(&pb.Range{Lt: new(7.0)}), []uint64{1}},
		"up to":               {stars(&pb.Range{Lte: new(7.0)}), []uint64{1, 2}},
		"above":               {stars(&pb.Range{Gt: new(5.0)}), []uint64{2}},
		"from":                {all(pb.NewRange("score", &pb.Range{Gte: new(1.5)})), []uint64{1}},
		"times":               {all(pb.NewDatetimeRange("at", &pb.DatetimeRange{Gte: day("2024-05-01"), Lt: day("2024-06-01")})), []uint64{1}},
		"later times":         {all(pb.NewDatetimeRange("at", &pb.DatetimeRange{Gt: day("2024-05-01"), Lte: day("2024-06-01")})), []uint64{2}},
		"count":               {all(pb.NewValuesCount("tags", &pb.ValuesCount{Gte: new(uint64(2))})), []uint64{1, 3}},
		"count of one":        {all(pb.NewValuesCount("lang", &pb.ValuesCount{Lt: new(uint64(2)), Gt: new(uint64(0))})), []uint64{1, 2}},
		"count of none":       {all(pb.NewValuesCount("none", &pb.ValuesCount{Lte: new(uint64(0))})), []uint64{2}},
		"empty":               {all(pb.NewIsEmpty("lang")), []uint64{3}},
		"empty list":          {all(pb.NewIsEmpty("tags")), []uint64{2}},
		"null":                {all(pb.NewIsNull("none")), []uint64{2}},
		"field empty":         {all(field(&pb.FieldCondition{Key: "tags", IsEmpty: new(true)})), []uint64{2}},
		"field missing":       {all(field(&pb.FieldCondition{Key: "lang", IsEmpty: new(true)})), []uint64{3}},
		"field null":          {all(field(&pb.FieldCondition{Key: "none", IsNull: new(true)})), []uint64{2}},
		"ids":                 {all(pb.NewHasID(pb.NewIDNum(1), pb.NewIDNum(3), pb.NewIDNum(9))), []uint64{1, 3}},
		"ids and more":        {all(pb.NewHasID(pb.NewIDNum(1), pb.NewIDNum(2)), pb.NewMatch("lang", "rust")), []uint64{2}},
		"vector":              {all(pb.NewHasVector("dot")), []uint64{1}},
		"inside":              {all(pb.NewMatchInt("in.x", 1)), []uint64{1}},
		"quoted":              {all(pb.NewMatchInt(`in."a.b"`, 1)), []uint64{1}},
		"in each":             {all(pb.NewMatchInt("list[].n", 2)), []uint64{1}},
		"in the first":        {all(pb.NewMatchInt("list[0].n", 2)), []uint64{}},
		"beyond the last":     {all(pb.NewMatchInt("list[9].n", 2)), []uint64{}},
		"nested":              {all(pb.NewNestedFilter("list", all(pb.NewMatchInt("n", 2), pb.NewMatch("m", "y")))), []uint64{1}},
		"nested, not at once": {all(pb.NewNestedFilter("list", all(pb.NewMatchInt("n", 2), pb.NewMatch("m", "x")))), []uint64{}},
		"must not":            {&pb.Filter{MustNot: []*pb.Condition{pb.NewMatch("lang", "go")}}, []uint64{2, 3}},
		"should":              {&pb.Filter{Should: []*pb.Condition{pb.NewMatch("lang", "go"), pb.NewIsEmpty("lang")}}, []uint64{1, 3}},
		"some of":             {&pb.Filter{MinShould: &pb.MinShould{MinCount: 2, Conditions: []*pb.Condition{pb.NewMatch("lang", "go"), pb.NewMatchInt("stars", 5), pb.NewIsEmpty("lang")}}}, []uint64{1}},
		"a filter in it":      {all(pb.NewFilterAsCondition(&pb.Filter{MustNot: []*pb.Condition{pb.NewRange("stars", &pb.Range{Gt: new(5.0)})}})), []uint64{1, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := l.found(c.filter); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			count, err := l.Points().Count(l.ctx, &pb.CountPoints{CollectionName: "docs", Filter: c.filter, Exact: new(true)})
			if err != nil || count.Result.Count != uint64(len(c.want)) {
				t.Errorf("counted %v, %v", count, err)
			}
		})
	}
}

func field(f *pb.FieldCondition) *pb.Condition {
	return &pb.Condition{ConditionOneOf: &pb.Condition_Field{Field: f}}
}

// Filters that cannot be are refused, wherever they are.
func TestBadFilters(t *testing.T) {
	t.Parallel()
	l := docs(t)
	for name, c := range map[string]struct {
		condition *pb.Condition
		code      codes.Code
	}{
		"nothing":      {&pb.Condition{}, codes.InvalidArgument},
		"empty field":  {field(&pb.FieldCondition{Key: "a"}), codes.InvalidArgument},
		"no path":      {pb.NewMatch("", "x"), codes.InvalidArgument},
		"open path":    {pb.NewMatch("a[", "x"), codes.InvalidArgument},
		"strange path": {pb.NewMatch("a[x]", "x"), codes.InvalidArgument},
		"torn path":    {pb.NewMatch("a b", "x"), codes.InvalidArgument},
		"id":           {pb.NewHasID(pb.NewID("x")), codes.InvalidArgument},
		"inside":       {pb.NewFilterAsCondition(all(&pb.Condition{})), codes.InvalidArgument},
		"nested":       {pb.NewNestedFilter("a", all(&pb.Condition{})), codes.InvalidArgument},
		"place":        {pb.NewGeoRadius("a", 1, 1, 1), codes.Unimplemented},
		"phrase":       {pb.NewMatchPhrase("a", "b"), codes.Unimplemented},
		"empty path":   {pb.NewIsEmpty("."), codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := all(c.condition)
			_, err := l.Points().Scroll(t.Context(), &pb.ScrollPoints{CollectionName: "docs", Filter: f})
			l.refused(err, c.code, "")
			_, err = l.Points().Count(t.Context(), &pb.CountPoints{CollectionName: "docs", Filter: f})
			l.refused(err, c.code, "")
			_, err = l.Points().Query(t.Context(), &pb.QueryPoints{CollectionName: "docs", Filter: f})
			l.refused(err, c.code, "")
			_, err = l.Points().Upsert(t.Context(), &pb.UpsertPoints{CollectionName: "docs", UpdateFilter: f})
			l.refused(err, c.code, "")
			_, err = l.Points().UpdateVectors(t.Context(), &pb.UpdatePointVectors{CollectionName: "docs", UpdateFilter: f})
			l.refused(err, c.code, "")
			_, err = l.Points().Delete(t.Context(), &pb.DeletePoints{CollectionName: "docs", Points: pb.NewPointsSelectorFilter(f)})
			l.refused(err, c.code, "")
		})
	}
}
