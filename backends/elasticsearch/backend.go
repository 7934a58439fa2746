package elasticsearch

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/flow"
)

// Type is the name under which this package registers.
const Type = "elasticsearch"

func init() {
	backends.Register(Type, func(_ context.Context, cfg backends.Config) (backends.Backend, error) { return open(cfg) })
}

// The bounds of one Write.
const (
	maxRecords = 5000
	maxBytes   = 16 << 20

	suitable = 2000 // records of a request: each is flushed to disk, and larger ones take longer than 200 ms
)

// backend is safe for concurrent use.
type backend struct {
	name     string
	prefix   string
	requests int
	nodes    *nodes
	pace     *flow.Pace
	log      *slog.Logger

	mu      sync.Mutex
	indices []string // that were prepared, for Health
}

var _ backends.Failover = (*backend)(nil)

// open reads the settings; see options. It does not connect.
func open(cfg backends.Config) (*backend, error) {
	o, err := readOptions(cfg.Settings)
	b := &backend{name: cfg.Name, prefix: o.prefix, requests: o.requests, pace: flow.NewPace(bounds), log: cfg.Logger}
	if err != nil {
		return nil, b.fail("open", backends.Rejected, err)
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.nodes, err = b.newNodes(o); err != nil {
		return nil, b.fail("open", backends.Rejected, err)
	}
	return b, nil
}

// Features: external versions guard writes and, for as long as gc_deletes, deletes.
func (b *backend) Features() backends.Features {
	return backends.Features{
		Guarded: true, Tombstones: true,
		MaxRecords: maxRecords, Records: suitable, MaxBytes: maxBytes, MaxKey: maxID, Concurrency: b.requests,
	}
}

// Layout wants everything in the document.
func (b *backend) Layout(t backends.Target) (backends.Layout, error) {
	if _, err := b.model(t); err != nil {
		return backends.Layout{}, err
	}
	return backends.DocLayout(t), nil
}

// Close closes the connections that are not in use. It can be called again.
func (b *backend) Close() error {
	return b.nodes.close()
}

// remember notes an index that Health looks at.
func (b *backend) remember(index string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Contains(b.indices, index) {
		b.indices = append(b.indices, index)
	}
}

func (b *backend) fail(op string, class backends.Class, err error) *backends.Error {
	return &backends.Error{Op: op, Backend: b.name, Class: class, Err: err}
}

func (b *backend) failFor(op string, t backends.Target, class backends.Class, err error) *backends.Error {
	e := b.fail(op, class, err)
	e.Kind = t.Kind
	return e
}
