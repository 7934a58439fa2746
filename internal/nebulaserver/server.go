package nebulaserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/vesoft-inc/fbthrift/thrift/lib/go/thrift"
	service "github.com/vesoft-inc/nebula-go/v3/nebula/graph"

	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
)

// Config is how a server behaves. The zero value is a server on a port of its own whose schemas count at once.
type Config struct {
	Addr        string           // to listen on; default 127.0.0.1:0
	TLS         *tls.Config      // nil: none
	Delay       time.Duration    // until a new or changed schema counts; a cluster takes up to two heartbeats, 20 s
	Now         func() time.Time // default time.Now; it is called from many goroutines
	MaxSessions int              // of one user from one address; default 300
	IdleSession time.Duration    // after which a session is gone; default 8 h
	Forget      bool             // keep no statements for Executed
}

// Server is a running graphd. Its methods may be called at any time, from any goroutine.
type Server struct {
	conf     Config
	store    *graph.Store
	listener net.Listener
	wg       sync.WaitGroup

	mu         sync.Mutex
	closed     bool
	conns      map[net.Conn]bool
	sessions   map[int64]*session
	lastID     int64
	users      map[string]*user
	faults     []*Fault
	partFaults []*PartFault
	executed   []string
}

// Start listens and serves until Close.
func Start(conf Config) (*Server, error) {
	if conf.Addr == "" {
		conf.Addr = "127.0.0.1:0"
	}
	if conf.Now == nil {
		conf.Now = time.Now
	}
	if conf.MaxSessions == 0 {
		conf.MaxSessions = 300
	}
	if conf.IdleSession == 0 {
		conf.IdleSession = 8 * time.Hour
	}
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", conf.Addr)
	if err != nil {
		return nil, fmt.Errorf("starting graphd: %w", err)
	}
	if conf.TLS != nil {
		l = tls.NewListener(l, conf.TLS)
	}
	s := &Server{
		conf: conf, store: graph.NewStore(), listener: l, conns: map[net.Conn]bool{}, sessions: map[int64]*session{},
		users: map[string]*user{"root": {password: "nebula", god: true, roles: map[string]string{}}},
	}
	s.store.Now, s.store.Delay, s.store.Before = conf.Now, conf.Delay, s.beforePart
	s.wg.Go(s.accept)
	return s, nil
}

// Addr is where the server listens, host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close ends all connections and waits until nothing runs any more.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	err := s.listener.Close()
	s.Disconnect()
	s.wg.Wait()
	return err
}

// Disconnect ends all connections. Sessions stay.
func (s *Server) Disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close() // the peer will see it
	}
}

// Restart is what clients see of a graphd that is started anew, with its metad: connections and sessions are gone,
// what was stored is there.
func (s *Server) Restart() {
	s.DropSessions()
	s.Disconnect()
}

// Executed are the statements that were carried out or tried, in the order of their coming.
func (s *Server) Executed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.executed...)
}

// ClearExecuted forgets them.
func (s *Server) ClearExecuted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.executed = nil
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed {
			_ = c.Close() // too late for this one
		} else {
			s.conns[c] = true
			s.wg.Go(func() { s.serve(c) })
		}
		s.mu.Unlock()
	}
}

// serve answers one connection, one request after the other.
func (s *Server) serve(c net.Conn) {
	defer func() {
		_ = c.Close() // there may be nobody left
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	sock, err := thrift.NewSocket(thrift.SocketConn(c))
	if err != nil {
		return
	}
	prot := thrift.NewHeaderProtocol(thrift.NewHeaderTransport(thrift.NewBufferedTransportFactory(128 << 10).GetTransport(sock)))
	proc := service.NewGraphServiceProcessor(&handler{s: s, conn: c})
	for {
		if ok, err := thrift.ProcessContext(context.Background(), proc, prot, prot); err != nil || !ok {
			return
		}
	}
}

// Address is the host and the port that the server listens on.
func (s *Server) Address() (string, int64) {
	a, ok := s.listener.Addr().(*net.TCPAddr)
	if !ok {
		return s.Addr(), 0
	}
	return a.IP.String(), int64(a.Port)
}

func host(c net.Conn) string {
	h, _, _ := strings.Cut(c.RemoteAddr().String(), ":")
	return h
}
