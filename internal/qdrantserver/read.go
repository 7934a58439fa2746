package qdrantserver

import (
	"cmp"
	"context"
	"slices"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"
)

// all calls fn with every shard, locked for reading and with its ids sorted.
func (c *collection) all(fn func(*shard)) {
	for _, s := range c.shards {
		s.mu.RLock()
		for s.sorted == nil { // a writer may come in between
			s.mu.RUnlock()
			s.order()
			s.mu.RLock()
		}
		fn(s)
		s.mu.RUnlock()
	}
}

// pick is the part of a payload that is asked for. Paths lead to values at the top only.
func pick(payload map[string]*pb.Value, want *pb.WithPayloadSelector) map[string]*pb.Value {
	out := map[string]*pb.Value{}
	switch v := want.GetSelectorOptions().(type) {
	case *pb.WithPayloadSelector_Enable:
		if v.Enable {
			return payload
		}
	case *pb.WithPayloadSelector_Include:
		for _, field := range v.Include.GetFields() {
			if value := payload[field]; value != nil {
				out[field] = value
			}
		}
	case *pb.WithPayloadSelector_Exclude:
		for field, value := range payload {
			if !slices.Contains(v.Exclude.GetFields(), field) {
				out[field] = value
			}
		}
	}
	return out
}

func retrieved(p *point, payload *pb.WithPayloadSelector, vectors *pb.WithVectorsSelector) *pb.RetrievedPoint {
	return &pb.RetrievedPoint{Id: p.id.proto(), Payload: pick(p.payload, payload), Vectors: output(p.vectors, vectors)}
}

// Get tells points by id. Those that are not there are left out.
func (p points) Get(_ context.Context, r *pb.GetPoints) (*pb.GetResponse, error) {
	c, err := p.s.data.find(r.CollectionName)
	if err != nil {
		return nil, err
	}
	ids, err := idsOf(r.Ids)
	if err != nil {
		return nil, err
	}
	answer := &pb.GetResponse{}
	for _, id := range ids {
		s := c.shards[id.place(len(c.shards))]
		s.mu.RLock()
		found := s.points[id]
		s.mu.RUnlock()
		if found != nil {
			answer.Result = append(answer.Result, retrieved(found, r.WithPayload, r.WithVectors))
		}
	}
	return answer, nil
}

const usualLimit = 10

// Scroll tells points in the order of their ids, or of a number in their payload, page by page.
func (p points) Scroll(_ context.Context, r *pb.ScrollPoints) (*pb.ScrollResponse, error) {
	c, err := p.s.data.find(r.CollectionName)
	if err != nil {
		return nil, err
	}
	limit := usualLimit
	if r.Limit != nil {
		limit = int(*r.Limit)
	}
	if limit < 1 {
		return nil, invalid("limit", "value 0 invalid, must be 1 or larger")
	}
	f, err := c.compile(r.Filter)
	if err != nil {
		return nil, err
	}
	if r.OrderBy != nil {
		return c.ordered(r, f, limit)
	}
	var from *pointID
	if r.Offset != nil {
		id, err := idOf(r.Offset)
		if err != nil {
			return nil, err
		}
		from = &id
	}
	found := c.after(from, f, limit+1)
	answer := &pb.ScrollResponse{}
	if len(found) > limit {
		answer.NextPageOffset = found[limit].id.proto()
		found = found[:limit]
	}
	for _, point := range found {
		answer.Result = append(answer.Result, retrieved(point, payloadOf(r), r.WithVectors))
	}
	return answer, nil
}

// payloadOf is what a scroll wants of the payload: all of it, unless it says otherwise.
func payloadOf(r *pb.ScrollPoints) *pb.WithPayloadSelector {
	if r.WithPayload == nil {
		return pb.NewWithPayload(true)
	}
	return r.WithPayload
}

// after are the first points from an id on that the filter lets through, in the order of ids.
func (c *collection) after(from *pointID, f *filter, most int) []*point {
	var found []*point
	c.all(func(s *shard) {
		if _, bounded := f.bound(); bounded {
			for _, p := range s.matching(f) {
				if from == nil || compareIDs(p.id, *from) >= 0 {
					found = append(found, p)
				}
			}
			return
		}
		start := 0
		if from != nil {
			start, _ = slices.BinarySearchFunc(s.sorted, *from, compareIDs)
		}
		n := 0
		for _, id := range s.sorted[start:] {
			if p := s.points[id]; f.match(p) {
				found = append(found, p)
				if n++; n == most {
					break
				}
			}
		}
	})
	slices.SortFunc(found, func(a, b *point) int { return compareIDs(a.id, b.id) })
	return found[:min(len(found), most)]
}

// ordered is a scroll by a number in the payload, which needs an index. Such a scroll has no next page.
func (c *collection) ordered(r *pb.ScrollPoints, f *filter, limit int) (*pb.ScrollResponse, error) {
	key := r.OrderBy.Key
	switch c.indexed(key) {
	case pb.PayloadSchemaType_Integer, pb.PayloadSchemaType_Float:
	default:
		return nil, badInput("No range index for `order_by` key: `%s`. Please create one to use `order_by`. Check https://qdrant.tech/documentation/concepts/indexing/#payload-index to see which payload schemas support Range conditions", key)
	}
	type placed struct {
		*point
		at float64
	}
	var found []placed
	c.all(func(s *shard) {
		for _, p := range s.matching(f) {
			if n, ok := number(p.payload[key]); ok {
				found = append(found, placed{p, n})
			}
		}
	})
	slices.SortFunc(found, func(a, b placed) int {
		by := cmp.Or(cmp.Compare(a.at, b.at), compareIDs(a.id, b.id))
		if r.OrderBy.GetDirection() == pb.Direction_Desc {
			by = -by
		}
		return by
	})
	answer := &pb.ScrollResponse{}
	for _, p := range found[:min(len(found), limit)] {
		answer.Result = append(answer.Result, retrieved(p.point, payloadOf(r), r.WithVectors))
	}
	return answer, nil
}

// Count tells how many points a filter lets through, exactly.
func (p points) Count(_ context.Context, r *pb.CountPoints) (*pb.CountResponse, error) {
	c, err := p.s.data.find(r.CollectionName)
	if err != nil {
		return nil, err
	}
	f, err := c.compile(r.Filter)
	if err != nil {
		return nil, err
	}
	n := uint64(0)
	c.all(func(s *shard) { n += uint64(len(s.matching(f))) })
	return &pb.CountResponse{Result: &pb.CountResult{Count: n}}, nil
}

// fieldTypes are the kinds of indexes by what asks for them.
var fieldTypes = map[pb.FieldType]pb.PayloadSchemaType{
	pb.FieldType_FieldTypeKeyword: pb.PayloadSchemaType_Keyword, pb.FieldType_FieldTypeInteger: pb.PayloadSchemaType_Integer,
	pb.FieldType_FieldTypeFloat: pb.PayloadSchemaType_Float, pb.FieldType_FieldTypeGeo: pb.PayloadSchemaType_Geo,
	pb.FieldType_FieldTypeText: pb.PayloadSchemaType_Text, pb.FieldType_FieldTypeBool: pb.PayloadSchemaType_Bool,
	pb.FieldType_FieldTypeDatetime: pb.PayloadSchemaType_Datetime, pb.FieldType_FieldTypeUuid: pb.PayloadSchemaType_Uuid,
}

// CreateFieldIndex makes an index, in place of the one that is there.
func (p points) CreateFieldIndex(ctx context.Context, r *pb.CreateFieldIndexCollection) (*pb.PointsOperationResponse, error) {
	return p.run(ctx, r.CollectionName, r.GetWait(), func(c *collection) (operation, error) {
		if r.FieldType == nil {
			return operation{}, malformed("field type is required")
		}
		if _, err := parsePath(r.FieldName); err != nil {
			return operation{}, err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.schema[r.FieldName] = &pb.PayloadSchemaInfo{DataType: fieldTypes[*r.FieldType], Params: r.FieldIndexParams, Points: proto.Uint64(0)}
		return operation{apply: func(*shard) error { return nil }}, nil
	})
}

// DeleteFieldIndex removes an index, if it is there.
func (p points) DeleteFieldIndex(ctx context.Context, r *pb.DeleteFieldIndexCollection) (*pb.PointsOperationResponse, error) {
	return p.run(ctx, r.CollectionName, r.GetWait(), func(c *collection) (operation, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.schema, r.FieldName)
		return operation{apply: func(*shard) error { return nil }}, nil
	})
}
