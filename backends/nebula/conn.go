package nebula

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/vesoft-inc/fbthrift/thrift/lib/go/thrift"
	"github.com/vesoft-inc/nebula-go/v3/nebula"
	"github.com/vesoft-inc/nebula-go/v3/nebula/graph"
)

// answerError is what a graphd says, other than success.
type answerError struct {
	code nebula.ErrorCode
	text string
}

// Error is the text with the code.
func (e *answerError) Error() string { return fmt.Sprintf("%s (%d)", e.text, e.code) }

// lostError is a request that no graphd answered.
type lostError struct {
	sent bool // it may have been carried out
	err  error
}

// Error is the cause.
func (e *lostError) Error() string { return e.err.Error() }

// Unwrap is the cause.
func (e *lostError) Unwrap() error { return e.err }

// conn is a connection with a session. One goroutine uses it at a time: answers carry no number, so that after an
// error nobody knows which request the next answer would be for, and the connection ends.
type conn struct {
	address string
	node    int // its index among the addresses
	net     net.Conn
	client  *graph.GraphServiceClient
	session int64
	era     int // of the pool, in which the session began to use the space; 0: it does not
	used    time.Time
}

// timeless keeps the generated client from setting deadlines: before every read it takes away the one there is, and
// with it ours.
type timeless struct{ net.Conn }

// SetDeadline does nothing.
func (timeless) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (timeless) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (timeless) SetWriteDeadline(time.Time) error { return nil }

const (
	dialTimeout  = 3 * time.Second
	keepAlive    = 15 * time.Second
	loginTimeout = 10 * time.Second
	bufferSize   = 128 << 10
)

// dial connects to a graphd. There is no session yet.
func dial(ctx context.Context, address string, security *tls.Config) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	dialer := &net.Dialer{KeepAlive: keepAlive}
	c := &conn{address: address}
	var err error
	if security == nil {
		c.net, err = dialer.DialContext(ctx, "tcp", address)
	} else {
		c.net, err = (&tls.Dialer{NetDialer: dialer, Config: security}).DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return nil, &lostError{err: err}
	}
	sock, err := thrift.NewSocket(thrift.SocketConn(timeless{c.net}))
	if err != nil {
		return nil, errors.Join(&lostError{err: err}, c.net.Close())
	}
	c.client = graph.NewGraphServiceClientFactory(
		thrift.NewHeaderTransport(thrift.NewBufferedTransportFactory(bufferSize).GetTransport(sock)), thrift.NewHeaderProtocolFactory())
	return c, nil
}

// call makes a request; when ctx ends, so does the request. The generated client knows no context: it finds that the
// time is over. After an error the connection is of no use.
func (c *conn) call(ctx context.Context, request func() error) error {
	if err := ctx.Err(); err != nil {
		return &lostError{err: err}
	}
	stop := context.AfterFunc(ctx, func() { _ = c.net.SetDeadline(time.Unix(1, 0)) }) // it is closed if this fails
	err := contained(request)
	if ended := !stop(); ended && err == nil {
		err = ctx.Err() // the deadline may hit whoever comes next
	}
	if err != nil {
		if why := ctx.Err(); why != nil {
			err = why
		}
		return &lostError{sent: true, err: err}
	}
	c.used = time.Now()
	return nil
}

// contained makes an error of a panic: the generated client has some for answers that are not thrift's.
func contained(request func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading an answer: %v", p)
		}
	}()
	return request()
}

// login begins a session.
func (c *conn) login(ctx context.Context, user, password string) error {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	var version *graph.VerifyClientVersionResp
	var answer *graph.AuthResponse
	err := c.call(ctx, func() (err error) {
		if version, err = c.client.VerifyClientVersion(graph.NewVerifyClientVersionReq()); err != nil {
			return err
		}
		answer, err = c.client.Authenticate([]byte(user), []byte(password))
		return err
	})
	var lost *lostError
	switch {
	case errors.As(err, &lost):
		return &lostError{err: lost.err} // no statement was sent
	case version.GetErrorCode() != nebula.ErrorCode_SUCCEEDED:
		return &answerError{nebula.ErrorCode_E_CLIENT_SERVER_INCOMPATIBLE, string(version.GetErrorMsg())}
	case answer.GetErrorCode() != nebula.ErrorCode_SUCCEEDED:
		return &answerError{answer.GetErrorCode(), string(answer.GetErrorMsg())}
	}
	c.session = answer.GetSessionID()
	return nil
}

// execute runs a statement once.
func (c *conn) execute(ctx context.Context, stmt []byte) (*nebula.DataSet, error) {
	var answer *graph.ExecutionResponse
	err := c.call(ctx, func() (err error) {
		answer, err = c.client.Execute(c.session, stmt)
		return err
	})
	if err != nil {
		return nil, err
	}
	if code := answer.GetErrorCode(); code != nebula.ErrorCode_SUCCEEDED {
		return nil, &answerError{code, string(answer.GetErrorMsg())}
	}
	if data := answer.GetData(); data != nil {
		return data, nil
	}
	return nebula.NewDataSet(), nil // a statement that tells nothing
}

// alive says whether the server answers.
func (c *conn) alive(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return c.echo(ctx) == nil
}

// echo asks for an answer, whatever it is: a session that is none is refused at once.
func (c *conn) echo(ctx context.Context) error {
	return c.call(ctx, func() error {
		_, err := c.client.Execute(0, []byte("YIELD 1"))
		return err
	})
}

// leave ends the session, or leaves that to the server, and the connection.
func (c *conn) leave() {
	if c.net.SetDeadline(time.Now().Add(time.Second)) == nil {
		_ = c.client.Signout(c.session) // the server ends it by itself in the end
	}
	_ = c.net.Close()
}
