package qdrant

import (
	"context"
	"fmt"
	"time"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/outflow-db/outflow/backends"
)

// vectorsField holds, where a target does not resend vectors, the digest of those that the point has. It is written
// with the vectors, in one operation, and never without them: a point that has the digest has the vectors.
const vectorsField = reserved + "vectors"

// vectorsDigest identifies the vectors of a record.
func vectorsDigest(raw [][]byte) string { return backends.ContentDigest(nil, raw).String() }

// sendPayloads writes the payload alone of those changes whose vectors the store has already, and answers those
// that have to be sent whole. A record that comes again although the store has that content, as a repair makes it, is
// among these: what is stored may not be what its digests say. What the store has may change at any moment: each operation names the digest of the
// vectors that it relies on, beside the guard, and what is there afterwards says whether it was applied.
func (b *backend) sendPayloads(ctx context.Context, m *model, part []change, results []backends.Result) (whole []change, err error) {
	stored, err := b.stored(ctx, m, part, vectorsField, digestField)
	if err != nil {
		return nil, err
	}
	var same []change
	for _, c := range part {
		have := stored[text(c.id)]
		if c.point != nil && have[vectorsField].GetStringValue() == c.vectors && have[digestField].GetStringValue() != c.digest {
			same = append(same, c)
		} else {
			whole = append(whole, c)
		}
	}
	if len(same) == 0 {
		return whole, nil
	}
	if err := b.update(ctx, m, payloadOperations(same), len(same)*256); err != nil {
		return nil, err
	}
	if stored, err = b.stored(ctx, m, same, versionField, digestField); err != nil {
		return nil, b.doubtful(err)
	}
	for _, c := range same {
		have := stored[text(c.id)]
		switch version := have[versionField].GetIntegerValue(); {
		case have == nil || version < c.version || version == c.version && have[digestField].GetStringValue() != c.digest:
			whole = append(whole, c) // it was deleted meanwhile, or got other vectors
		case version > c.version:
			results[c.place] = backends.Result{Outcome: backends.Stale, Stored: version}
		}
	}
	return whole, nil
}

// stored are fields of the payload of those points that are there, by id.
func (b *backend) stored(ctx context.Context, m *model, part []change, fields ...string) (map[string]map[string]*pb.Value, error) {
	request := &pb.GetPoints{CollectionName: m.collection, WithPayload: pb.NewWithPayloadInclude(fields...), WithVectors: pb.NewWithVectors(false)}
	for _, c := range part {
		request.Ids = append(request.Ids, c.id)
	}
	answer, err := b.points.Get(ctx, request)
	if err != nil {
		return nil, err
	}
	found := make(map[string]map[string]*pb.Value, len(answer.Result))
	for _, p := range answer.Result {
		if found[text(p.Id)] = p.Payload; p.Payload == nil {
			found[text(p.Id)] = map[string]*pb.Value{}
		}
	}
	return found, nil
}

// payloadOperations write payloads, each to one point and under its own guard.
func payloadOperations(same []change) []*pb.PointsUpdateOperation {
	list := make([]*pb.PointsUpdateOperation, len(same))
	for i, c := range same {
		guard := notAbove(c.version)
		guard.Must = []*pb.Condition{pb.NewHasID(c.id), pb.NewMatch(vectorsField, c.vectors)}
		list[i] = pb.NewPointsUpdateOverwritePayload(&pb.PointsUpdateOperation_OverwritePayload{
			Payload: c.point.Payload, PointsSelector: pb.NewPointsSelectorFilter(guard),
		})
	}
	return list
}

// update sends operations that are to be durable when it returns.
func (b *backend) update(ctx context.Context, m *model, list []*pb.PointsUpdateOperation, size int) error {
	if err := b.held(); err != nil {
		return err
	}
	began := time.Now()
	answer, err := b.points.UpdateBatch(ctx, &pb.UpdateBatchPoints{CollectionName: m.collection, Wait: new(true), Operations: list})
	if err == nil {
		err = b.completed(answer.GetResult(), len(list))
	}
	if err != nil {
		e := b.classify("write", err)
		if e.Class == backends.Overload || e.Class == backends.Unknown {
			b.pace.Refused(size)
		}
		return e
	}
	b.pace.Took(size, time.Since(began))
	return nil
}

// completed wants every operation applied, and durable.
func (b *backend) completed(list []*pb.UpdateResult, want int) error {
	for _, r := range list {
		if r.GetStatus() != pb.UpdateStatus_Completed {
			return b.fail("write", backends.Unknown, fmt.Errorf("the server has taken the request and not applied it yet: status %s", r.GetStatus()))
		}
	}
	if len(list) != want {
		return b.fail("write", backends.Unknown, fmt.Errorf("the server answered for %d of %d operations", len(list), want))
	}
	return nil
}
