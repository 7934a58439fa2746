package nebula

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/endpoints"
	"github.com/outflow-db/outflow/internal/flow"
)

// Type is the name under which this package registers.
const Type = "nebula"

func init() {
	backends.Register(Type, func(_ context.Context, cfg backends.Config) (backends.Backend, error) { return open(cfg) })
}

// The bounds of one Write, and of one statement of it. NebulaGraph's own loaders send 100 to 2000 rows a statement; what
// is slow on large statements is the one partition whose rows wait for the others'.
const (
	maxRecords    = 2000
	maxRows       = 512
	leastBytes    = 16 << 10
	firstBytes    = 256 << 10
	mostBytes     = 1 << 20
	fastStatement = 150 * time.Millisecond
	slowStatement = time.Second
)

// backend is safe for concurrent use.
type backend struct {
	name    string
	options options
	pool    *pool
	pace    *flow.Pace
	log     *slog.Logger

	mu      sync.Mutex
	defined time.Time // when it last changed a schema
	hosts   string    // what Health saw last
}

var _ backends.Failover = (*backend)(nil)

// open reads the settings; see options. It does not connect.
func open(cfg backends.Config) (*backend, error) {
	o, err := readOptions(cfg.Settings)
	b := &backend{name: cfg.Name, options: o, log: cfg.Logger}
	if err != nil {
		return nil, b.fail("open", backends.Rejected, err)
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	b.pace = flow.NewPace(flow.Bounds{
		Least: leastBytes, First: min(firstBytes, o.statement), Most: min(mostBytes, o.statement), Fast: fastStatement, Slow: slowStatement,
	})
	b.pool = newPool(o, endpoints.Config{Backend: cfg.Name, Classify: b.classify, Log: b.log})
	if o.tls == nil && o.password != DefaultPassword {
		b.log.Warn("the password of a backend goes over the network in plain text: see its setting tls", "backend", cfg.Name)
	}
	return b, nil
}

// Features: nothing guards a version at a cost that bulk writes could bear, see docs/decisions.
func (b *backend) Features() backends.Features {
	return backends.Features{MaxRecords: maxRecords, MaxBytes: mostBytes, Concurrency: b.options.requests}
}

// Layout wants everything in the document.
func (b *backend) Layout(t backends.Target) (backends.Layout, error) {
	if _, err := b.model(t); err != nil {
		return backends.Layout{}, err
	}
	return backends.DocLayout(t), nil
}

// Endpoints are the graphds of the setting addresses.
func (b *backend) Endpoints() []backends.Endpoint { return b.pool.set.List() }

// Probe asks a graphd for an answer.
func (b *backend) Probe(ctx context.Context, address string) error {
	return b.pool.set.Probe(ctx, address)
}

// Close ends the sessions. It can be called again.
func (b *backend) Close() error {
	b.pool.close()
	return nil
}

func (b *backend) fail(op string, class backends.Class, err error) *backends.Error {
	return &backends.Error{Op: op, Backend: b.name, Class: class, Err: err}
}

func (b *backend) failFor(op string, t backends.Target, class backends.Class, err error) *backends.Error {
	e := b.fail(op, class, err)
	e.Kind = t.Kind
	return e
}
