package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy passes connections on to a server. Its methods may be called at any time, from any goroutine; what they set
// concerns connections that are open as well.
type Proxy struct {
	addr string

	mu       sync.Mutex
	listener net.Listener // nil: nobody listens
	to       string
	conns    map[net.Conn]bool
	shape    shape
	left     [ways]int64         // bytes until everything is cut, each way; -1: any number
	frozen   [ways]chan struct{} // closed when bytes flow again; nil: they do
	refuse   bool
	loses    []byte // what a request holds whose answer is lost; nil: none
	freezes  []byte // what a request holds at which everything freezes; nil: none
	lost     int
	answered int // parts of answers that got through to a client

	group sync.WaitGroup
}

// way is a direction.
type way int

const (
	toServer way = iota
	toClient
	ways
)

// New starts a proxy to the address of a server. It ends with the test.
func New(tb testing.TB, to string) *Proxy {
	tb.Helper()
	p, err := Start(to)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

// Start is New for what is no test. It runs until Close.
func Start(to string) (*Proxy, error) {
	p := &Proxy{to: to, conns: map[net.Conn]bool{}, left: [ways]int64{-1, -1}, addr: "127.0.0.1:0"}
	if err := p.Listen(); err != nil {
		return nil, fmt.Errorf("starting a proxy: %w", err)
	}
	return p, nil
}

// Addr is the proxy's own address.
func (p *Proxy) Addr() string { return p.addr }

// Listen takes connections again after Unlisten, at the same address.
func (p *Proxy) Listen() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		return nil
	}
	listener, err := net.Listen("tcp", p.addr) //nolint:noctx // it is there at once
	if err != nil {
		return err
	}
	p.listener, p.addr = listener, listener.Addr().String()
	p.group.Go(func() { p.accept(listener) })
	return nil
}

// Unlisten cuts all connections, and lets the system refuse new ones, as that of a server does which has ended.
func (p *Proxy) Unlisten() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		_ = p.listener.Close() // nothing is lost
		p.listener = nil
	}
	p.cut()
}

// To sends new connections to another server, and cuts those that there are.
func (p *Proxy) To(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = addr
	p.cut()
}

// Close ends the proxy with all its connections.
func (p *Proxy) Close() {
	p.Unlisten()
	p.Heal()
	p.Cut()
	p.group.Wait()
}

func (p *Proxy) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		p.group.Go(func() { p.serve(client) })
	}
}

// serve passes one connection on, until either side ends it.
func (p *Proxy) serve(client net.Conn) {
	defer client.Close() //nolint:errcheck // it is over
	to, ok := p.admits(client)
	if !ok {
		return
	}
	defer p.set(func() { delete(p.conns, client) })
	var dialer net.Dialer
	server, err := dialer.DialContext(context.Background(), "tcp", to)
	if err != nil {
		return
	}
	defer server.Close() //nolint:errcheck // it is over
	p.set(func() { p.conns[server] = true })
	defer p.set(func() { delete(p.conns, server) })
	asked := &request{}
	var both sync.WaitGroup
	both.Go(func() {
		p.pass(toServer, client, server, func(b []byte) error { return p.ask(asked, b) })
		_ = server.Close()
	})
	both.Go(func() {
		p.pass(toClient, server, client, func(b []byte) error { return p.answer(asked, len(b)) })
		_ = client.Close()
	})
	both.Wait()
}

// admits says whether a connection is taken, and where it goes.
func (p *Proxy) admits(client net.Conn) (to string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse || p.listener == nil {
		return "", false
	}
	p.conns[client] = true
	return p.to, true
}

// pass copies bytes one way, with what is set. Before each chunk it asks look, whose error ends it.
func (p *Proxy) pass(w way, from io.Reader, to io.Writer, look func([]byte) error) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer[:p.chunk()])
		if n > 0 {
			p.wait(w, n)
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

// chunk is how many bytes are passed on at once: few when they go slowly.
func (p *Proxy) chunk() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shape.chunk()
}

// wait lets n bytes take their time.
func (p *Proxy) wait(w way, n int) {
	p.mu.Lock()
	d, frozen := p.shape.delay(n, rand.Float64(), rand.Float64()), p.frozen[w]
	p.mu.Unlock()
	time.Sleep(d)
	if frozen != nil {
		<-frozen
	}
}

// ask takes a part of a request in, and freezes everything, or cuts, if it is the one to do so.
func (p *Proxy) ask(asked *request, b []byte) error {
	asked.see(b)
	p.mu.Lock()
	freeze := asked.holds(p.freezes)
	if freeze {
		p.freezes = nil
		p.freeze(toServer)
		p.freeze(toClient)
	}
	err := p.spend(toServer, len(b))
	p.mu.Unlock()
	if freeze {
		p.wait(toServer, 0)
	}
	return err
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
	p.answered++
	return p.spend(toClient, n)
}

// spend takes n bytes from those that are left, and cuts everything when there are none. The caller holds the lock.
func (p *Proxy) spend(w way, n int) error {
	if p.left[w] < 0 {
		return nil
	}
	if p.left[w] -= int64(n); p.left[w] >= 0 {
		return nil
	}
	p.left[w] = -1
	p.cut()
	return fmt.Errorf("the limit was passed by %d bytes", n)
}

// cut closes all connections. The caller holds the lock.
func (p *Proxy) cut() {
	for c := range p.conns {
		_ = c.Close() // it is meant to break
	}
}

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}
