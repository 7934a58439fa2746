package jobs

import (
	"context"
	"sync"
	"time"

	"github.com/riverqueue/river"

	"github.com/outflow-db/outflow/outbox"
)

// PruneArgs asks for what is older than its retention to be deleted: applied rows of the log, what the audit keeps, and
// previous rows.
type PruneArgs struct{}

// Kind names the job in River.
func (PruneArgs) Kind() string { return "prune" }

func pruneOpts() *river.InsertOpts {
	return &river.InsertOpts{Queue: maintenance, MaxAttempts: 3, Tags: []string{"maintenance"}}
}

// Times of pruning.
const (
	pruneFor    = 30 * time.Second // a job deletes for so long at most
	pruneAfresh = time.Hour        // what was passed by is looked for again after this
)

// pruner works prune jobs.
type pruner struct {
	river.WorkerDefaults[PruneArgs]
	e *Engine

	mu    sync.Mutex
	prune outbox.Pruner // remembers where it stopped
	since time.Time
}

// Work deletes in small batches until nothing is left or the job's time is over; the next job goes on there. When
// another job is at it in this process, there is nothing to do.
func (p *pruner) Work(ctx context.Context, _ *river.Job[PruneArgs]) error {
	if !p.mu.TryLock() {
		return nil
	}
	defer p.mu.Unlock()
	if time.Since(p.since) >= pruneAfresh {
		p.prune, p.since = outbox.Pruner{Retention: p.e.c.Settings.Retention}, time.Now()
	}
	set, db := p.e.c.Settings, p.e.c.Pool
	end, deleted := time.Now().Add(pruneFor), map[string]int64{}
	for _, what := range []struct {
		name  string
		prune func() (int64, error)
	}{
		{"rows", func() (int64, error) { return p.prune.Prune(ctx, db) }},
		{"audit", func() (int64, error) { return outbox.PruneAudit(ctx, db, set.Audit) }},
		{"history", func() (int64, error) { return outbox.PruneHistory(ctx, db, set.History) }},
	} {
		deleted[what.name] = 0
		for time.Now().Before(end) && !closed(p.e.ended) {
			n, err := what.prune()
			if err != nil {
				return err
			}
			if deleted[what.name] += n; n == 0 {
				break
			}
		}
	}
	return river.RecordOutput(ctx, deleted)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
