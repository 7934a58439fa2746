package qdrant

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/flow"
)

// Type is the name under which this package registers.
const Type = "qdrant"

func init() {
	backends.Register(Type, func(_ context.Context, cfg backends.Config) (backends.Backend, error) { return open(cfg) })
}

// The bounds of one Write. Qdrant advises requests of hundreds of points and up to 5 MB; it has no limit of its own.
const (
	maxRecords  = 1000
	leastBytes  = 64 << 10
	firstBytes  = 1 << 20
	mostBytes   = 8 << 20
	mostRecord  = 32 << 20 // of one record: the server's log has segments of 32 MB
	fastRequest = 250 * time.Millisecond
	slowRequest = 2 * time.Second
)

// backend is safe for concurrent use.
type backend struct {
	name        string
	prefix      string
	requests    int
	nodes       *nodes
	close       func() error // once
	collections pb.CollectionsClient
	points      pb.PointsClient
	pace        *flow.Pace
	log         *slog.Logger
	now         func() time.Time

	mu       sync.Mutex
	prepared []string  // collections, for Health
	hold     time.Time // until when the server wants no requests
}

var _ backends.Failover = (*backend)(nil)

// open reads the settings; see options. It does not connect.
func open(cfg backends.Config) (*backend, error) {
	o, err := readOptions(cfg.Settings)
	b := &backend{
		name: cfg.Name, prefix: o.prefix, requests: o.requests, log: cfg.Logger, now: time.Now,
		pace: flow.NewPace(flow.Bounds{Least: leastBytes, First: firstBytes, Most: mostBytes, Fast: fastRequest, Slow: slowRequest}),
	}
	if err != nil {
		return nil, b.fail("open", backends.Rejected, err)
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.nodes, err = b.newNodes(o); err != nil {
		return nil, b.fail("open", backends.Rejected, err)
	}
	if o.apiKey != "" && o.tls == nil {
		b.log.Warn("the API key of a backend goes over the network in plain text: see its setting tls", "backend", cfg.Name)
	}
	b.close = sync.OnceValue(b.nodes.close)
	b.collections, b.points = pb.NewCollectionsClient(b.nodes), pb.NewPointsClient(b.nodes)
	return b, nil
}

// Features: filters guard writes and deletes of points that are there; a deleted point leaves no trace.
func (b *backend) Features() backends.Features {
	return backends.Features{Guarded: true, MaxRecords: maxRecords, MaxBytes: mostBytes, Concurrency: b.requests}
}

// Layout wants the columns of vectors apart and everything else in the document.
func (b *backend) Layout(t backends.Target) (backends.Layout, error) {
	m, err := b.model(t)
	if err != nil {
		return backends.Layout{}, err
	}
	return backends.Layout{Doc: m.payload, Raw: m.raw}, nil
}

// Close closes the connections.
func (b *backend) Close() error { return b.close() }

// remember notes a collection that Health looks at.
func (b *backend) remember(collection string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Contains(b.prepared, collection) {
		b.prepared = append(b.prepared, collection)
	}
}

func (b *backend) forget(collection string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.prepared = slices.DeleteFunc(b.prepared, func(name string) bool { return name == collection })
}

func (b *backend) fail(op string, class backends.Class, err error) *backends.Error {
	return &backends.Error{Op: op, Backend: b.name, Class: class, Err: err}
}

func (b *backend) failFor(op string, t backends.Target, class backends.Class, err error) *backends.Error {
	e := b.fail(op, class, err)
	e.Kind = t.Kind
	return e
}
