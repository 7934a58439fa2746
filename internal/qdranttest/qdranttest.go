// Package qdranttest gives tests a Qdrant: one stand-in per test binary (package qdrantserver), or a real
// server that is named.
//
//	b := open(qdranttest.Open(t), qdranttest.Prefix(t))
//
// The same tests run unchanged on a real server:
//
//	OUTFLOW_TEST_QDRANT=host:port      use this running server's gRPC port
//	OUTFLOW_TEST_QDRANT_API_KEY=key    with this key
//
// Tests that make faults inside of the server need the stand-in: see Server. Faults of the network are made by a
// proxy in front of either.
package qdranttest

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/outflow-db/outflow/internal/qdrantserver"
)

// shared is the stand-in of those tests of this binary that are running.
var shared struct {
	sync.Mutex
	server *qdrantserver.Server
	users  int
}

// Open is the host:port of a server that tests share: use names that begin with a Prefix. It is there until the test
// ends.
func Open(tb testing.TB) string {
	tb.Helper()
	if address := os.Getenv("OUTFLOW_TEST_QDRANT"); address != "" {
		return address
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.users == 0 {
		s, err := qdrantserver.Start(qdrantserver.Options{})
		if err != nil {
			tb.Fatalf("starting the stand-in: %v", err)
		}
		shared.server = s
	}
	shared.users++
	tb.Cleanup(leave)
	return shared.server.Address()
}

// leave stops the server when nobody uses it any more.
func leave() {
	shared.Lock()
	defer shared.Unlock()
	if shared.users--; shared.users == 0 {
		shared.server.Stop()
	}
}

// APIKey is the key that the server of Open wants; empty: none.
func APIKey() string {
	if os.Getenv("OUTFLOW_TEST_QDRANT") == "" {
		return ""
	}
	return os.Getenv("OUTFLOW_TEST_QDRANT_API_KEY")
}

// Server is a stand-in of the test's own, to make faults in. It is stopped at the end of the test.
func Server(tb testing.TB, options qdrantserver.Options) *qdrantserver.Server {
	tb.Helper()
	s, err := qdrantserver.Start(options)
	if err != nil {
		tb.Fatalf("starting a stand-in: %v", err)
	}
	tb.Cleanup(s.Stop)
	return s
}

// Client is a connection to a server, closed at the end of the test.
func Client(tb testing.TB, address string) *pb.GrpcClient {
	tb.Helper()
	conn, err := connect(address)
	if err != nil {
		tb.Fatalf("connecting to %s: %v", address, err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return pb.NewGrpcClientFromConn(conn)
}

func connect(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUnaryInterceptor(withKey))
}

// withKey adds the key to a call.
func withKey(ctx context.Context, method string, req, answer any, conn *grpc.ClientConn, call grpc.UnaryInvoker, options ...grpc.CallOption) error {
	if key := APIKey(); key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "api-key", key)
	}
	return call(ctx, method, req, answer, conn, options...)
}

const cleanTime = 30 * time.Second

// Prefix is what the names of the test's collections and aliases begin with. At the end of the test they are
// removed.
func Prefix(tb testing.TB) string {
	tb.Helper()
	prefix, address := "test-"+strings.ToLower(rand.Text()[:12])+"-", Open(tb)
	tb.Cleanup(func() {
		if err := clean(address, prefix); err != nil {
			tb.Errorf("removing collections: %v", err)
		}
	})
	return prefix
}

// clean removes the collections whose name begins with a prefix, with their aliases.
func clean(address, prefix string) error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanTime)
	defer cancel()
	conn, err := connect(address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	service := pb.NewCollectionsClient(conn)
	list, err := service.List(ctx, &pb.ListCollectionsRequest{})
	if err != nil {
		return err
	}
	for _, c := range list.Collections {
		if !strings.HasPrefix(c.Name, prefix) {
			continue
		}
		if _, err := service.Delete(ctx, &pb.DeleteCollection{CollectionName: c.Name}); err != nil {
			return err
		}
	}
	return nil
}
