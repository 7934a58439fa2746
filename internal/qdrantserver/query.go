package qdrantserver

import (
	"cmp"
	"context"
	"math"
	"slices"

	pb "github.com/qdrant/go-client/qdrant"
)

// search is what is looked for.
type search struct {
	like          *pb.Vector
	using         string
	filter        *pb.Filter
	limit, offset uint64
	threshold     *float32
	payload       *pb.WithPayloadSelector
	vectors       *pb.WithVectorsSelector
	distance      pb.Distance // of using; of a sparse vector the scalar product
}

// Search finds the points nearest to a vector.
func (p points) Search(_ context.Context, r *pb.SearchPoints) (*pb.SearchResponse, error) {
	c, err := p.s.data.find(r.CollectionName)
	if err != nil {
		return nil, err
	}
	like := pb.NewVectorDense(r.Vector)
	if r.SparseIndices != nil {
		like = pb.NewVectorSparse(r.SparseIndices.GetData(), r.Vector)
	}
	found, err := c.nearest(search{
		like: like, using: r.GetVectorName(), filter: r.Filter, limit: r.Limit, offset: r.GetOffset(),
		threshold: r.ScoreThreshold, payload: r.WithPayload, vectors: r.WithVectors,
	})
	return &pb.SearchResponse{Result: found}, err
}

// Query finds the points nearest to a vector or to a point, or tells points by id when nothing is looked for.
func (p points) Query(_ context.Context, r *pb.QueryPoints) (*pb.QueryResponse, error) {
	c, err := p.s.data.find(r.CollectionName)
	if err != nil {
		return nil, err
	}
	limit := uint64(usualLimit)
	if r.Limit != nil {
		limit = *r.Limit
	}
	in := search{
		using: r.GetUsing(), filter: r.Filter, limit: limit, offset: r.GetOffset(),
		threshold: r.ScoreThreshold, payload: r.WithPayload, vectors: r.WithVectors,
	}
	switch v := r.GetQuery().GetVariant().(type) {
	case nil:
		return c.listed(in)
	case *pb.Query_Nearest:
		if in.like, err = c.input(v.Nearest, in.using); err != nil {
			return nil, err
		}
	default:
		return nil, missing("query of this kind")
	}
	found, err := c.nearest(in)
	return &pb.QueryResponse{Result: found}, err
}

func (c *collection) listed(in search) (*pb.QueryResponse, error) {
	f, err := c.compile(in.filter)
	if err != nil {
		return nil, err
	}
	answer := &pb.QueryResponse{}
	found := c.after(nil, f, int(in.offset+in.limit))           //nolint:gosec // a test's own
	for _, p := range found[min(int(in.offset), len(found)):] { //nolint:gosec // a test's own
		answer.Result = append(answer.Result, &pb.ScoredPoint{Id: p.id.proto(), Payload: pick(p.payload, in.payload), Vectors: output(p.vectors, in.vectors)})
	}
	return answer, nil
}

// input is the vector that is looked for.
func (c *collection) input(in *pb.VectorInput, using string) (*pb.Vector, error) {
	switch v := in.GetVariant().(type) {
	case *pb.VectorInput_Dense:
		return pb.NewVectorDense(v.Dense.Data), nil
	case *pb.VectorInput_Sparse:
		return pb.NewVectorSparse(v.Sparse.Indices, v.Sparse.Values), nil
	case *pb.VectorInput_MultiDense:
		return &pb.Vector{Vector: &pb.Vector_MultiDense{MultiDense: v.MultiDense}}, nil
	case *pb.VectorInput_Id:
		id, err := idOf(v.Id)
		if err != nil {
			return nil, err
		}
		s := c.shards[id.place(len(c.shards))]
		s.mu.RLock()
		defer s.mu.RUnlock()
		if p := s.points[id]; p != nil && p.vectors[using] != nil {
			return p.vectors[using], nil
		}
		return nil, noPoint(id)
	default:
		return nil, missing("vector input of this kind")
	}
}

// nearest compares with every point.
func (c *collection) nearest(in search) ([]*pb.ScoredPoint, error) {
	f, err := c.compile(in.filter)
	if err != nil {
		return nil, err
	}
	if in, err = c.prepare(in); err != nil {
		return nil, err
	}
	var found []*pb.ScoredPoint
	c.all(func(s *shard) {
		for _, p := range s.matching(f) {
			score, ok := in.score(p.vectors[in.using])
			if !ok || in.threshold != nil && in.better(*in.threshold, score) > 0 {
				continue
			}
			found = append(found, &pb.ScoredPoint{
				Id: p.id.proto(), Score: score, Payload: pick(p.payload, in.payload), Vectors: output(p.vectors, in.vectors),
			})
		}
	})
	slices.SortFunc(found, func(a, b *pb.ScoredPoint) int {
		return cmp.Or(-in.better(a.Score, b.Score), cmp.Compare(a.Id.String(), b.Id.String()))
	})
	found = found[min(in.offset, uint64(len(found))):]
	return found[:min(in.limit, uint64(len(found)))], nil
}

// prepare checks what is looked for against the collection.
func (c *collection) prepare(in search) (search, error) {
	dense := vectorParams(c.config.Params.GetVectorsConfig())[in.using]
	var err error
	switch {
	case dense != nil && in.like.GetMultiDense() != nil:
		in.like, err = checkMulti(in.like, dense)
	case dense != nil:
		in.like, err = checkDense(in.like, dense)
	case c.config.Params.GetSparseVectorsConfig().GetMap()[in.using] != nil:
		in.distance = pb.Distance_Dot
		in.like, err = checkSparse(in.like)
		return in, err
	default:
		return in, noVector(in.using)
	}
	in.distance = dense.Distance
	return in, err
}

// better is above zero when a is a better score than b.
func (in search) better(a, b float32) int {
	if in.distance == pb.Distance_Euclid || in.distance == pb.Distance_Manhattan {
		return cmp.Compare(b, a)
	}
	return cmp.Compare(a, b)
}

// score compares what is looked for with a point's vector. False: the point has none.
func (in search) score(v *pb.Vector) (float32, bool) {
	if v == nil {
		return 0, false
	}
	if s := v.GetSparse(); s != nil {
		return sparseScore(in.like.GetSparse(), s)
	}
	have, want := parts(v), parts(in.like)
	total := 0.0
	for _, w := range want { // of several vectors: for each the best of the other's
		best := in.distanceOf(w, have[0])
		for _, h := range have[1:] {
			if d := in.distanceOf(w, h); in.better(float32(d), float32(best)) > 0 {
				best = d
			}
		}
		total += best
	}
	return float32(total), true
}

func parts(v *pb.Vector) [][]float32 {
	if d := v.GetDense(); d != nil {
		return [][]float32{d.Data}
	}
	var list [][]float32
	for _, d := range v.GetMultiDense().GetVectors() {
		list = append(list, d.Data)
	}
	return list
}

func (in search) distanceOf(a, b []float32) float64 {
	sum := 0.0
	for i := range min(len(a), len(b)) {
		x, y := float64(a[i]), float64(b[i])
		switch in.distance {
		case pb.Distance_Euclid:
			sum += (x - y) * (x - y)
		case pb.Distance_Manhattan:
			sum += math.Abs(x - y)
		default:
			sum += x * y
		}
	}
	if in.distance == pb.Distance_Euclid {
		return math.Sqrt(sum)
	}
	return sum
}

// sparseScore is the scalar product; points that share no index with what is looked for are not found.
func sparseScore(want, have *pb.SparseVector) (float32, bool) {
	sum, shared := float32(0), false
	for i, index := range want.GetIndices() {
		if j := slices.Index(have.Indices, index); j >= 0 {
			sum, shared = sum+want.Values[i]*have.Values[j], true
		}
	}
	return sum, shared
}
