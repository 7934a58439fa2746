// Package nebulatest gives tests a NebulaGraph: a server in the test's own process, see package nebulaserver, or
// a running one:
//
//	OUTFLOW_TEST_NEBULA=host:port,user,password
//
// A test that injects faults starts a nebulaserver of its own instead.
package nebulatest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vesoft-inc/fbthrift/thrift/lib/go/thrift"
	"github.com/vesoft-inc/nebula-go/v3/nebula"
	"github.com/vesoft-inc/nebula-go/v3/nebula/graph"

	"github.com/outflow-db/outflow/internal/nebulaserver"
)

// Server is where tests connect to.
type Server struct{ Addr, User, Password string }

// Open is the server of the environment, or a new one that ends with the test.
func Open(tb testing.TB) Server {
	tb.Helper()
	if env := os.Getenv("OUTFLOW_TEST_NEBULA"); env != "" {
		f := strings.SplitN(env, ",", 3)
		if len(f) != 3 {
			tb.Fatal("OUTFLOW_TEST_NEBULA is not host:port,user,password")
		}
		return Server{f[0], f[1], f[2]}
	}
	s, err := nebulaserver.Start(nebulaserver.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("stopping the server: %v", err)
		}
	})
	return Server{s.Addr(), "root", "nebula"}
}

// Space is a name that no other test has. The space of this name, if the test makes one, is dropped at its end.
func (s Server) Space(tb testing.TB) string {
	tb.Helper()
	name := "test_" + strings.ToLower(rand.Text()[:12])
	tb.Cleanup(func() {
		c, err := s.Dial(context.WithoutCancel(tb.Context()))
		if err != nil {
			tb.Errorf("dropping %s: %v", name, err)
			return
		}
		defer c.Close()
		if r, err := c.Execute("DROP SPACE IF EXISTS `"+name+"`", nil); err != nil || r.ErrorCode != nebula.ErrorCode_SUCCEEDED {
			tb.Errorf("dropping %s: %v %s", name, err, r.GetErrorMsg())
		}
	})
	return name
}

// Conn is a session over a connection of its own, for those that want to see the server's very answers. It may be
// used by several goroutines.
type Conn struct {
	mu     sync.Mutex
	conn   net.Conn
	client *graph.GraphServiceClient
	// Session is the session's id.
	Session int64
}

// timeout is for a server that hangs.
const timeout = time.Minute

// Connect begins a session that ends with the test.
func (s Server) Connect(tb testing.TB) *Conn {
	tb.Helper()
	c, err := s.Dial(context.WithoutCancel(tb.Context()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

// Dial begins a session that ends with Close.
func (s Server) Dial(ctx context.Context) (*Conn, error) {
	d := net.Dialer{Timeout: timeout}
	conn, err := d.DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return nil, err
	}
	c, err := Over(conn, s.User, s.Password)
	if err != nil {
		_ = conn.Close() // it is of no use
	}
	return c, err
}

// Over begins a session over a connection.
func Over(conn net.Conn, user, password string) (*Conn, error) {
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	sock, err := thrift.NewSocket(thrift.SocketConn(conn))
	if err != nil {
		return nil, err
	}
	c := &Conn{conn: conn, client: graph.NewGraphServiceClientFactory(
		thrift.NewHeaderTransport(thrift.NewBufferedTransportFactory(128<<10).GetTransport(sock)), thrift.NewHeaderProtocolFactory())}
	auth, err := c.client.Authenticate([]byte(user), []byte(password))
	if err != nil {
		return nil, err
	}
	if auth.ErrorCode != nebula.ErrorCode_SUCCEEDED {
		return nil, fmt.Errorf("authenticating: %s (%d)", auth.ErrorMsg, auth.ErrorCode)
	}
	c.Session = auth.GetSessionID()
	return c, nil
}

// Execute runs statements and returns the answer, whatever it is. The error is that of the connection.
func (c *Conn) Execute(stmt string, params map[string]*nebula.Value) (*graph.ExecutionResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	return c.client.ExecuteWithParameter(c.Session, []byte(stmt), params)
}

// Close ends the session and the connection.
func (c *Conn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.client.Signout(c.Session) // the server may be gone
	_ = c.conn.Close()
}
