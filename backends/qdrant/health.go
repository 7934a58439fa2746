package qdrant

import (
	"context"
	"slices"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
)

const healthTimeout = 5 * time.Second

// Health asks for the collections that were prepared, all at once: one that is red takes no part in anything. A full
// disk shows there, or with the next write; the server tells its disk in no other way. Before anything is prepared it
// asks for the list of collections, because the server's own health check asks nobody for credentials.
func (b *backend) Health(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	b.mu.Lock()
	prepared := slices.Clone(b.prepared)
	b.mu.Unlock()
	if len(prepared) == 0 {
		if _, err := b.collections.List(ctx, &pb.ListCollectionsRequest{}); err != nil {
			return b.classify("health", err)
		}
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, collection := range prepared {
		group.Go(func() error { return b.healthy(ctx, collection) })
	}
	if err := group.Wait(); err != nil {
		return b.classify("health", err)
	}
	return nil
}

// healthy looks at one collection. That it is gone is for its next write to find out.
func (b *backend) healthy(ctx context.Context, collection string) error {
	info, err := b.collections.Get(ctx, &pb.GetCollectionInfoRequest{CollectionName: collection})
	switch r := info.GetResult(); {
	case is(err, codes.NotFound):
		return nil
	case err != nil:
		return err
	case r.GetStatus() == pb.CollectionStatus_Red || r.GetOptimizerStatus() != nil && !r.GetOptimizerStatus().GetOk():
		return b.red("health", collection, r.GetOptimizerStatus().GetError())
	}
	return nil
}
