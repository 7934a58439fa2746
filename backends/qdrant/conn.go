package qdrant

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/endpoints"
)

const (
	dialTimeout      = 3 * time.Second
	keepaliveTimeout = 5 * time.Second
	pingTime         = time.Second
)

// reconnect is how long to wait before a node is tried again: gRPC's own default grows to two minutes. A probe does not
// wait.
var reconnect = backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second}

// nodes sends each call to the first node that is up, over a connection of its own, and to the next one when it is
// certain that nothing of it was sent. gRPC's own balancers send to nodes in turn, and wait for those that hang.
type nodes struct {
	conns []*grpc.ClientConn
	set   *endpoints.Set
}

// newNodes makes the connections. It does not connect.
func (b *backend) newNodes(o options) (*nodes, error) {
	n := &nodes{set: endpoints.New(endpoints.Config{
		Backend: b.name, Addresses: o.addresses, Log: b.log, Classify: b.classify, Judge: sign, Unsent: unsent, Ping: b.ping,
	})}
	for _, address := range o.addresses {
		conn, err := o.dial(address)
		if err != nil {
			return nil, errors.Join(err, n.close())
		}
		n.conns = append(n.conns, conn)
	}
	return n, nil
}

// Invoke makes a call.
func (n *nodes) Invoke(ctx context.Context, method string, args, reply any, options ...grpc.CallOption) error {
	return n.set.Do(ctx, func(ctx context.Context, i int) error {
		return n.conns[i].Invoke(ctx, method, args, reply, options...)
	})
}

// NewStream is part of grpc.ClientConnInterface. Qdrant has no streams.
func (n *nodes) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "there are no streams")
}

func (n *nodes) close() error {
	var errs []error
	for _, c := range n.conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// ping asks a node for its version, at once, however long gRPC would wait until it connects again. It asks nobody for
// credentials.
func (b *backend) ping(ctx context.Context, i int) error {
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	conn := b.nodes.conns[i]
	conn.ResetConnectBackoff()
	_, err := pb.NewQdrantClient(conn).HealthCheck(ctx, &pb.HealthCheckRequest{}, grpc.WaitForReady(true))
	return err
}

// sign is what the error of a call says of the node.
func sign(err error) endpoints.Sign {
	e, ok := errors.AsType[*callError](err)
	switch {
	case !ok, e.code == codes.Canceled:
		return endpoints.Silent
	case strings.Contains(e.message, "unexpected HTTP status code"): // a proxy, of a node that it does not reach
		return endpoints.Faulty
	case e.answered, distrust(e.message) != "", e.code != codes.Unavailable && e.code != codes.DeadlineExceeded:
		return endpoints.Sound
	}
	return endpoints.Faulty
}

// unsent says that nothing of a call was sent, because there is no connection.
func unsent(err error) bool {
	e, ok := errors.AsType[*callError](err)
	return ok && !e.sent && !e.answered && e.code == codes.Unavailable && distrust(e.message) == ""
}

// Endpoints are the nodes of the setting addresses.
func (b *backend) Endpoints() []backends.Endpoint { return b.nodes.set.List() }

// Probe asks a node for its version.
func (b *backend) Probe(ctx context.Context, address string) error {
	return b.nodes.set.Probe(ctx, address)
}

// dial makes the connection to a node. It does not connect. go-client's own constructors hide from us what of a request
// was sent.
func (o *options) dial(address string) (*grpc.ClientConn, error) {
	security := insecure.NewCredentials()
	if o.tls != nil {
		security = credentials.NewTLS(o.tls)
	}
	return grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(security),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: dialTimeout}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: o.keepalive, Timeout: keepaliveTimeout, PermitWithoutStream: true}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(o.receive)),
		grpc.WithStatsHandler(watcher{}),
		grpc.WithUnaryInterceptor(o.call),
	)
}

// callError is what a call came to, when it did not succeed.
type callError struct {
	code       codes.Code
	message    string
	sent       bool          // some of the request may have reached a server
	answered   bool          // the server itself said so
	retryAfter time.Duration // that the server asks for; zero: it does not say
}

// Error is the code and what the server, or gRPC, says.
func (e *callError) Error() string { return e.code.String() + ": " + e.message }

// call adds the key, and makes a *callError of what goes wrong.
func (o *options) call(ctx context.Context, method string, req, answer any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	if o.apiKey != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "api-key", o.apiKey)
	}
	var seen progress
	var trailer metadata.MD
	err := invoke(context.WithValue(ctx, progressKey{}, &seen), method, req, answer, conn, append(options, grpc.Trailer(&trailer))...)
	if err == nil {
		return nil
	}
	s := status.Convert(err)
	e := &callError{code: s.Code(), message: s.Message(), sent: seen.sent.Load(), answered: seen.answered.Load()}
	if after := trailer.Get("retry-after"); len(after) > 0 {
		if n, err := strconv.Atoi(after[0]); err == nil && n > 0 {
			e.retryAfter = time.Duration(n) * time.Second
		}
	}
	return e
}

// progress is how far a call got.
type progress struct{ sent, answered atomic.Bool }

type progressKey struct{}

// watcher notes the progress of calls.
type watcher struct{}

// TagRPC adds nothing: the call has its progress in its context.
func (watcher) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC notes what happens to a call.
func (watcher) HandleRPC(ctx context.Context, event stats.RPCStats) {
	p, ok := ctx.Value(progressKey{}).(*progress)
	if !ok {
		return
	}
	switch event.(type) {
	case *stats.OutPayload:
		p.sent.Store(true)
	case *stats.InHeader, *stats.InTrailer:
		p.answered.Store(true)
	}
}

// TagConn adds nothing.
func (watcher) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn looks at nothing.
func (watcher) HandleConn(context.Context, stats.ConnStats) {}
