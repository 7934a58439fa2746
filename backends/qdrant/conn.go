package qdrant

import (
	"context"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

const (
	dialTimeout      = 3 * time.Second
	keepaliveTimeout = 5 * time.Second
	// spread sends requests to all nodes in turn, and only to those that take connections.
	spread = `{"loadBalancingConfig": [{"round_robin": {}}]}`
)

// reconnect is how long to wait before a node is tried again: gRPC's own default grows to two minutes.
var reconnect = backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second}

// dial makes the connection. It does not connect. go-client's own constructors know one address only, and hide
// from us what of a request was sent.
func (o *options) dial() (*grpc.ClientConn, error) {
	nodes := manual.NewBuilderWithScheme("qdrant")
	state := resolver.State{}
	for _, address := range o.addresses {
		host, _, _ := net.SplitHostPort(address) // it was joined by us
		state.Addresses = append(state.Addresses, resolver.Address{Addr: address, ServerName: host})
	}
	nodes.InitialState(state)
	security := insecure.NewCredentials()
	if o.tls != nil {
		security = credentials.NewTLS(o.tls)
	}
	return grpc.NewClient("qdrant:///"+o.addresses[0],
		grpc.WithResolvers(nodes),
		grpc.WithDefaultServiceConfig(spread),
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
