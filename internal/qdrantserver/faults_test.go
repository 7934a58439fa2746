package qdrantserver_test

import (
	"context"
	"testing"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/outflow-db/outflow/internal/qdrantserver"
)

func withKey(ctx context.Context, key string) context.Context {
	if key == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "api-key", key)
}

// write upserts point 1.
func (l lab) write(ctx context.Context) error {
	_, err := l.Points().Upsert(ctx, &pb.UpsertPoints{CollectionName: "docs", Wait: new(true), Points: []*pb.PointStruct{point(1, nil, nil)}})
	return err
}

// until waits for something that another goroutine brings about.
func until(tb testing.TB, ready func() bool) {
	tb.Helper()
	for !ready() {
		select {
		case <-tb.Context().Done():
			tb.Fatal("it never came")
		case <-time.After(time.Millisecond):
		}
	}
}

// Faults do what they say: with the call, with the answer, and as often as they are told.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault   qdrantserver.Fault
		code    codes.Code
		applied bool
	}{
		"exhausted":      {qdrantserver.Fault{Err: qdrantserver.Exhausted()}, codes.ResourceExhausted, false},
		"disk full":      {qdrantserver.Fault{Err: qdrantserver.DiskFull()}, codes.Internal, false},
		"unavailable":    {qdrantserver.Fault{Err: qdrantserver.Unavailable(), Method: "Upsert"}, codes.Unavailable, false},
		"cut before":     {qdrantserver.Fault{Trouble: qdrantserver.CutBefore}, codes.Unavailable, false},
		"cut after":      {qdrantserver.Fault{Trouble: qdrantserver.CutAfter}, codes.Unavailable, true},
		"not yet":        {qdrantserver.Fault{Err: qdrantserver.DiskFull(), After: 1}, codes.OK, true},
		"another method": {qdrantserver.Fault{Err: qdrantserver.DiskFull(), Method: "Delete"}, codes.OK, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := docs(t)
			c.fault.Times = 1
			l.Server.Fail(c.fault)
			if err := l.write(t.Context()); status.Code(err) != c.code {
				t.Errorf("got %v, want %s", err, c.code)
			}
			if hits := l.Hits(c.fault.Trouble); hits > 1 || (hits == 1) != (c.code != codes.OK) {
				t.Errorf("it hit %d calls", hits)
			}
			l.Heal()
			if applied := l.get(1) != nil; applied != c.applied {
				t.Errorf("applied: %v", applied)
			}
			l.must(nil, l.write(t.Context()))
		})
	}
}

// A call that is held goes on when the fault is healed, and is not applied when its caller gave up before; an answer
// that is held was applied.
func TestHeld(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		trouble         qdrantserver.Trouble
		early, givingUp bool // applied while it is held, and after the caller gave up
	}{
		"hold":       {qdrantserver.Hold, false, false},
		"hold after": {qdrantserver.HoldAfter, true, true},
		"apply late": {qdrantserver.ApplyLate, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := docs(t)
			answers, seen := make(chan error), make(chan struct{})
			held := func(ctx context.Context) {
				l.Server.Fail(qdrantserver.Fault{Trouble: c.trouble, Method: "Upsert", Seen: func() { seen <- struct{}{} }})
				go func() { answers <- l.write(ctx) }()
				<-seen
				if applied := l.get(1) != nil; applied != c.early {
					t.Errorf("while it is held it is applied: %v", applied)
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			held(ctx)
			cancel()
			if err := <-answers; status.Code(err) != codes.Canceled {
				t.Errorf("who gave up got %v", err)
			}
			if c.givingUp {
				until(t, func() bool { return l.get(1) != nil })
			}
			l.Heal()
			l.must(l.Points().Delete(t.Context(), &pb.DeletePoints{CollectionName: "docs", Wait: new(true), Points: pb.NewPointsSelector(pb.NewIDNum(1))}))
			held(t.Context())
			l.Heal()
			l.must(nil, <-answers)
			if l.get(1) == nil {
				t.Error("it was not applied after all")
			}
		})
	}
}

// How long to wait is told beside the answer.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	l := docs(t)
	l.Server.Fail(qdrantserver.Fault{Err: qdrantserver.Exhausted(), RetryAfter: 2 * time.Second})
	var trailer metadata.MD
	_, err := l.Collections().List(t.Context(), &pb.ListCollectionsRequest{}, grpc.Trailer(&trailer))
	l.refused(err, codes.ResourceExhausted, "Rate limiting exceeded")
	if got := trailer.Get("retry-after"); len(got) != 1 || got[0] != "2" {
		t.Errorf("got %v", got)
	}
}

// A server that was stopped takes no calls; started again it has its points and its address.
func TestRestart(t *testing.T) {
	t.Parallel()
	l := docs(t)
	l.must(nil, l.write(t.Context()))
	address := l.Address()
	l.Stop()
	l.Stop()
	if err := l.write(t.Context()); status.Code(err) != codes.Unavailable {
		t.Errorf("a stopped server: %v", err)
	}
	if err := l.Restart(); err != nil {
		t.Fatal(err)
	}
	if l.Restart() == nil || l.Address() != address {
		t.Error("it was started twice, or elsewhere")
	}
	until(t, func() bool { return l.write(t.Context()) == nil })
	l.Cut()
	until(t, func() bool { return l.write(t.Context()) == nil })
	if l.get(1) == nil {
		t.Error("the point is gone")
	}
	if _, err := qdrantserver.Start(qdrantserver.Options{Address: address}); err == nil {
		t.Error("two servers have the same address")
	}
}
