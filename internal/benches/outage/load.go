package outage

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/benches/lab"
)

// load changes records of the working set at a steady rate.
type load struct {
	changes atomic.Int64
}

// clients are those that make the load together.
const clients = 3

// run makes changes until ctx ends. One that falls behind catches up: the rate is that of the clock.
func (l *load) run(ctx context.Context, pool *pgxpool.Pool) error {
	failed := make(chan error, clients)
	for i := range clients {
		go func() { failed <- l.client(ctx, pool, rand.New(rand.NewPCG(1, uint64(i)))) }() //nolint:gosec // a load, and small numbers
	}
	var err error
	for range clients {
		if e := <-failed; err == nil {
			err = e
		}
	}
	return err
}

func (l *load) client(ctx context.Context, pool *pgxpool.Pool, r *rand.Rand) error {
	next := time.Now()
	for n := int64(1); ctx.Err() == nil; n++ {
		ids := pick(r)
		_, err := pool.Exec(ctx, `
update bench.items i set n = n + 1, doc = $2
  from (select id from bench.items where id = any($1) order by id for update) x where x.id = i.id`, ids, fmt.Sprintf("change %d of %v", n, ids))
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("changing items: %w", err)
		}
		l.changes.Add(int64(len(ids))) // the last one may have been cut
		next = next.Add(clients * between)
		_ = lab.Rest(ctx, time.Until(next)) // it only fails when ctx ends
	}
	return nil
}

// pick chooses the records of a transaction: four of five are of the fifth that changes most.
func pick(r *rand.Rand) []int64 {
	chosen := map[int64]bool{}
	for len(chosen) < perTx {
		of := items
		if r.IntN(5) > 0 {
			of = items / 5
		}
		chosen[int64(1+r.IntN(of))] = true
	}
	ids := make([]int64, 0, perTx)
	for id := range chosen {
		ids = append(ids, id)
	}
	return ids
}

// phase is when a probe was committed.
type phase int

const (
	warmingUp phase = iota
	bothUp
	oneDown
	catchingUp
	phases
)

// probes are changes of records of their own, whose way into the store that is up is timed.
type probes struct {
	mu    sync.Mutex
	phase phase
	sent  map[int64]sent // by number
	took  [phases][]time.Duration
}

type sent struct {
	at      time.Time // zero: the commit has not answered yet
	applied time.Time
	phase   phase
}

const (
	probeItems = 1000
	probeEvery = 20 * time.Millisecond
)

// now says which phase begins.
func (p *probes) now(is phase) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.phase = is
}

// run sends a probe every so often until ctx ends.
func (p *probes) run(ctx context.Context, pool *pgxpool.Pool) error {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for n := int64(1); ; n++ {
		p.begin(n)
		_, err := pool.Exec(ctx, `update bench.items set n = $2 where id = $1`, -1-n%probeItems, n)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("sending a probe: %w", err)
		}
		p.end(n, time.Now(), true)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (p *probes) begin(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sent == nil {
		p.sent = map[int64]sent{}
	}
	p.sent[n] = sent{phase: p.phase}
}

// end notes that a probe was committed, or applied, which may come first.
func (p *probes) end(n int64, at time.Time, committed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, waited := p.sent[n]
	if !waited {
		return // it has been applied before: a record may be written twice
	}
	if committed {
		s.at = at
	} else if s.applied.IsZero() {
		s.applied = at
	}
	if s.at.IsZero() || s.applied.IsZero() {
		p.sent[n] = s
		return
	}
	p.took[s.phase] = append(p.took[s.phase], max(0, s.applied.Sub(s.at)))
	delete(p.sent, n)
}

// applied is told what was written.
func (p *probes) applied(records []backends.Record, at time.Time) {
	for _, r := range records {
		if r.Key[0] != '-' {
			continue
		}
		var doc struct {
			N int64 `json:"n"`
		}
		if json.Unmarshal(r.Doc, &doc) == nil && doc.N > 0 {
			p.end(doc.N, at, false)
		}
	}
}

// millis is a quantile of a phase's probes.
func (p *probes) millis(of phase, q float64) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.took[of]) == 0 {
		return math.NaN()
	}
	return lab.Millis(lab.Quantile(p.took[of], q))
}
