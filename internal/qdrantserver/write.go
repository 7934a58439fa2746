package qdrantserver

import (
	"maps"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// deepest is how deep a message may be nested for the server to read it: prost's RECURSION_LIMIT.
const deepest = 100

// nesting refuses points whose payload the server could not read; depth is that of the point's message.
func nesting(list []*pb.PointStruct, depth int) error {
	for _, p := range list {
		for _, v := range p.Payload {
			if depth+2+levels(v) > deepest {
				return status.Error(codes.Internal, "failed to decode Protobuf message: Value.kind: recursion limit reached")
			}
		}
	}
	return nil
}

// levels are the messages in a value: a list is one more for itself, an object two more.
func levels(v *pb.Value) int {
	most := 0
	for _, e := range v.GetListValue().GetValues() {
		most = max(most, 2+levels(e))
	}
	for _, e := range v.GetStructValue().GetFields() {
		most = max(most, 3+levels(e))
	}
	return most
}

// upsert is the operation that stores points. Of points with the same id the last one counts.
func (c *collection) upsert(list []*pb.PointStruct, guard *pb.Filter, mode pb.UpdateMode) (operation, error) {
	if most := c.config.GetStrictModeConfig().GetUpsertMaxBatchsize(); most > 0 && uint64(len(list)) > most {
		return operation{}, badRequest("Upsert size limit exceeded, max: %d. Help: Reduce the upsert size", most)
	}
	filter, err := c.compile(guard)
	if err != nil {
		return operation{}, err
	}
	byPlace := map[int]map[pointID]*point{}
	places := map[int]bool{}
	for _, in := range list {
		p, err := c.point(in)
		if err != nil {
			return operation{}, err
		}
		at := p.id.place(len(c.shards))
		if byPlace[at] == nil {
			byPlace[at], places[at] = map[pointID]*point{}, true
		}
		byPlace[at][p.id] = p
	}
	return operation{places: places, apply: func(s *shard) error {
		for at := range byPlace {
			if c.shards[at] == s {
				s.upsert(byPlace[at], filter, mode)
			}
		}
		return nil
	}}, nil
}

// upsert stores those points that are new, or whose present state the filter lets through.
func (s *shard) upsert(list map[pointID]*point, guard *filter, mode pb.UpdateMode) {
	for id, p := range list {
		have := s.points[id]
		switch {
		case have == nil && mode == pb.UpdateMode_UpdateOnly:
		case have != nil && mode == pb.UpdateMode_InsertOnly:
		case have != nil && !guard.match(have):
		default:
			s.put(p)
		}
	}
}

// point checks a point and takes it in.
func (c *collection) point(in *pb.PointStruct) (*point, error) {
	c.taken.Add(1)
	if in.Vectors == nil {
		return nil, malformed("Expected some vectors")
	}
	id, err := idOf(in.Id)
	if err != nil {
		return nil, err
	}
	vectors, err := c.vectors(in.Vectors)
	if err != nil {
		return nil, err
	}
	return &point{id: id, payload: in.Payload, vectors: vectors}, nil
}

// selected are the points of a selector, and the shards they are in.
func (c *collection) selected(in *pb.PointsSelector) (pick func(*shard) ([]*point, error), places map[int]bool, err error) {
	switch v := in.GetPointsSelectorOneOf().(type) {
	case *pb.PointsSelector_Points:
		ids, err := idsOf(v.Points.GetIds())
		if err != nil {
			return nil, nil, err
		}
		return func(s *shard) ([]*point, error) { return c.byID(s, ids) }, c.places(ids), nil
	case *pb.PointsSelector_Filter:
		f, err := c.compile(v.Filter)
		if err != nil {
			return nil, nil, err
		}
		return func(s *shard) ([]*point, error) { return s.matching(f), nil }, nil, nil
	default:
		return nil, nil, malformed("PointSelector is missing")
	}
}

// byID are the points of ids in a shard; one that is not there is an error.
func (c *collection) byID(s *shard, ids []pointID) ([]*point, error) {
	var list []*point
	for _, id := range ids {
		if c.shards[id.place(len(c.shards))] != s {
			continue
		}
		p := s.points[id]
		if p == nil {
			return nil, noPoint(id)
		}
		list = append(list, p)
	}
	return list, nil
}

func (c *collection) remove(in *pb.PointsSelector) (operation, error) {
	if ids := in.GetPoints(); ids != nil {
		return c.removeIDs(ids.Ids)
	}
	pick, places, err := c.selected(in)
	if err != nil {
		return operation{}, err
	}
	return operation{places: places, apply: func(s *shard) error {
		list, err := pick(s)
		for _, p := range list {
			s.remove(p.id)
		}
		return err
	}}, nil
}

// removeIDs removes points by id; one that is not there is nothing.
func (c *collection) removeIDs(list []*pb.PointId) (operation, error) {
	ids, err := idsOf(list)
	return operation{places: c.places(ids), apply: func(s *shard) error {
		for _, id := range ids {
			s.remove(id)
		}
		return nil
	}}, err
}

// change is the operation that puts a changed point in place of each selected one.
func (c *collection) change(in *pb.PointsSelector, changed func(point) *point) (operation, error) {
	pick, places, err := c.selected(in)
	if err != nil {
		return operation{}, err
	}
	return operation{places: places, apply: func(s *shard) error {
		list, err := pick(s)
		for _, p := range list {
			s.put(changed(*p))
		}
		return err
	}}, nil
}

func (c *collection) setPayload(in *pb.PointsSelector, payload map[string]*pb.Value, key string, overwrite bool) (operation, error) {
	if key != "" {
		return operation{}, missing("payload at a path")
	}
	return c.change(in, func(p point) *point {
		next := map[string]*pb.Value{}
		if !overwrite {
			maps.Copy(next, p.payload)
		}
		maps.Copy(next, payload)
		p.payload = next
		return &p
	})
}

func (c *collection) deletePayload(in *pb.PointsSelector, keys []string) (operation, error) {
	return c.change(in, func(p point) *point {
		p.payload = maps.Clone(p.payload)
		for _, key := range keys {
			delete(p.payload, key)
		}
		return &p
	})
}

func (c *collection) deleteVectors(in *pb.PointsSelector, names []string) (operation, error) {
	return c.change(in, func(p point) *point {
		p.vectors = maps.Clone(p.vectors)
		for _, name := range names {
			delete(p.vectors, name)
		}
		return &p
	})
}

// updateVectors is the operation that puts vectors to points, which have to be there.
func (c *collection) updateVectors(list []*pb.PointVectors, guard *pb.Filter) (operation, error) {
	filter, err := c.compile(guard)
	if err != nil {
		return operation{}, err
	}
	ids := make([]pointID, len(list))
	vectors := map[pointID]map[string]*pb.Vector{}
	for i, in := range list {
		if ids[i], err = idOf(in.Id); err != nil {
			return operation{}, err
		}
		if vectors[ids[i]], err = c.vectors(in.Vectors); err != nil {
			return operation{}, err
		}
	}
	return operation{places: c.places(ids), apply: func(s *shard) error {
		points, err := c.byID(s, ids)
		for _, have := range points {
			if !filter.match(have) {
				continue
			}
			p := *have
			p.vectors = maps.Clone(p.vectors)
			maps.Copy(p.vectors, vectors[p.id])
			s.put(&p)
		}
		return err
	}}, nil
}
