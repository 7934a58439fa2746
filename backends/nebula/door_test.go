package nebula

import (
	"io"
	"net"
	"sync"
	"testing"
)

// door lets connections through to a server, or ends them.
type door struct {
	net.Listener
	to string

	mu    sync.Mutex
	shut  bool
	conns []net.Conn
}

func newDoor(t *testing.T, to string) *door {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{Listener: l, to: to}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() { d.pass(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		d.set(true)
		group.Wait()
	})
	return d
}

func (d *door) pass(c net.Conn) {
	s, err := net.Dial("tcp", d.to)
	if err != nil {
		_ = c.Close()
		return
	}
	d.mu.Lock()
	d.conns = append(d.conns, c, s)
	shut := d.shut
	d.mu.Unlock()
	if shut {
		d.set(true)
	}
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(s, c); _ = s.Close() })
	both.Go(func() { _, _ = io.Copy(c, s); _ = c.Close() })
	both.Wait()
}

// set shuts the door, which ends all connections, or opens it.
func (d *door) set(shut bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut = shut; shut {
		for _, c := range d.conns {
			_ = c.Close()
		}
		d.conns = nil
	}
}
