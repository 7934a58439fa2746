package backendtest

import (
	"net"
	"sync"
	"testing"
)

// A proxy stands between a backend and its store, forwards bytes, and makes faults.
type proxy struct {
	listener net.Listener
	store    string

	mu     sync.Mutex
	fault  fault
	seen   func() // called once when a request comes while the store is silent
	read   int64  // bytes that the store has answered
	open   map[net.Conn]bool
	copies sync.WaitGroup
}

type fault int

const (
	none    fault = iota
	lost          // requests go through; the first byte of an answer cuts the connection
	refused       // connections are cut, new ones at once
	silent        // requests go through, answers are held back
)

func newProxy(tb testing.TB, store string) *proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // lives as long as the test
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{listener: l, store: store, open: map[net.Conn]bool{}}
	p.copies.Go(p.accept)
	tb.Cleanup(p.close)
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) loseAnswers() { p.set(lost, nil) }

func (p *proxy) refuse() {
	p.set(refused, nil)
	p.cut()
}

// silence holds answers back; request is called when the next request has come.
func (p *proxy) silence(request func()) { p.set(silent, request) }

// heal ends the fault. Connections on which answers were held back are cut: what they lack cannot be told.
func (p *proxy) heal() {
	p.cut()
	p.set(none, nil)
}

func (p *proxy) set(f fault, seen func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.seen = f, seen
}

func (p *proxy) now() fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		_ = c.Close()
	}
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.cut()
	p.copies.Wait()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		store, err := net.Dial("tcp", p.store) //nolint:noctx // lives as long as the test
		if err != nil || p.now() == refused {
			_ = client.Close()
			if err == nil {
				_ = store.Close()
			}
			continue
		}
		p.keep(client, store)
		p.copies.Go(func() { p.forward(store, client, p.request) })
		p.copies.Go(func() { p.forward(client, store, p.answer) })
	}
}

func (p *proxy) keep(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.open[c] = true
	}
}

// forward copies until either side ends, then ends both. Pass is asked what to do with what has come.
func (p *proxy) forward(to, from net.Conn, pass func(fault) (on, cut bool)) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range []net.Conn{to, from} {
			_ = c.Close()
			delete(p.open, c)
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		on, cut := pass(p.now())
		p.count(from, n)
		if on && n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil || cut {
			return
		}
	}
}

// count counts what comes from the store.
func (p *proxy) count(from net.Conn, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if from.RemoteAddr().String() == p.store {
		p.read += int64(n)
	}
}

// answered is how many bytes the store has answered so far.
func (p *proxy) answered() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.read
}

// request lets everything through, and tells who waits for it.
func (p *proxy) request(f fault) (on, cut bool) {
	if f == silent {
		p.mu.Lock()
		seen := p.seen
		p.mu.Unlock()
		seen()
	}
	return true, false
}

func (p *proxy) answer(f fault) (on, cut bool) { return f == none, f == lost }
