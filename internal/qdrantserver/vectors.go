package qdrantserver

import (
	"math"
	"slices"

	pb "github.com/qdrant/go-client/qdrant"
)

// vectors checks a point's vectors against the collection and brings them into one form.
func (c *collection) vectors(in *pb.Vectors) (map[string]*pb.Vector, error) {
	given := in.GetVectors().GetVectors()
	if v := in.GetVector(); v != nil {
		given = map[string]*pb.Vector{"": v}
	}
	params := c.config.Params
	out := make(map[string]*pb.Vector, len(given))
	for name, v := range given {
		dense, sparse := vectorParams(params.GetVectorsConfig())[name], params.GetSparseVectorsConfig().GetMap()[name]
		var err error
		switch {
		case dense != nil && dense.MultivectorConfig != nil:
			out[name], err = checkMulti(v, dense)
		case dense != nil:
			out[name], err = checkDense(v, dense)
		case sparse != nil:
			out[name], err = checkSparse(v)
		default:
			err = noVector(name)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// flat is a vector in the old form, which is still taken: data, and how to read it beside.
func flat(v *pb.Vector) *pb.Vector {
	data := v.GetData() //nolint:staticcheck // the old form
	switch {
	case v.GetVector() != nil || len(data) == 0:
		return v
	case v.GetIndices() != nil: //nolint:staticcheck // the old form
		return pb.NewVectorSparse(v.GetIndices().GetData(), data) //nolint:staticcheck // the old form
	default:
		return pb.NewVectorDense(data)
	}
}

func checkDense(v *pb.Vector, p *pb.VectorParams) (*pb.Vector, error) {
	d := flat(v).GetDense()
	if d == nil {
		return nil, badInput("Conversion between sparse and regular vectors failed")
	}
	if uint64(len(d.Data)) != p.Size {
		return nil, wrongDimension(p.Size, len(d.Data))
	}
	return pb.NewVectorDense(kept(d.Data, p)), nil
}

func checkMulti(v *pb.Vector, p *pb.VectorParams) (*pb.Vector, error) {
	parts := flat(v).GetMultiDense().GetVectors()
	if d := flat(v).GetDense(); d != nil {
		parts = []*pb.DenseVector{d}
	}
	if len(parts) == 0 {
		return nil, invalid("vectors", "multivector must not be empty")
	}
	out := make([][]float32, len(parts))
	for i, part := range parts {
		if uint64(len(part.Data)) != p.Size {
			return nil, wrongDimension(p.Size, len(part.Data))
		}
		out[i] = kept(part.Data, p)
	}
	return pb.NewVectorMulti(out), nil
}

func checkSparse(v *pb.Vector) (*pb.Vector, error) {
	s := flat(v).GetSparse()
	switch {
	case s == nil:
		return nil, badInput("Conversion between regular and sparse vectors failed")
	case len(s.Indices) != len(s.Values):
		return nil, invalid("vectors.values", "must be the same length as indices")
	}
	sorted := slices.Sorted(slices.Values(s.Indices))
	if len(slices.Compact(sorted)) != len(s.Indices) {
		return nil, invalid("vectors.indices", "must be unique")
	}
	return v, nil
}

// kept is a vector as it is stored: of length one where the distance is the cosine.
func kept(data []float32, p *pb.VectorParams) []float32 {
	if p.Distance != pb.Distance_Cosine {
		return data
	}
	squares := 0.0
	for _, v := range data {
		squares += float64(v) * float64(v)
	}
	if squares < 0x1p-23 || math.Abs(squares-1) <= 1e-6 { // as the server has it
		return data
	}
	norm, out := math.Sqrt(squares), make([]float32, len(data))
	for i, v := range data {
		out[i] = float32(float64(v) / norm)
	}
	return out
}

// output is a point's vectors as they are read.
func output(in map[string]*pb.Vector, want *pb.WithVectorsSelector) *pb.VectorsOutput {
	names := want.GetInclude().GetNames()
	if !want.GetEnable() && len(names) == 0 {
		return nil
	}
	out := map[string]*pb.VectorOutput{}
	for name, v := range in {
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		o := &pb.VectorOutput{}
		switch v := v.GetVector().(type) {
		case *pb.Vector_Dense:
			o.Vector = &pb.VectorOutput_Dense{Dense: v.Dense}
			o.Data = v.Dense.Data //nolint:staticcheck // the server fills both
		case *pb.Vector_Sparse:
			o.Vector = &pb.VectorOutput_Sparse{Sparse: v.Sparse}
		case *pb.Vector_MultiDense:
			o.Vector = &pb.VectorOutput_MultiDense{MultiDense: v.MultiDense}
		}
		out[name] = o
	}
	if only := out[""]; only != nil && len(out) == 1 {
		return &pb.VectorsOutput{VectorsOptions: &pb.VectorsOutput_Vector{Vector: only}}
	}
	return &pb.VectorsOutput{VectorsOptions: &pb.VectorsOutput_Vectors{Vectors: &pb.NamedVectorsOutput{Vectors: out}}}
}
