package qdrantserver

import (
	"cmp"
	"context"
	"crypto/subtle"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// Trouble is what a fault does to a call.
type Trouble int

// The troubles.
const (
	Refuse    Trouble = iota // Fault.Err is the answer; nothing is applied
	CutBefore                // the caller's connection is cut; nothing is applied
	CutAfter                 // the call is applied, then the caller's connection is cut
	Hold                     // the call waits until Heal, or until its caller gives up, and is applied only if it was healed
	HoldAfter                // the call is applied, and the answer waits until Heal or until the caller gives up
	ApplyLate                // the call is applied when its caller has given up, or at Heal
)

// Fault is trouble for some calls.
type Fault struct {
	Trouble Trouble
	Method  string // the method, such as "Upsert"; empty: every one but HealthCheck
	After   int    // how many calls pass first
	Times   int    // how many calls it hits; 0: all until Heal
	Err     error  // for Refuse: Exhausted, DiskFull, or any error with a gRPC status
	// RetryAfter is told with Err, in whole seconds. Zero: it is not told.
	RetryAfter time.Duration
	// Seen, unless nil, is called when a call is hit: where it is applied at once, then, before its answer.
	Seen func()
}

// Exhausted is the answer of a collection whose write rate is limited.
func Exhausted() error {
	return status.Error(codes.ResourceExhausted, "Rate limiting exceeded: Write rate limit exceeded, retry later")
}

// DiskFull is the answer of a server that has no room for its log.
func DiskFull() error {
	return status.Error(codes.Internal, "Service internal error: No space left on device: WAL buffer size exceeds available disk space")
}

// Unavailable is the answer of a server whose shard has no live replica.
func Unavailable() error {
	return status.Error(codes.Unavailable, "Shard temporarily unavailable: The shard 0 has no active replica")
}

// faults are those that a test has made.
type faults struct {
	mu     sync.Mutex
	list   []*Fault
	healed chan struct{} // closed by Heal
	hit    map[Trouble]int
	calls  map[string]int
}

func (f *faults) init() {
	f.healed, f.hit, f.calls = make(chan struct{}), map[Trouble]int{}, map[string]int{}
}

// Fail makes a fault, beside those that there are: the first that fits a call hits it.
func (s *Server) Fail(fault Fault) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	if fault.Times == 0 {
		fault.Times = math.MaxInt
	}
	s.faults.list = append(s.faults.list, &fault)
}

// Heal ends all faults and lets held calls go on.
func (s *Server) Heal() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = nil
	close(s.faults.healed)
	s.faults.healed = make(chan struct{})
}

// Hits is how many calls a trouble has hit so far.
func (s *Server) Hits(t Trouble) int {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	return s.faults.hit[t]
}

// Calls is how many calls of a method have come, such as "Upsert".
func (s *Server) Calls(method string) int {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	return s.faults.calls[method]
}

// next is the fault that hits a call of the method, and what is closed when it is healed.
func (f *faults) next(method string) (Fault, <-chan struct{}, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[method]++
	for _, fault := range f.list {
		if fault.Times > 0 && (fault.Method == method || fault.Method == "" && method != "HealthCheck") {
			if fault.After > 0 {
				fault.After--
				continue
			}
			fault.Times--
			f.hit[fault.Trouble]++
			return *fault, f.healed, true
		}
	}
	return Fault{}, nil, false
}

// intercept checks credentials and makes faults.
func (s *Server) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, apply grpc.UnaryHandler) (any, error) {
	method := info.FullMethod[strings.LastIndexByte(info.FullMethod, '/')+1:]
	if method != "HealthCheck" {
		if err := s.admit(ctx); err != nil {
			return nil, err
		}
	}
	fault, healed, hit := s.faults.next(method)
	if !hit {
		return apply(ctx, req)
	}
	return s.trouble(ctx, req, fault, healed, apply)
}

func (s *Server) trouble(ctx context.Context, req any, f Fault, healed <-chan struct{}, apply grpc.UnaryHandler) (answer any, err error) {
	if f.Trouble == CutAfter || f.Trouble == HoldAfter {
		answer, err = apply(ctx, req)
	}
	if f.Seen != nil {
		f.Seen()
	}
	switch f.Trouble {
	case Refuse:
		if f.RetryAfter > 0 {
			_ = grpc.SetTrailer(ctx, metadata.Pairs("retry-after", strconv.Itoa(int(f.RetryAfter/time.Second)))) // it fails outside of a call only
		}
		return nil, f.Err
	case CutBefore, CutAfter:
		s.cutCaller(ctx)
		return answer, cmp.Or(err, errLeft)
	case Hold:
		if !wait(ctx, healed) {
			return nil, errLeft
		}
		return apply(ctx, req)
	case HoldAfter:
		wait(ctx, healed)
		return answer, err
	default: // ApplyLate
		wait(ctx, healed)
		return apply(context.WithoutCancel(ctx), req)
	}
}

// errLeft is the answer that nobody hears.
var errLeft = status.Error(codes.Canceled, "the caller has left")

func wait(ctx context.Context, healed <-chan struct{}) (here bool) {
	select {
	case <-healed:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Server) cutCaller(ctx context.Context) {
	if p, ok := peer.FromContext(ctx); ok {
		s.cut(p.Addr.String())
	}
}

// admit checks the key.
func (s *Server) admit(ctx context.Context) error {
	if s.options.APIKey == "" {
		return nil
	}
	md, _ := metadata.FromIncomingContext(ctx)
	keys := md.Get("api-key")
	switch {
	case len(keys) == 0:
		return status.Error(codes.Unauthenticated, "Must provide an API key or an Authorization bearer token")
	case subtle.ConstantTimeCompare([]byte(keys[0]), []byte(s.options.APIKey)) != 1:
		return status.Error(codes.Unauthenticated, "Invalid API key or JWT")
	}
	return nil
}

// SetStatus says in what condition a collection is from now on, as its optimisers would: Green is right. Trouble is
// what is wrong with them; empty: nothing. It does nothing for a collection that is not there.
func (s *Server) SetStatus(collection string, condition pb.CollectionStatus, trouble string) {
	s.data.mu.Lock()
	defer s.data.mu.Unlock()
	if c := s.data.collections[collection]; c != nil {
		c.state, c.trouble = condition, trouble
	}
}
