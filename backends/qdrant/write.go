package qdrant

import (
	"context"
	"errors"
	"fmt"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/outflow-db/outflow/backends"
)

// change is one record on its way.
type change struct {
	place   int // among the records
	version int64
	size    int
	id      *pb.PointId
	point   *pb.PointStruct // nil: to be deleted
	digest  string          // of the record
	vectors string          // the digest of its vectors, where they are not resent
}

// Write sends requests one after the other, each as large as the pace allows, and asks after each which of its
// points the store kept because they are newer. A request that the server refuses for some record's sake is an error
// of class Rejected: see backends.WriteBisected. When a later request fails otherwise, its records and those after it
// are answered Failed with the reason, those before it as they are.
func (b *backend) Write(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Result, error) {
	m, err := b.model(t)
	if err != nil {
		return nil, err
	}
	results := make([]backends.Result, len(records))
	changes := make([]change, 0, len(records))
	for i, r := range records {
		c, e := b.change(t, m, r)
		switch {
		case e != nil:
			results[i] = backends.Result{Outcome: backends.Failed, Err: e}
		case c.id != nil:
			c.place = i
			changes = append(changes, c)
		}
	}
	for sent := 0; sent < len(changes); {
		part := portion(changes[sent:], b.pace.Most())
		if err := b.send(ctx, m, part, results); err != nil {
			e := b.classifyFor("write", t, err)
			if sent == 0 || e.Class == backends.Rejected {
				return nil, e
			}
			for _, c := range changes[sent:] {
				results[c.place] = backends.Result{Outcome: backends.Failed, Err: e}
			}
			return results, nil
		}
		sent += len(part)
	}
	return results, nil
}

// change makes a record ready. One without an id cannot be in the store: that it is deleted is done.
func (b *backend) change(t backends.Target, m *model, r backends.Record) (change, *backends.Error) {
	id, ok := m.ids.of(r.Key)
	if r.Deleted {
		return change{version: r.Version, size: len(r.Key) + 64, id: id}, nil
	}
	refuse := func(err error, advice string) (change, *backends.Error) {
		e := b.failFor("write", t, backends.Rejected, err)
		e.Key, e.Advice = r.Key, advice
		return change{}, e
	}
	if !ok {
		return refuse(errors.New("the key cannot be the id of a point: want a UUID in lower case, or an unsigned integer of 64 bits"),
			"set id: uuid5 for the target, or leave the row out of the projection's query")
	}
	if r.Size() > mostRecord {
		return refuse(fmt.Errorf("the record has %d bytes: want up to %d", r.Size(), mostRecord), "make the record smaller: leave long columns out of the projection's query")
	}
	point, err := m.point(id, r)
	if err != nil {
		return refuse(err, "mend the value in the row or in the projection's query: the record is written again with its next change, or by a retry")
	}
	return change{
		version: r.Version, size: r.Size() + 256, id: id, point: point,
		digest: r.Digest.String(), vectors: point.Payload[vectorsField].GetStringValue(),
	}, nil
}

// point is a record as Qdrant takes it.
func (m *model) point(id *pb.PointId, r backends.Record) (*pb.PointStruct, error) {
	payload, err := payloadOf(r.Doc)
	if err != nil {
		return nil, err
	}
	payload[keyField] = pb.NewValueString(r.Key)
	payload[versionField] = pb.NewValueInt(r.Version)
	payload[digestField] = pb.NewValueString(r.Digest.String())
	if !m.resend {
		payload[vectorsField] = pb.NewValueString(vectorsDigest(r.Raw))
	}
	vectors := make(map[string]*pb.Vector, len(m.dense)+len(m.sparse))
	for _, v := range m.dense {
		if err := v.add(vectors, r.Raw); err != nil {
			return nil, fmt.Errorf("vector %s: %w", v.name, err)
		}
	}
	for _, v := range m.sparse {
		if err := v.add(vectors, r.Raw); err != nil {
			return nil, fmt.Errorf("vector %s: %w", v.name, err)
		}
	}
	return &pb.PointStruct{Id: id, Payload: payload, Vectors: pb.NewVectorsMap(vectors)}, nil
}

// add reads the vector from its column. NULL is a point without it.
func (v dense) add(to map[string]*pb.Vector, raw [][]byte) error {
	if raw[v.at] == nil {
		return nil
	}
	m, err := v.read(raw[v.at])
	if err != nil {
		return err
	}
	size := int(v.Size) //nolint:gosec // as large as a collection may have it
	switch {
	case v.MultivectorConfig == nil && (m.rows != 1 || len(m.all) != size):
		return fmt.Errorf("it has %d elements: want %d", len(m.all), size)
	case v.MultivectorConfig == nil:
		to[v.name] = pb.NewVectorDense(m.all)
		return nil
	case m.rows == 0 || len(m.all) != m.rows*size || len(m.all) == 0:
		return fmt.Errorf("it has %d elements in %d rows: want rows of %d", len(m.all), m.rows, size)
	}
	rows := make([][]float32, m.rows)
	for i := range rows {
		rows[i] = m.all[i*size : (i+1)*size]
	}
	to[v.name] = pb.NewVectorMulti(rows)
	return nil
}

func (v sparse) add(to map[string]*pb.Vector, raw [][]byte) error {
	if raw[v.indices] == nil || raw[v.values] == nil {
		return nil
	}
	read := func() ([]uint32, []float32, error) { return sparseOf(raw[v.indices], raw[v.values]) }
	if v.indices == v.values {
		read = func() ([]uint32, []float32, error) { return sparsevecOf(raw[v.indices]) }
	}
	indices, values, err := read()
	if err != nil {
		return err
	}
	to[v.name] = pb.NewVectorSparse(indices, values)
	return nil
}

// portion is what of the changes goes into a request of at most so many bytes, but one at least.
func portion(changes []change, most int) []change {
	size := 0
	for i, c := range changes {
		if size += c.size; i > 0 && size > most {
			return changes[:i]
		}
	}
	return changes
}

func sizeOfAll(changes []change) int {
	size := 0
	for _, c := range changes {
		size += c.size
	}
	return size
}

// send writes one request, and finds what is stale.
func (b *backend) send(ctx context.Context, m *model, part []change, results []backends.Result) error {
	if !m.resend {
		whole, err := b.sendPayloads(ctx, m, part, results)
		if err != nil || len(whole) == 0 {
			return err
		}
		part = whole
	}
	groups := grouped(part)
	if err := b.update(ctx, m, operations(groups), sizeOfAll(part)); err != nil {
		return err
	}
	newer, err := b.newer(ctx, m, groups)
	if err != nil {
		return b.doubtful(err)
	}
	for _, c := range part {
		if stored, stale := newer[text(c.id)]; stale {
			results[c.place] = backends.Result{Outcome: backends.Stale, Stored: stored}
		}
	}
	return nil
}

// doubtful is the error of a question after a write that succeeded: something was applied.
func (b *backend) doubtful(err error) *backends.Error {
	e := b.classify("write", err)
	if e.Class == backends.Transient {
		e.Class = backends.Unknown
	}
	return e
}

// group is what has one version: a filter guards all points of an operation by the same bound.
type group struct {
	version int64
	points  []*pb.PointStruct
	gone    []*pb.PointId
	all     []*pb.PointId
}

// grouped groups changes by version, in the order of their coming. Most requests have one.
func grouped(part []change) []*group {
	var groups []*group
	at := map[int64]*group{}
	for _, c := range part {
		g := at[c.version]
		if g == nil {
			g = &group{version: c.version}
			at[c.version] = g
			groups = append(groups, g)
		}
		g.all = append(g.all, c.id)
		if c.point == nil {
			g.gone = append(g.gone, c.id)
		} else {
			g.points = append(g.points, c.point)
		}
	}
	return groups
}

// above is a stored version that is higher. Versions are below 2^53, and compared as doubles exactly.
func above(version int64) *pb.Condition {
	return pb.NewRange(versionField, &pb.Range{Gt: new(float64(version))})
}

// notAbove lets a point through that may be overwritten: also one that has no version, and is none of ours.
func notAbove(version int64) *pb.Filter {
	return &pb.Filter{MustNot: []*pb.Condition{above(version)}}
}

// operations are the parts of a request.
func operations(groups []*group) []*pb.PointsUpdateOperation {
	var list []*pb.PointsUpdateOperation
	for _, g := range groups {
		if len(g.points) > 0 {
			list = append(list, pb.NewPointsUpdateUpsert(&pb.PointsUpdateOperation_PointStructList{Points: g.points, UpdateFilter: notAbove(g.version)}))
		}
		if len(g.gone) > 0 {
			f := notAbove(g.version)
			f.Must = []*pb.Condition{pb.NewHasID(g.gone...)}
			list = append(list, pb.NewPointsUpdateDeletePoints(&pb.PointsUpdateOperation_DeletePoints{Points: pb.NewPointsSelectorFilter(f)}))
		}
	}
	return list
}

// newer are the stored versions, by id, of those points that are newer than what was sent: the filters kept them.
// It is asked after the write, so that what it does not tell has been applied, even if it was overwritten since.
func (b *backend) newer(ctx context.Context, m *model, groups []*group) (map[string]int64, error) {
	f, n := &pb.Filter{}, 0
	for _, g := range groups {
		n += len(g.all)
		f.Should = append(f.Should, pb.NewFilterAsCondition(&pb.Filter{Must: []*pb.Condition{pb.NewHasID(g.all...), above(g.version)}}))
	}
	if len(groups) == 1 {
		f = &pb.Filter{Must: []*pb.Condition{pb.NewHasID(groups[0].all...), above(groups[0].version)}}
	}
	answer, err := b.points.Scroll(ctx, &pb.ScrollPoints{
		CollectionName: m.collection, Filter: f, Limit: new(uint32(n)),
		WithPayload: pb.NewWithPayloadInclude(versionField), WithVectors: pb.NewWithVectors(false),
	})
	if err != nil {
		return nil, err
	}
	found := make(map[string]int64, len(answer.Result))
	for _, p := range answer.Result {
		found[text(p.Id)] = p.Payload[versionField].GetIntegerValue()
	}
	return found, nil
}
