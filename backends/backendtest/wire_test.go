package backendtest

import (
	"context"
	"errors"
	"net"
	"net/rpc"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/pgtest"
)

// served is a Memory behind TCP, for tests of the cases that make faults in connections.
type served struct{ memory *Memory }

// WriteArgs and WriteReply are what a write is on the wire.
type (
	WriteArgs struct {
		Target  backends.Target
		Records []backends.Record
	}
	WriteReply struct {
		Results []backends.Result
		Class   backends.Class
	}
)

// Write is the server's side of a write.
func (s served) Write(args *WriteArgs, reply *WriteReply) error {
	results, err := s.memory.Write(context.Background(), args.Target, args.Records)
	reply.Results = results
	if err != nil {
		reply.Class = backends.ClassOf(err)
	}
	return nil
}

// ScanArgs asks for a page.
type ScanArgs struct {
	Target backends.Target
	After  string
}

// Scan is the server's side of a page of a scan: entries in the order of their keys.
func (s served) Scan(args *ScanArgs, reply *[]backends.Entry) error {
	return s.memory.Scan(context.Background(), args.Target, func(page []backends.Entry) error {
		for _, e := range page {
			if e.Key > args.After && len(*reply) < memoryPage {
				*reply = append(*reply, e)
			}
		}
		return nil
	})
}

func serve(tb testing.TB, m *Memory) (address string) {
	tb.Helper()
	server := rpc.NewServer()
	if err := server.RegisterName("store", served{m}); err != nil {
		tb.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{open: map[net.Conn]bool{}} // keeps the connections, to end them
	p.copies.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.keep(c)
			p.copies.Go(func() { server.ServeConn(c) })
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.copies.Wait()
	})
	return l.Addr().String()
}

// remote is a backend that writes and scans through TCP; the rest it asks of the Memory itself.
type remote struct {
	*Memory
	address string
	lost    func(error) error // what a lost answer is
	hoards  bool              // reads all pages before it passes on the first
}

// Scan asks for page after page.
func (r *remote) Scan(_ context.Context, t backends.Target, fn func([]backends.Entry) error) error {
	client, err := rpc.Dial("tcp", r.address)
	if err != nil {
		return r.fail("scan", t, backends.Transient, err)
	}
	defer func() { _ = client.Close() }()
	var hoard [][]backends.Entry
	for after := ""; ; {
		var page []backends.Entry
		if err := client.Call("store.Scan", &ScanArgs{t, after}, &page); err != nil {
			return r.fail("scan", t, backends.Transient, err)
		}
		if len(page) == 0 {
			break
		}
		if after = page[len(page)-1].Key; r.hoards {
			hoard = append(hoard, page)
		} else if err := fn(page); err != nil {
			return err
		}
	}
	for _, page := range hoard {
		if err := fn(page); err != nil {
			return err
		}
	}
	return nil
}

func (r *remote) Write(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Result, error) {
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		return nil, r.fail("write", t, backends.Transient, err)
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	client := rpc.NewClient(conn)
	defer func() { _ = client.Close() }()
	var reply WriteReply
	if err := client.Call("store.Write", &WriteArgs{t, records}, &reply); err != nil {
		return make([]backends.Result, len(records)), r.lost(r.fail("write", t, backends.Unknown, err))
	}
	if reply.Class != "" {
		return nil, r.fail("write", t, reply.Class, errors.New("refused"))
	}
	return reply.Results, nil
}

func (r *remote) Health(context.Context) error {
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		return r.fail("health", backends.Target{}, backends.Transient, err)
	}
	defer func() { _ = conn.Close() }()
	if err := rpc.NewClient(conn).Call("store.Nothing", 0, nil); err != nil && err.Error() != "rpc: can't find method store.Nothing" {
		return r.lost(r.fail("health", backends.Target{}, backends.Transient, err))
	}
	return nil
}

func asItIs(err error) error { return err }

// remoteSuite is the suite of a Memory behind TCP.
func remoteSuite(tb testing.TB, source func(testing.TB) *pgxpool.Pool, lost func(error) error) Suite {
	tb.Helper()
	m := &Memory{Promises: Everything()}
	return Suite{
		Source:  source,
		Address: serve(tb, m),
		Through: func(_ testing.TB, address string) backends.Backend {
			return &remote{Memory: m, address: address, lost: lost}
		},
	}
}

// A scan that hoards is noticed, and one that does not is not.
func TestBrokenScan(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	for _, hoards := range []bool{false, true} {
		s := remoteSuite(t, shared(pool), asItIs)
		open := s.Through
		s.Through = func(tb testing.TB, address string) backends.Backend {
			tb.Helper()
			b := open(tb, address)
			b.(*remote).hoards = hoards
			return b
		}
		if got := record(t, "scan page by page", s); (len(got) > 0) != hoards {
			t.Errorf("hoards %v: %q", hoards, got)
		}
	}
}
