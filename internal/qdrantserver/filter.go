package qdrantserver

import (
	pb "github.com/qdrant/go-client/qdrant"
)

// filter is a filter made ready to be evaluated. The nil filter lets everything through.
type filter struct {
	must, mustNot, should, some []condition
	least                       int              // of some
	ids                         map[pointID]bool // of the has_id among must; nil: there is none
}

// condition is one condition on a point, or on an object in it.
type condition func(subject) bool

// subject is what conditions look at: a point, or an object in its payload.
type subject struct {
	point   *point // nil in an object
	payload map[string]*pb.Value
}

// compile makes a filter ready. A field's index decides how text is compared.
func (c *collection) compile(f *pb.Filter) (*filter, error) {
	if f == nil {
		return nil, nil //nolint:nilnil // the nil filter lets everything through
	}
	out := &filter{least: int(f.GetMinShould().GetMinCount())} //nolint:gosec // as small as the list
	for _, part := range []struct {
		from []*pb.Condition
		to   *[]condition
	}{
		{f.Must, &out.must}, {f.MustNot, &out.mustNot}, {f.Should, &out.should}, {f.GetMinShould().GetConditions(), &out.some},
	} {
		for _, condition := range part.from {
			ready, err := c.condition(condition)
			if err != nil {
				return nil, err
			}
			*part.to = append(*part.to, ready)
		}
	}
	for _, condition := range f.Must {
		if h := condition.GetHasId(); h != nil && out.ids == nil {
			ids, err := idsOf(h.HasId)
			if err != nil {
				return nil, err
			}
			out.ids = setOf(ids)
		}
	}
	return out, nil
}

func setOf(ids []pointID) map[pointID]bool {
	set := make(map[pointID]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return set
}

// bound are the only ids that can match, if the filter names them.
func (f *filter) bound() (map[pointID]bool, bool) {
	if f == nil || f.ids == nil {
		return nil, false
	}
	return f.ids, true
}

func (f *filter) match(p *point) bool {
	return f == nil || f.matches(subject{point: p, payload: p.payload})
}

func (f *filter) matches(s subject) bool {
	for _, c := range f.must {
		if !c(s) {
			return false
		}
	}
	for _, c := range f.mustNot {
		if c(s) {
			return false
		}
	}
	return (len(f.should) == 0 || count(f.should, s) > 0) && count(f.some, s) >= f.least
}

func count(list []condition, s subject) int {
	n := 0
	for _, c := range list {
		if c(s) {
			n++
		}
	}
	return n
}

// condition makes one condition ready.
func (c *collection) condition(in *pb.Condition) (condition, error) {
	switch v := in.GetConditionOneOf().(type) {
	case *pb.Condition_Filter:
		f, err := c.compile(v.Filter)
		if err != nil {
			return nil, err
		}
		return f.matches, nil
	case *pb.Condition_HasId:
		ids, err := idsOf(v.HasId.HasId)
		if err != nil {
			return nil, err
		}
		set := setOf(ids)
		return func(s subject) bool { return s.point != nil && set[s.point.id] }, nil
	case *pb.Condition_HasVector:
		return func(s subject) bool { return s.point != nil && s.point.vectors[v.HasVector.HasVector] != nil }, nil
	case *pb.Condition_IsEmpty:
		return onValues(v.IsEmpty.Key, isEmpty)
	case *pb.Condition_IsNull:
		return onValues(v.IsNull.Key, isNull)
	case *pb.Condition_Nested:
		return c.nested(v.Nested)
	case *pb.Condition_Field:
		return c.field(v.Field)
	default:
		return nil, malformed("Malformed Condition type")
	}
}

// onValues is a condition on the values at a path.
func onValues(key string, check func([]*pb.Value) bool) (condition, error) {
	p, err := parsePath(key)
	if err != nil {
		return nil, err
	}
	return func(s subject) bool { return check(p.values(s.payload)) }, nil
}

// isEmpty: nothing is there, or null, or an empty list.
func isEmpty(values []*pb.Value) bool {
	for _, v := range values {
		list, isList := v.GetKind().(*pb.Value_ListValue)
		if _, null := v.GetKind().(*pb.Value_NullValue); !null && (!isList || len(list.ListValue.GetValues()) > 0) {
			return false
		}
	}
	return true
}

func isNull(values []*pb.Value) bool {
	for _, v := range values {
		if _, null := v.GetKind().(*pb.Value_NullValue); null {
			return true
		}
	}
	return false
}

// nested is a condition on objects in a list: one of them has to match all of the filter.
func (c *collection) nested(in *pb.NestedCondition) (condition, error) {
	f, err := c.compile(in.GetFilter())
	if err != nil {
		return nil, err
	}
	return onValues(in.Key+"[]", func(values []*pb.Value) bool {
		for _, v := range values {
			if object := v.GetStructValue(); object != nil && f.matches(subject{payload: object.Fields}) {
				return true
			}
		}
		return false
	})
}
