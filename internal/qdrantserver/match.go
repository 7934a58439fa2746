package qdrantserver

import (
	"slices"
	"strings"
	"time"
	"unicode"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// field makes a condition on a field ready. A list matches when one of its values does.
func (c *collection) field(f *pb.FieldCondition) (condition, error) {
	if f.GeoBoundingBox != nil || f.GeoRadius != nil || f.GeoPolygon != nil {
		return nil, missing("filters by place")
	}
	check, err := c.check(f)
	if err != nil {
		return nil, err
	}
	return onValues(f.Key, func(values []*pb.Value) bool {
		if len(values) == 0 {
			return f.GetIsEmpty()
		}
		return slices.ContainsFunc(values, func(v *pb.Value) bool {
			if list, ok := v.GetKind().(*pb.Value_ListValue); ok && f.ValuesCount == nil && f.IsEmpty == nil {
				return slices.ContainsFunc(list.ListValue.GetValues(), check)
			}
			return check(v)
		})
	})
}

// check is a field's condition on one value.
func (c *collection) check(f *pb.FieldCondition) (func(*pb.Value) bool, error) {
	switch {
	case f.Match != nil:
		return matcher(f.Match, c.indexed(f.Key) == pb.PayloadSchemaType_Text)
	case f.Range != nil:
		return func(v *pb.Value) bool { return inRange(v, f.Range) }, nil
	case f.DatetimeRange != nil:
		return func(v *pb.Value) bool { return inTime(v, f.DatetimeRange) }, nil
	case f.ValuesCount != nil:
		return func(v *pb.Value) bool { return counted(v, f.ValuesCount) }, nil
	case f.IsEmpty != nil:
		return func(v *pb.Value) bool { return isEmpty([]*pb.Value{v}) == *f.IsEmpty }, nil
	case f.IsNull != nil:
		return func(v *pb.Value) bool { return isNull([]*pb.Value{v}) == *f.IsNull }, nil
	default:
		return nil, malformed("Bad request: Bad condition for field %s", f.Key)
	}
}

// matcher compares a value with one, or with some.
func matcher(m *pb.Match, indexed bool) (func(*pb.Value) bool, error) {
	switch v := m.GetMatchValue().(type) {
	case *pb.Match_Keyword:
		return onText(func(s string) bool { return s == v.Keyword }), nil
	case *pb.Match_Keywords:
		return onText(func(s string) bool { return slices.Contains(v.Keywords.Strings, s) }), nil
	case *pb.Match_ExceptKeywords:
		return onText(func(s string) bool { return !slices.Contains(v.ExceptKeywords.Strings, s) }), nil
	case *pb.Match_Integer:
		return onInteger(func(n int64) bool { return n == v.Integer }), nil
	case *pb.Match_Integers:
		return onInteger(func(n int64) bool { return slices.Contains(v.Integers.Integers, n) }), nil
	case *pb.Match_ExceptIntegers:
		return onInteger(func(n int64) bool { return !slices.Contains(v.ExceptIntegers.Integers, n) }), nil
	case *pb.Match_Boolean:
		return func(in *pb.Value) bool {
			b, ok := in.GetKind().(*pb.Value_BoolValue)
			return ok && b.BoolValue == v.Boolean
		}, nil
	case *pb.Match_Text:
		return onText(func(s string) bool { return hasText(s, v.Text, indexed) }), nil
	default:
		return nil, missing("match of this kind")
	}
}

// hasText: without an index a text contains another, with one it contains all of its words.
func hasText(s, want string, indexed bool) bool {
	if !indexed {
		return strings.Contains(s, want)
	}
	have := words(s)
	for _, w := range words(want) {
		if !slices.Contains(have, w) {
			return false
		}
	}
	return true
}

func words(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

func onText(check func(string) bool) func(*pb.Value) bool {
	return func(in *pb.Value) bool {
		s, ok := in.GetKind().(*pb.Value_StringValue)
		return ok && check(s.StringValue)
	}
}

func onInteger(check func(int64) bool) func(*pb.Value) bool {
	return func(in *pb.Value) bool {
		n, ok := in.GetKind().(*pb.Value_IntegerValue)
		return ok && check(n.IntegerValue)
	}
}

// number is a value as the server compares it: as a double, whatever it is.
func number(v *pb.Value) (float64, bool) {
	switch n := v.GetKind().(type) {
	case *pb.Value_IntegerValue:
		return float64(n.IntegerValue), true
	case *pb.Value_DoubleValue:
		return n.DoubleValue, true
	default:
		return 0, false
	}
}

func inRange(v *pb.Value, r *pb.Range) bool {
	n, ok := number(v)
	return ok && (r.Lt == nil || n < *r.Lt) && (r.Lte == nil || n <= *r.Lte) && (r.Gt == nil || n > *r.Gt) && (r.Gte == nil || n >= *r.Gte)
}

// dateForms are the forms of a time that the server reads.
var dateForms = []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"}

func inTime(v *pb.Value, r *pb.DatetimeRange) bool {
	for _, form := range dateForms {
		t, err := time.Parse(form, v.GetStringValue())
		if err != nil {
			continue
		}
		before := func(limit *timestamppb.Timestamp) bool { return t.Before(limit.AsTime()) }
		after := func(limit *timestamppb.Timestamp) bool { return t.After(limit.AsTime()) }
		return (r.Lt == nil || before(r.Lt)) && (r.Lte == nil || !after(r.Lte)) && (r.Gt == nil || after(r.Gt)) && (r.Gte == nil || !before(r.Gte))
	}
	return false
}

func counted(v *pb.Value, r *pb.ValuesCount) bool {
	n := uint64(1)
	switch k := v.GetKind().(type) {
	case *pb.Value_ListValue:
		n = uint64(len(k.ListValue.GetValues()))
	case *pb.Value_NullValue:
		n = 0
	}
	return (r.Lt == nil || n < *r.Lt) && (r.Lte == nil || n <= *r.Lte) && (r.Gt == nil || n > *r.Gt) && (r.Gte == nil || n >= *r.Gte)
}
