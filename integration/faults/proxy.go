// Package faults is a TCP proxy that misbehaves on request, to put between a client and a server in tests.
package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy passes connections on to a server. Its methods may be called at any time, from any goroutine; what they set
// concerns connections that are open as well.
type Proxy struct {
	listener net.Listener
	to       string

	mu      sync.Mutex
	conns   map[net.Conn]bool
	latency time.Duration // before each chunk, each way
	left    int64         // bytes to the client until everything is cut; -1: any number
	frozen  chan struct{} // closed when bytes flow again; nil: they do
	refuse  bool
	loses   []byte // what a request holds whose answer is lost; nil: none
	freezes []byte // what a request holds at which everything freezes; nil: none
	lost    int

	group sync.WaitGroup
}

// New starts a proxy to the address of a server. It ends with the test.
func New(tb testing.TB, to string) *Proxy {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is there at once
	if err != nil {
		tb.Fatalf("starting a proxy: %v", err)
	}
	p := &Proxy{listener: listener, to: to, conns: map[net.Conn]bool{}, left: -1}
	p.group.Go(p.accept)
	tb.Cleanup(p.close)
	return p
}

// Addr is the proxy's own address.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// SetLatency delays everything that is sent, each way.
func (p *Proxy) SetLatency(d time.Duration) { p.set(func() { p.latency = d }) }

// CutAfter cuts all connections when n more bytes have gone to clients.
func (p *Proxy) CutAfter(n int64) { p.set(func() { p.left = n }) }

// Cut cuts all connections. New ones are taken.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut()
}

func (p *Proxy) cut() {
	for c := range p.conns {
		_ = c.Close() // it is meant to break
	}
}

// Freeze lets nothing through any more, as a black hole does: connections stay open and new ones are taken. What is
// sent meanwhile arrives after Thaw.
func (p *Proxy) Freeze() { p.set(p.freeze) }

func (p *Proxy) freeze() {
	if p.frozen == nil {
		p.frozen = make(chan struct{})
	}
}

// FreezeAt is Freeze as soon as a request comes that holds text. The request itself arrives after Thaw.
func (p *Proxy) FreezeAt(text string) { p.set(func() { p.freezes = []byte(text) }) }

// Thaw ends Freeze.
func (p *Proxy) Thaw() {
	p.set(func() {
		if p.frozen != nil {
			close(p.frozen)
			p.frozen = nil
		}
	})
}

// Refuse closes new connections at once, or, with false, takes them again.
func (p *Proxy) Refuse(yes bool) { p.set(func() { p.refuse = yes }) }

// LoseAnswer cuts the next connection on which a request that holds text was answered, before the answer gets through.
func (p *Proxy) LoseAnswer(text string) { p.set(func() { p.loses = []byte(text) }) }

// Lost is how many answers were lost so.
func (p *Proxy) Lost() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *Proxy) close() {
	_ = p.listener.Close() // nothing depends on it any more
	p.Thaw()
	p.Cut()
	p.group.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.group.Go(func() { p.serve(client) })
	}
}

// serve passes one connection on, until either side ends it.
func (p *Proxy) serve(client net.Conn) {
	defer client.Close() //nolint:errcheck // it is over
	if p.refuses() {
		return
	}
	var dialer net.Dialer
	server, err := dialer.DialContext(context.Background(), "tcp", p.to)
	if err != nil {
		return
	}
	defer server.Close() //nolint:errcheck // it is over
	p.set(func() { p.conns[client], p.conns[server] = true, true })
	defer p.set(func() { delete(p.conns, client); delete(p.conns, server) })
	asked := &request{}
	var both sync.WaitGroup
	both.Go(func() {
		p.pass(client, server, func(b []byte) error { p.ask(asked, b); return nil })
		_ = server.Close()
	})
	both.Go(func() {
		p.pass(server, client, func(b []byte) error { return p.answer(asked, len(b)) })
		_ = client.Close()
	})
	both.Wait()
}

func (p *Proxy) refuses() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refuse
}

// pass copies bytes one way, with what is set. Before each chunk it asks look, whose error ends it.
func (p *Proxy) pass(from io.Reader, to io.Writer, look func([]byte) error) {
	for buffer := make([]byte, 32<<10); ; {
		n, err := from.Read(buffer)
		if n > 0 {
			p.wait()
			if look(buffer[:n]) != nil {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) wait() {
	p.mu.Lock()
	latency, frozen := p.latency, p.frozen
	p.mu.Unlock()
	time.Sleep(latency)
	if frozen != nil {
		<-frozen
	}
}

// request is what a client has sent since the last answer.
type request struct {
	mu   sync.Mutex
	text []byte
}

func (r *request) see(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = append(r.text, b...)
}

func (r *request) holds(text []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return text != nil && bytes.Contains(r.text, text)
}

func (r *request) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = r.text[:0]
}

// ask takes a part of a request in, and freezes everything if it is the one to do so.
func (p *Proxy) ask(asked *request, b []byte) {
	asked.see(b)
	p.mu.Lock()
	freeze := asked.holds(p.freezes)
	if freeze {
		p.freezes = nil
		p.freeze()
	}
	p.mu.Unlock()
	if freeze {
		p.wait()
	}
}

// answer decides about n bytes of an answer: an error means that they are lost and the connection is cut.
func (p *Proxy) answer(asked *request, n int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer asked.end()
	if asked.holds(p.loses) {
		p.loses = nil
		p.lost++
		return errors.New("the answer is lost")
	}
	if p.left < 0 {
		return nil
	}
	if p.left -= int64(n); p.left >= 0 {
		return nil
	}
	p.left = -1
	p.cut()
	return fmt.Errorf("the limit was passed by %d bytes", n)
}
