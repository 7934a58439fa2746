package qdrant

import (
	"context"
	"fmt"
	"slices"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"

	"github.com/outflow-db/outflow/backends"
)

// Finish switches indexing on that was put off, and waits until the optimisers have done all of it.
func (b *backend) Finish(ctx context.Context, t backends.Target) error {
	return b.concluding(ctx, "finish", t, func(ctx context.Context, m *model) error {
		_, err := b.finish(ctx, m)
		return err
	})
}

// Serve does what Finish does, and moves the alias.
func (b *backend) Serve(ctx context.Context, t backends.Target) error {
	return b.concluding(ctx, "serve", t, b.serve)
}

// concluding does something with a generation that is not being filled any more.
func (b *backend) concluding(ctx context.Context, op string, t backends.Target, do func(context.Context, *model) error) error {
	t.Building = false
	m, err := b.model(t)
	if err != nil {
		return err
	}
	if err := do(ctx, m); err != nil {
		return b.classifyFor(op, t, err)
	}
	return nil
}

// finish brings the collection to what it is served with, and answers how it was found.
func (b *backend) finish(ctx context.Context, m *model) (state, error) {
	s, err := b.look(ctx, m)
	switch {
	case err != nil:
		return s, err
	case s.info == nil:
		return s, b.fail("serve", backends.Schema, fmt.Errorf("collection %s is not there", m.collection))
	case s.taken:
		e := b.fail("serve", backends.Schema, fmt.Errorf("a collection is called %s, as the alias shall be", m.alias))
		e.Advice = "delete that collection, or give the projection another target"
		return s, e
	}
	changes := slices.DeleteFunc(m.compare(s, nil), func(c backends.Change) bool { return c.Field == "alias" })
	if err := b.impossible(m, changes); err != nil {
		return s, err
	}
	if err := b.mend(ctx, m, s, changes); err != nil {
		return s, err
	}
	return s, b.optimised(ctx, m.collection)
}

func (b *backend) serve(ctx context.Context, m *model) error {
	s, err := b.finish(ctx, m)
	if err != nil {
		return err
	}
	if s.seen == m.collection {
		return nil
	}
	return b.serveAs(ctx, m.names, s.seen)
}

// pollEvery is how often the server is asked whether its optimisers are done.
const pollEvery = 200 * time.Millisecond

// optimised waits until the optimisers have nothing left to do.
func (b *backend) optimised(ctx context.Context, collection string) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		info, err := b.collections.Get(ctx, &pb.GetCollectionInfoRequest{CollectionName: collection})
		if err != nil {
			return err
		}
		switch r := info.GetResult(); r.GetStatus() { //nolint:exhaustive // what is left is at work
		case pb.CollectionStatus_Green:
			return nil
		case pb.CollectionStatus_Red:
			return b.red("serve", collection, r.GetOptimizerStatus().GetError())
		case pb.CollectionStatus_Grey: // it waits for somebody to change something
			_, err := b.collections.Update(ctx, &pb.UpdateCollection{CollectionName: collection, OptimizersConfig: &pb.OptimizersConfigDiff{}})
			if err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// red is the error of a collection whose optimisers have failed.
func (b *backend) red(op, collection, reason string) *backends.Error {
	e := b.fail(op, backends.Transient, fmt.Errorf("collection %s is red: %s", collection, reason))
	e.Advice = "look at the server's log: it does not optimise the collection until what is told here is mended and the server started again"
	if full(reason) {
		e.Advice = adviceDisk
	}
	return e
}

// Drop deletes the collection of a generation.
func (b *backend) Drop(ctx context.Context, t backends.Target) error {
	n, err := b.names(t)
	if err != nil {
		return err
	}
	if err := b.drop(ctx, n); err != nil {
		return b.classifyFor("drop", t, err)
	}
	b.forget(n.collection)
	return nil
}

func (b *backend) drop(ctx context.Context, n names) error {
	seen, err := b.seen(ctx, n)
	if err != nil {
		return err
	}
	if seen == n.collection {
		e := b.fail("drop", backends.Rejected, fmt.Errorf("collection %s is the one that readers of %s see", n.collection, n.alias))
		e.Advice = "let another generation take its place first"
		return e
	}
	_, err = b.collections.Delete(ctx, &pb.DeleteCollection{CollectionName: n.collection})
	if is(err, codes.NotFound) {
		return nil
	}
	return err
}
