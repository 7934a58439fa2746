package qdrantserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// Version is the Qdrant that the stand-in says it is.
const Version = "1.18.3"

// Options are how a server starts. The zero value is a server without credentials on a free port of this machine.
type Options struct {
	Address string      // to listen on; empty: 127.0.0.1 and a free port
	APIKey  string      // that every call but a health check has to carry; empty: none
	TLS     *tls.Config // nil: plain text
}

// Server is a running stand-in. It is safe for concurrent use.
type Server struct {
	options Options
	address string

	mu      sync.Mutex // for what follows
	grpc    *grpc.Server
	conns   map[string]net.Conn // by the client's address
	serving sync.WaitGroup

	faults faults
	data   catalog
	last   atomic.Uint64 // operation
	taken  atomic.Int64
}

// Start makes a server and serves until Stop.
func Start(options Options) (*Server, error) {
	s := &Server{options: options, address: options.Address}
	if s.address == "" {
		s.address = "127.0.0.1:0"
	}
	s.data.init()
	s.faults.init()
	if err := s.Restart(); err != nil {
		return nil, err
	}
	return s, nil
}

// Upserted is how many points have come whole, with their vectors, applied or not.
func (s *Server) Upserted() int { return int(s.taken.Load()) }

// Address is host:port, the same after a Restart.
func (s *Server) Address() string { return s.address }

// Restart serves again after a Stop, at the same address, with all points that were there.
func (s *Server) Restart() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.grpc != nil {
		return errors.New("the server is running")
	}
	l, err := net.Listen("tcp", s.address) //nolint:noctx // lives until Stop
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	s.address = l.Addr().String()
	s.conns = map[string]net.Conn{}
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(math.MaxInt), grpc.UnaryInterceptor(s.intercept),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Millisecond, PermitWithoutStream: true}), // the server minds no pings
	}
	if s.options.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(s.options.TLS)))
	}
	g := grpc.NewServer(options...)
	pb.RegisterQdrantServer(g, health{})
	pb.RegisterCollectionsServer(g, collections{s: s})
	pb.RegisterPointsServer(g, points{s: s})
	s.grpc = g
	s.serving.Go(func() { _ = g.Serve(listener{l, s}) }) // it ends with an error when it is stopped, always
	return nil
}

// Stop cuts all connections and takes no more. What was applied stays. Calls that are held end.
func (s *Server) Stop() {
	s.mu.Lock()
	g := s.grpc
	s.grpc = nil
	s.mu.Unlock()
	if g != nil {
		g.Stop()
	}
	s.serving.Wait()
}

// Cut cuts all connections there are. New ones are taken.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
}

// cut cuts one client's connection.
func (s *Server) cut(client string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.conns[client]; c != nil {
		_ = c.Close()
	}
}

// listener remembers the connections.
type listener struct {
	net.Listener
	s *Server
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.s.conns[c.RemoteAddr().String()] = c
	return conn{c, l.s}, nil
}

type conn struct {
	net.Conn
	s *Server
}

func (c conn) Close() error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.conns[c.RemoteAddr().String()] == c.Conn {
		delete(c.s.conns, c.RemoteAddr().String())
	}
	return c.Conn.Close()
}

// health is the service that says which server this is.
type health struct{ pb.UnimplementedQdrantServer }

// HealthCheck answers without credentials.
func (health) HealthCheck(context.Context, *pb.HealthCheckRequest) (*pb.HealthCheckReply, error) {
	return &pb.HealthCheckReply{Title: "qdrant - vector search engine", Version: Version}, nil
}
