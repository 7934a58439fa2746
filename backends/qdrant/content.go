package qdrant

import (
	"context"
	"maps"
	"math"
	"slices"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/content"
)

// Count counts the points of the collection exactly. Points that others wrote are among them.
func (b *backend) Count(ctx context.Context, t backends.Target) (int64, error) {
	m, err := b.model(t)
	if err != nil {
		return 0, err
	}
	answer, err := b.points.Count(ctx, &pb.CountPoints{CollectionName: m.collection, Exact: new(true)})
	if err != nil {
		return 0, b.classifyFor("count", t, err)
	}
	return int64(answer.GetResult().GetCount()), nil //nolint:gosec // no collection has as many
}

// compareMost is how many points are got at once.
const compareMost = 250

// Compare gets points with payload and vectors, by id.
func (b *backend) Compare(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Mismatch, error) {
	m, err := b.model(t)
	if err != nil {
		return nil, err
	}
	var found []backends.Mismatch
	for part := range content.Chunks(records, compareMost) {
		wanted := make(map[string]backends.Record, len(part))
		request := &pb.GetPoints{CollectionName: m.collection, WithPayload: pb.NewWithPayload(true), WithVectors: pb.NewWithVectors(true)}
		for _, r := range part {
			if id, ok := m.ids.of(r.Key); ok {
				wanted[r.Key], request.Ids = r, append(request.Ids, id)
			}
		}
		answer, err := b.points.Get(ctx, request)
		if err != nil {
			return nil, b.classifyFor("compare", t, err)
		}
		for _, p := range answer.Result {
			e, ours := m.entry(p)
			if !ours {
				continue
			}
			if columns := m.differing(wanted[e.Key], p); len(columns) > 0 {
				found = append(found, backends.Mismatch{Key: e.Key, Columns: columns})
			}
		}
	}
	return found, nil
}

// own are the fields of a payload that are ours.
var own = []string{keyField, versionField, digestField, vectorsField}

// differing names the columns in which a point is another than the record's.
func (m *model) differing(r backends.Record, p *pb.RetrievedPoint) []string {
	differ := map[string]bool{}
	payload, err := payloadOf(r.Doc)
	for _, name := range m.payload {
		if err != nil || !proto.Equal(payload[name], p.Payload[name]) {
			differ[name] = true
		}
	}
	for name := range p.Payload {
		if _, wanted := payload[name]; !wanted && !slices.Contains(own, name) {
			differ[name] = true
		}
	}
	held := heldVectors(p)
	for _, v := range m.dense {
		if !v.same(r.Raw, held[v.name]) {
			differ[m.raw[v.at]] = true
		}
		delete(held, v.name)
	}
	for _, v := range m.sparse {
		if !v.same(r.Raw, held[v.name]) {
			differ[m.raw[v.indices]], differ[m.raw[v.values]] = true, true
		}
		delete(held, v.name)
	}
	for name := range held {
		differ[name] = true
	}
	return slices.Sorted(maps.Keys(differ))
}

// heldVectors are the vectors of a point, by name.
func heldVectors(p *pb.RetrievedPoint) map[string]*pb.VectorOutput {
	held := maps.Clone(p.GetVectors().GetVectors().GetVectors())
	if only := p.GetVectors().GetVector(); only != nil {
		held = map[string]*pb.VectorOutput{"": only}
	}
	return held
}

// rowsOf are the rows of a vector as a server tells it, in the present form or in the one of servers before 1.17.
func rowsOf(v *pb.VectorOutput) [][]float32 {
	if m := v.GetMultiDense(); m != nil {
		rows := make([][]float32, len(m.GetVectors()))
		for i, row := range m.GetVectors() {
			rows[i] = row.GetData()
		}
		return rows
	}
	data := v.GetDense().GetData()
	if data == nil {
		data = v.GetData() //nolint:staticcheck // the old form
	}
	n := max(int(v.GetVectorsCount()), 1) //nolint:staticcheck // the old form
	if len(data)%n != 0 || len(data) == 0 {
		return [][]float32{data}
	}
	return slices.Collect(slices.Chunk(data, len(data)/n))
}

// same says whether a vector is the one that the server makes of the record's. A record whose vector cannot be stored
// is never the same.
func (v dense) same(raw [][]byte, have *pb.VectorOutput) bool {
	made := map[string]*pb.Vector{}
	if err := v.add(made, raw); err != nil {
		return false
	}
	want := made[v.name]
	if want == nil || have == nil {
		return want == nil && have == nil
	}
	wanted := [][]float32{want.GetDense().GetData()}
	if m := want.GetMultiDense(); m != nil {
		wanted = wanted[:0]
		for _, row := range m.GetVectors() {
			wanted = append(wanted, row.GetData())
		}
	}
	return slices.EqualFunc(wanted, rowsOf(have), v.sameRow)
}

// How far a stored element may be from what it was made of. The length that a vector is divided by is a sum of squares
// in 32 bits: in the order in which any server adds, its error stays below this share. Numbers of 16 bits have half a
// unit in the last of their 11 bits, and below the normal ones half of the smallest.
const (
	normalError   = 0x1p-17 // 64 units in the last place of 32 bits
	halfError     = 0x1p-11
	halfSmallest  = 0x1p-25
	tinySquares   = 0x1p-23 // a vector that is shorter is not divided
	tinyTolerance = 0x1p-20
)

// sameRow compares one vector as it was sent with the one that is stored.
func (v dense) sameRow(want, have []float32) bool {
	if len(want) != len(have) {
		return false
	}
	share, least, scale := 0.0, 0.0, 1.0
	switch v.GetDatatype() {
	case pb.Datatype_Uint8:
		return slices.EqualFunc(want, have, func(w, h float32) bool { return float32(math.Trunc(min(max(float64(w), 0), 255))) == h })
	case pb.Datatype_Float16:
		share, least = halfError, halfSmallest
	default: // what was sent
	}
	squares := 0.0
	for _, w := range want {
		squares += float64(w) * float64(w)
	}
	if v.Distance == pb.Distance_Cosine && squares > tinySquares*(1-tinyTolerance) {
		scale, share, least = 1/math.Sqrt(squares), share+normalError, least+math.SmallestNonzeroFloat32
		if squares < tinySquares*(1+tinyTolerance) && slices.Equal(want, have) {
			return true // it may be the server's that it is too short
		}
	}
	return slices.EqualFunc(want, have, func(w, h float32) bool {
		x, y := float64(w)*scale, float64(h)
		return x == y || math.Abs(x-y) <= math.Abs(x)*share+least
	})
}

// same compares by index, in whatever order.
func (v sparse) same(raw [][]byte, have *pb.VectorOutput) bool {
	made := map[string]*pb.Vector{}
	if err := v.add(made, raw); err != nil {
		return false
	}
	indices, values := have.GetSparse().GetIndices(), have.GetSparse().GetValues()
	if have.GetSparse() == nil && have.GetIndices() != nil { //nolint:staticcheck // the old form
		indices, values = have.GetIndices().GetData(), have.GetData() //nolint:staticcheck // the old form
	}
	want := made[v.name].GetSparse()
	if len(indices) != len(values) || len(indices) != len(want.GetIndices()) {
		return false
	}
	held := make(map[uint32]float32, len(indices))
	for i, at := range indices {
		held[at] = values[i]
	}
	for i, at := range want.GetIndices() {
		if h, there := held[at]; !there || h != want.GetValues()[i] {
			return false
		}
	}
	return true
}
