package jobs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/time/rate"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/flow"
	"github.com/outflow-db/outflow/internal/projection"
	"github.com/outflow-db/outflow/outbox"
)

// plan is one projection, ready to run.
type plan struct {
	Projection
	target   backends.Target
	layout   backends.Layout
	sql      string
	asking   string // sql with the keys of the log in place of its parameter
	number   int    // of the kind among the store's
	formats  pgx.QueryResultFormats
	counting string // counts the records of keys
	listing  string // tells the keys that have records
	beside   bool   // its generation is being filled, and the one that readers see is written as well
}

// batchRecords is how many records a request has where neither the configuration nor the backend says.
const batchRecords = 1000

// store is one backend with its projections.
type store struct {
	cfg      backends.Config // what it was opened with
	name     string
	typ      string
	backend  backends.Backend
	failover backends.Failover // the backend, as one that knows its endpoints apart; nil: it does not
	features backends.Features
	plans    map[string][]*plan   // by kind
	digests  map[[2]string]string // of the projections that are configured, by kind and target
	sources  []string             // tables that the projections read, to be locked
	removed  chan struct{}        // closed when the backend was taken out
	limits   Limits               // as configured for it
	patience time.Duration        // how long a job retries it
	outdated atomic.Bool          // Setup recorded other projections since
	probing  atomic.Bool          // its pause is being tested
	flow     *flow.Gate           // of requests to it
	rate     *rate.Limiter        // of records to it; nil: none
	lately   *lately              // what its targets took and refused
	most     int                  // records of one reason that it may park within a while; none with NoParkLimit

	pool        outbox.DB
	projections []Projection              // that are configured
	generations map[[2]string]generations // of the targets, as they were when it was opened
	turning     atomic.Bool               // it is being replaced by one with other generations

	preparing chan struct{} // holds one token while the targets are made ready
	prepared  bool          // they are; changed by who has the token
	verifying chan struct{} // holds one token while the targets are compared
}

// openStore opens the backend of cfg and describes its projections. The store itself need not be up.
func openStore(ctx context.Context, c Config, cfg backends.Config) (*store, error) {
	if cfg.Logger == nil {
		cfg.Logger = c.Logger.With("backend", cfg.Name)
	}
	b, err := backends.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	set := c.settings(cfg.Name)
	features := b.Features()
	if most := cmp.Or(set.BatchRecords, features.Records, batchRecords); features.MaxRecords == 0 || features.MaxRecords > most {
		features.MaxRecords = most
	}
	if features.MaxBytes == 0 || features.MaxBytes > set.BatchBytes {
		features.MaxBytes = set.BatchBytes
	}
	def(&features.Concurrency, 2)
	s, err := describeStore(ctx, c, cfg, shell{b, cfg.Name, set.Request, cfg.Logger}, features, of(cfg.Name, c.Projections))
	if err == nil && s.limits.Verify.Deep && !s.comparable() {
		err = fmt.Errorf("backend %s: its scheduled verify: %w", cfg.Name, errNoContent)
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return s, nil
}

// requestSize is how many records the next request may have.
func (s *store) requestSize() int {
	n := s.flow.Size()
	if s.rate != nil {
		n = min(n, s.rate.Burst())
	}
	return n
}

// pageSeconds is how long a page may take by the rate: a job ends after its page.
const pageSeconds = 5

// pageKeys is how many keys a page has, about.
func (s *store) pageKeys(set Settings) int {
	if s.rate != nil {
		return min(set.PageKeys, pageSeconds*s.rate.Burst())
	}
	return set.PageKeys
}

// paid waits until n records may be sent, no more than a request may have.
func (s *store) paid(ctx context.Context, n int) error {
	if s.rate == nil {
		return nil
	}
	if err := s.rate.WaitN(ctx, n); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("waiting for the rate of backend %s: %w", s.name, err)
	}
	return nil
}

// comparable says whether what the store really holds can be compared.
func (s *store) comparable() bool { return s.features.Recomputed || s.comparer() != nil }

// describeStore is an open backend with its projections and the generations of their targets.
func describeStore(ctx context.Context, c Config, cfg backends.Config, b backends.Backend, features backends.Features, projections []Projection) (*store, error) {
	all, err := loadTargets(ctx, c.Pool, cfg.Name)
	if err != nil {
		return nil, err
	}
	s := &store{
		cfg: cfg, name: cfg.Name, typ: cfg.Type, backend: b, plans: map[string][]*plan{}, digests: map[[2]string]string{},
		limits: c.Limits[cfg.Name], patience: c.settings(cfg.Name).Patience, most: c.settings(cfg.Name).ParkLimit, lately: &lately{}, pool: c.Pool, projections: projections, generations: all.generations,
		removed: make(chan struct{}), preparing: make(chan struct{}, 1), verifying: make(chan struct{}, 1), features: features,
	}
	s.failover = failoverOf(b)
	s.flow = flow.NewGate(s.features.MaxRecords)
	if n := s.limits.Rate; n > 0 {
		s.rate = rate.NewLimiter(rate.Limit(n), n)
	}
	var errs []error
	for _, p := range projections {
		digest, err := p.digest(s.typ)
		if s.digests[[2]string{p.Kind, p.Target}] = digest; err == nil {
			err = s.take(ctx, c, p, all)
		}
		errs = append(errs, err)
	}
	return s, errors.Join(errs...)
}

// add describes a projection and takes it in.
func (s *store) add(ctx context.Context, c Config, p Projection, n int, g generation) error {
	columns, sources, err := projection.Describe(ctx, c.Pool, p.Query)
	if err != nil {
		return fmt.Errorf("projection of kind %s into target %s of backend %s: %w", p.Kind, p.Target, s.name, err)
	}
	target := backends.Target{Kind: p.Kind, Name: p.Target, Columns: columns, Settings: p.Settings, Generation: n, Building: g.building}
	layout, err := s.backend.Layout(target)
	if err != nil {
		return fmt.Errorf("projection of kind %s into target %s of backend %s: %w", p.Kind, p.Target, s.name, err)
	}
	number := len(s.plans)
	if others := s.plans[p.Kind]; len(others) > 0 {
		number = others[0].number
	}
	s.plans[p.Kind] = append(s.plans[p.Kind], &plan{
		Projection: p, target: target, layout: layout, number: number, asking: projection.Asking(p.Query, layout, outbox.AskedKeys(number)),
		sql: projection.SQL(p.Query, layout), formats: projection.Formats(layout), counting: projection.Count(p.Query), listing: projection.Keys(p.Query), beside: g.beside,
	})
	s.sources = append(s.sources, sources...)
	slices.Sort(s.sources)
	s.sources = slices.Compact(s.sources)
	return nil
}

// targets lists the targets of all projections.
func (s *store) targets() []backends.Target {
	var all []backends.Target
	for _, plans := range s.plans {
		for _, p := range plans {
			all = append(all, p.target)
		}
	}
	slices.SortFunc(all, func(a, b backends.Target) int {
		return slices.Compare([]string{a.Name, a.Kind}, []string{b.Name, b.Kind})
	})
	return all
}

// prepare makes the targets ready in the store, once in a process unless it is asked to do it again.
func (s *store) prepare(ctx context.Context, again bool) error {
	done, err := alone(ctx, s.preparing)
	if err != nil {
		return err
	}
	defer done()
	if s.prepared && !again {
		return nil
	}
	if err := s.current(ctx, s.pool); err != nil {
		return err // a generation that is gone must not be made again
	}
	s.prepared = false
	if err := s.backend.Prepare(ctx, s.targets()); err != nil {
		return fmt.Errorf("preparing backend %s: %w", s.name, err)
	}
	s.prepared = true
	return nil
}

// alone waits for the token and answers how to give it back, or fails when ctx ends before.
func alone(ctx context.Context, token chan struct{}) (done func(), err error) {
	select {
	case token <- struct{}{}:
		return func() { <-token }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// errOutdated says that a process must leave a backend alone: what it would write is not what others fill it with,
// and a fill that it passed by would be lost.
var errOutdated = errors.New("its projections are not those that Setup recorded last")

// agrees fails with errOutdated when the database has other projections of the backend, or other generations of them.
func (s *store) agrees(ctx context.Context, db outbox.DB) error {
	if err := s.current(ctx, db); err != nil {
		return err
	}
	if !s.fits() {
		return fmt.Errorf("backend %s: %w", s.name, errOutdated)
	}
	return nil
}

// digest identifies what a projection makes of its kind: when it changes, the target is filled again.
func (p Projection) digest(typ string) (string, error) {
	settings, err := json.Marshal(p.Settings) // maps are written in the order of their keys
	if err != nil {
		return "", fmt.Errorf("projection of kind %s into backend %s: settings: %w", p.Kind, p.Backend, err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s", typ, p.Query, settings))
	return hex.EncodeToString(sum[:16]), nil
}
