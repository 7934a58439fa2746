package qdrant

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/qdrantserver"
)

// compares wants these columns of record a to differ.
func (b *backend) compares(t *testing.T, to backends.Target, r backends.Record, columns ...string) {
	t.Helper()
	found, err := b.Compare(t.Context(), to, []backends.Record{r})
	var want []backends.Mismatch
	if len(columns) > 0 {
		want = []backends.Mismatch{{Key: r.Key, Columns: columns}}
	}
	if d := cmp.Diff(want, found); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}

// Vectors that are stored are the same as they were sent, whatever the server makes of them, and others are not: dense
// ones of any distance, multivectors and sparse ones.
func TestContentOfVectors(t *testing.T) {
	t.Parallel()
	b := store(t, nil)
	to := target(
		[]backends.Column{column("name", "text"), column("v", "real[]"), column("m", "real[]"), column("at", "integer[]"), column("w", "real[]")},
		dict{
			"vectors": dict{"v": dict{"size": 3, "distance": "Cosine"}, "m": dict{"size": 2, "distance": "Cosine", "multivector_config": dict{"comparator": "MaxSim"}}},
			"sparse":  dict{"s": dict{"indices": "at", "values": "w"}},
		})
	b.mustPrepare(t, to)
	values := raws(t, "'{3,4,0.1}'::real[]", "'{3,4,0.2}'::real[]", "'{{1,2},{0.5,0.25}}'::real[]", "'{{1,2},{0.5,0.5}}'::real[]", "'{{1,2}}'::real[]",
		"'{7,1}'::int[]", "'{1,7}'::int[]", "'{1,8}'::int[]", "'{0.5,0.25}'::real[]", "'{0.25,0.5}'::real[]")
	m, err := b.model(to)
	if err != nil {
		t.Fatal(err)
	}
	of := func(v, multi, at, w string) backends.Record {
		byName := map[string][]byte{"v": values[v], "m": values[multi], "at": values[at], "w": values[w]}
		r := backends.Record{Key: "a", Version: 1, Doc: []byte(`{"name": "x"}`)}
		for _, name := range m.raw {
			r.Raw = append(r.Raw, byName[name])
		}
		r.Digest = backends.ContentDigest(r.Doc, r.Raw)
		return r
	}
	const v, multi, at, w = "'{3,4,0.1}'::real[]", "'{{1,2},{0.5,0.25}}'::real[]", "'{7,1}'::int[]", "'{0.5,0.25}'::real[]"
	b.mustWrite(t, to, of(v, multi, at, w))
	b.compares(t, to, of(v, multi, at, w))
	b.compares(t, to, of("'{3,4,0.2}'::real[]", multi, at, w), "v")
	b.compares(t, to, of(v, "'{{1,2},{0.5,0.5}}'::real[]", at, w), "m")
	b.compares(t, to, of(v, "'{{1,2}}'::real[]", at, w), "m")
	b.compares(t, to, of(v, multi, "'{1,7}'::int[]", "'{0.25,0.5}'::real[]"))
	b.compares(t, to, of(v, multi, "'{1,7}'::int[]", w), "at", "w")
	b.compares(t, to, of(v, multi, "'{1,8}'::int[]", "'{0.25,0.5}'::real[]"), "at", "w")
	b.compares(t, to, of("", "", "", ""), "at", "m", "v", "w")
	b.compares(t, to, of(multi, multi, at, w), "v") // it cannot be stored
	b.mustWrite(t, to, of("", "", "", ""))
	b.compares(t, to, of("", "", "", ""))
	b.compares(t, to, of(v, multi, at, w), "at", "m", "v", "w")
}

// A payload's field that is another, of another type, missing or too much is told by its name; our own are not compared.
func TestContentOfPayloads(t *testing.T) {
	t.Parallel()
	b := store(t, nil)
	to := vectors()
	r := record("a", 1, 1, 2)
	b.mustPrepare(t, to)
	b.mustWrite(t, to, r)
	m, err := b.model(to)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := m.ids.of("a")
	change := func(payload map[string]*pb.Value) {
		t.Helper()
		b.mustWrite(t, to, r)
		_, err := b.points.SetPayload(t.Context(), &pb.SetPayloadPoints{
			CollectionName: m.collection, Wait: new(true), Payload: payload, PointsSelector: pb.NewPointsSelector(id),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	change(map[string]*pb.Value{versionField: pb.NewValueInt(0)})
	b.compares(t, to, r)
	change(map[string]*pb.Value{"name": pb.NewValueInt(1), "more": pb.NewValueNull()})
	b.compares(t, to, r, "more", "name")
}

// A vector that somebody changed behind unchanged digests is sent again by a repair, also where vectors are not resent;
// one whose payload alone has changed is still not.
func TestRepairResendsVectors(t *testing.T) {
	t.Parallel()
	b, s, _ := faulty(t)
	to, r := keeping(), record("a", 1, 1, 2)
	b.mustWrite(t, to, r)
	m, err := b.model(to)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := m.ids.of("a")
	_, err = b.points.UpdateVectors(t.Context(), &pb.UpdatePointVectors{CollectionName: m.collection, Wait: new(true), Points: []*pb.PointVectors{
		{Id: id, Vectors: pb.NewVectorsMap(map[string]*pb.Vector{"v": pb.NewVectorDense([]float32{9, 9})})},
	}})
	if err != nil {
		t.Fatal(err)
	}
	b.compares(t, to, r, "v")
	count := sent(s)
	r.Version++
	b.mustWrite(t, to, r)
	if b.compares(t, to, r); count() != 1 {
		t.Errorf("%d points were sent whole", count())
	}
}

// heldRow is a vector as a server keeps it whose sums of squares come out a little wrong, as they do in 32 bits.
func heldRow(v []float32, p *pb.VectorParams, off float64) []float32 {
	held := slices.Clone(v)
	squares := 0.0
	for _, x := range v {
		squares += float64(x) * float64(x)
	}
	if p.Distance == pb.Distance_Cosine && squares >= tinySquares && math.Abs(squares-1) > 1e-6 {
		for i, x := range v {
			held[i] = float32(float64(x) / (math.Sqrt(squares) * (1 + off)))
		}
	}
	return held
}

// Within what 32 bits lose, a vector is the same; with one element clearly another it is not.
func TestSameRow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := &pb.VectorParams{Distance: rapid.SampledFrom([]pb.Distance{pb.Distance_Cosine, pb.Distance_Dot, pb.Distance_Euclid}).Draw(t, "distance")}
		v := rapid.SliceOfN(rapid.Float32Range(-1, 1), 1, 8).Draw(t, "vector")
		for i := range v {
			v[i] *= float32(math.Pow(10, float64(rapid.IntRange(-6, 6).Draw(t, "power"))))
		}
		d := dense{VectorParams: p}
		held := heldRow(v, p, rapid.Float64Range(-4e-6, 4e-6).Draw(t, "error"))
		if !d.sameRow(v, held) {
			t.Fatalf("%v is kept as %v, and taken for another", v, held)
		}
		at := rapid.IntRange(0, len(held)-1).Draw(t, "at")
		held[at] = held[at]*1.001 + float32(math.Copysign(1e-30, float64(held[at])))
		if d.sameRow(v, held) {
			t.Fatalf("%v is taken for %v", held, v)
		}
		if d.sameRow(v, held[1:]) {
			t.Fatal("a shorter one is taken for it")
		}
	})
}

// Numbers of 16 and of 8 bits are the same as what they were made of.
func TestSameRowOfFewBits(t *testing.T) {
	t.Parallel()
	of := func(typ pb.Datatype) dense {
		return dense{VectorParams: &pb.VectorParams{Distance: pb.Distance_Dot, Datatype: &typ}}
	}
	for name, c := range map[string]struct {
		d          dense
		want, have []float32
		same       bool
	}{
		"half":            {of(pb.Datatype_Float16), []float32{0.1, 1000.3}, []float32{0.099975586, 1000.5}, true},
		"half, other":     {of(pb.Datatype_Float16), []float32{0.1, 1000.3}, []float32{0.099975586, 1001.5}, false},
		"half, smallest":  {of(pb.Datatype_Float16), []float32{1e-8}, []float32{0}, true},
		"byte":            {of(pb.Datatype_Uint8), []float32{0, 12.9, 300, -1}, []float32{0, 12, 255, 0}, true},
		"byte, other":     {of(pb.Datatype_Uint8), []float32{12.9}, []float32{13}, false},
		"single":          {of(pb.Datatype_Float32), []float32{0.1}, []float32{0.1}, true},
		"single, one ulp": {of(pb.Datatype_Float32), []float32{0.1}, []float32{math.Nextafter32(0.1, 1)}, false},
	} {
		if got := c.d.sameRow(c.want, c.have); got != c.same {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// What older servers tell, in data and counts beside it, is read as well.
func TestOldFormOfVectors(t *testing.T) {
	t.Parallel()
	old := &pb.VectorOutput{Data: []float32{1, 2, 3, 4}} //nolint:staticcheck // the old form
	if got := rowsOf(old); len(got) != 1 || len(got[0]) != 4 {
		t.Errorf("dense: %v", got)
	}
	old.VectorsCount = proto.Uint32(2) //nolint:staticcheck // the old form
	if got := rowsOf(old); len(got) != 2 || got[1][0] != 3 {
		t.Errorf("multivector: %v", got)
	}
	s := sparse{name: "s", indices: 0, values: 1}
	raw := [][]byte{raws(t, "'{1,7}'::int[]")["'{1,7}'::int[]"], reals(0.5, 0.25)}
	have := &pb.VectorOutput{Data: []float32{0.25, 0.5}, Indices: &pb.SparseIndices{Data: []uint32{7, 1}}} //nolint:staticcheck // the old form
	if !s.same(raw, have) {
		t.Error("a sparse vector is taken for another")
	}
	only := &pb.RetrievedPoint{Vectors: &pb.VectorsOutput{VectorsOptions: &pb.VectorsOutput_Vector{Vector: old}}}
	if got := heldVectors(only); got[""] != old {
		t.Errorf("a vector without a name: %v", got)
	}
}

// Counting and comparing say what failed, and how.
func TestContentFaults(t *testing.T) {
	t.Parallel()
	b, s, _ := faulty(t)
	s.Fail(qdrantserver.Fault{Method: "Count", Err: qdrantserver.Unavailable()})
	if _, err := b.Count(t.Context(), vectors()); backends.ClassOf(err) != backends.Transient {
		t.Errorf("count: %v", err)
	}
	s.Fail(qdrantserver.Fault{Method: "Get", Err: qdrantserver.Unavailable()})
	if _, err := b.Compare(t.Context(), vectors(), []backends.Record{record("a", 1)}); backends.ClassOf(err) != backends.Transient {
		t.Errorf("compare: %v", err)
	}
}
