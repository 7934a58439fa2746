package qdrantserver

import (
	"context"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/status"
)

// points is the service of points.
type points struct {
	pb.UnimplementedPointsServer
	s *Server
}

// operation is one change of points: what is to be done in each of some shards.
type operation struct {
	apply  func(*shard) error
	places map[int]bool // of the shards; nil: all
}

// submit puts an operation into the queues of its shards, and waits for it if it is asked to. An operation that is
// submitted is applied, even if nobody waits any more.
func (p points) submit(ctx context.Context, c *collection, wait bool, op operation) (*pb.UpdateResult, error) {
	var touched []*shard
	for i, s := range c.shards {
		if op.places == nil || op.places[i] {
			touched = append(touched, s)
		}
	}
	answers := make(chan error, len(touched))
	for _, s := range touched {
		s.enqueue(op.apply, func(err error) { answers <- err })
	}
	number := p.s.last.Add(1)
	if !wait {
		return &pb.UpdateResult{OperationId: &number, Status: pb.UpdateStatus_Acknowledged}, nil
	}
	var failed error
	for range touched {
		select {
		case err := <-answers:
			if err != nil {
				failed = err
			}
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
	if failed != nil {
		return nil, failed
	}
	return &pb.UpdateResult{OperationId: &number, Status: pb.UpdateStatus_Completed}, nil
}

// run makes an operation for a collection and submits it.
func (p points) run(ctx context.Context, name string, wait bool, plan func(*collection) (operation, error)) (*pb.PointsOperationResponse, error) {
	began := time.Now()
	c, err := p.s.data.find(name)
	if err != nil {
		return nil, err
	}
	op, err := plan(c)
	if err != nil {
		return nil, err
	}
	result, err := p.submit(ctx, c, wait, op)
	if err != nil {
		return nil, err
	}
	return &pb.PointsOperationResponse{Result: result, Time: time.Since(began).Seconds()}, nil
}

// places are the shards of ids.
func (c *collection) places(ids []pointID) map[int]bool {
	set := map[int]bool{}
	for _, id := range ids {
		set[id.place(len(c.shards))] = true
	}
	return set
}

// Upsert stores points, with payload and vectors in place of what was there.
func (p points) Upsert(ctx context.Context, r *pb.UpsertPoints) (*pb.PointsOperationResponse, error) {
	if err := nesting(r.Points, 2); err != nil {
		return nil, err
	}
	return p.run(ctx, r.CollectionName, r.GetWait(), func(c *collection) (operation, error) {
		return c.upsert(r.Points, r.UpdateFilter, r.GetUpdateMode())
	})
}

// Delete removes points by id or by a filter. Those that are not there are nothing.
func (p points) Delete(ctx context.Context, r *pb.DeletePoints) (*pb.PointsOperationResponse, error) {
	return p.run(ctx, r.CollectionName, r.GetWait(), func(c *collection) (operation, error) { return c.remove(r.Points) })
}

// SetPayload puts values beside those that are there.
func (p points) SetPayload(ctx context.Context, r *pb.SetPayloadPoints) (*pb.PointsOperationResponse, error) {
	return p.run(ctx, r.CollectionName, r.GetWait(), func(c *collection) (operation, error) {
		return c.setPayload(r.PointsSelector, r.Payload, r.GetKey(), false)
	})
}

// OverwritePayload puts values in place of all those that are there.
func (p points) OverwritePayload(ctx context.Context, r *pb.SetPayloadPoints) (*pb.PointsOperationResponse, error) {
	return p.run(ctx, r.CollectionName, r.GetWait(), func(c *collection) (operation, error) {
		return c.setPayload(r.PointsSelector, r.Payload, "", true)
	})
}

// DeletePayload removes values.
func (p points) DeletePayload(ctx context.Context, r *pb.DeletePayloadPoints) (*pb.PointsOperationResponse, error) {
	return p.run(ctx, r.CollectionName, r.GetWait(), func(c *collection) (operation, error) {
		return c.deletePayload(r.PointsSelector, r.Keys)
	})
}

// ClearPayload removes all values.
func (p points) ClearPayload(ctx context.Context, r *pb.ClearPayloadPoints) (*pb.PointsOperationResponse, error) {
	return p.run(ctx, r.CollectionName, r.GetWait(), func(c *collection) (operation, error) {
		return c.setPayload(r.Points, nil, "", true)
	})
}

// UpdateVectors puts vectors beside, or in place of, those that are there.
func (p points) UpdateVectors(ctx context.Context, r *pb.UpdatePointVectors) (*pb.PointsOperationResponse, error) {
	return p.run(ctx, r.CollectionName, r.GetWait(), func(c *collection) (operation, error) {
		return c.updateVectors(r.Points, r.UpdateFilter)
	})
}

// DeleteVectors removes vectors by name.
func (p points) DeleteVectors(ctx context.Context, r *pb.DeletePointVectors) (*pb.PointsOperationResponse, error) {
	return p.run(ctx, r.CollectionName, r.GetWait(), func(c *collection) (operation, error) {
		return c.deleteVectors(r.PointsSelector, r.GetVectors().GetNames())
	})
}

// UpdateBatch does one operation after the other. The first that fails ends it; those before it stay.
func (p points) UpdateBatch(ctx context.Context, r *pb.UpdateBatchPoints) (*pb.UpdateBatchResponse, error) {
	answer := &pb.UpdateBatchResponse{}
	if _, err := p.s.data.find(r.CollectionName); err != nil {
		return nil, err
	}
	for _, o := range r.Operations {
		if err := nesting(o.GetUpsert().GetPoints(), 4); err != nil { // the whole request cannot be read
			return nil, err
		}
	}
	for _, o := range r.Operations {
		one, err := p.run(ctx, r.CollectionName, r.GetWait(), func(c *collection) (operation, error) { return c.batched(o) })
		if err != nil {
			return nil, err
		}
		answer.Result = append(answer.Result, one.Result)
	}
	return answer, nil
}

// batched makes the operation of one part of a batch.
func (c *collection) batched(o *pb.PointsUpdateOperation) (operation, error) {
	switch v := o.GetOperation().(type) {
	case *pb.PointsUpdateOperation_Upsert:
		return c.upsert(v.Upsert.Points, v.Upsert.UpdateFilter, v.Upsert.GetUpdateMode())
	case *pb.PointsUpdateOperation_DeletePoints_:
		return c.remove(v.DeletePoints.Points)
	case *pb.PointsUpdateOperation_SetPayload_:
		return c.setPayload(v.SetPayload.PointsSelector, v.SetPayload.Payload, v.SetPayload.GetKey(), false)
	case *pb.PointsUpdateOperation_OverwritePayload_:
		return c.setPayload(v.OverwritePayload.PointsSelector, v.OverwritePayload.Payload, "", true)
	case *pb.PointsUpdateOperation_DeletePayload_:
		return c.deletePayload(v.DeletePayload.PointsSelector, v.DeletePayload.Keys)
	case *pb.PointsUpdateOperation_ClearPayload_:
		return c.setPayload(v.ClearPayload.Points, nil, "", true)
	case *pb.PointsUpdateOperation_UpdateVectors_:
		return c.updateVectors(v.UpdateVectors.Points, v.UpdateVectors.UpdateFilter)
	case *pb.PointsUpdateOperation_DeleteVectors_:
		return c.deleteVectors(v.DeleteVectors.PointsSelector, v.DeleteVectors.GetVectors().GetNames())
	case nil:
		return operation{}, malformed("Operation is missing")
	default:
		return operation{}, missing("batched operation of this kind")
	}
}
