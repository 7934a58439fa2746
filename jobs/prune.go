package jobs

import (
	"context"
	"time"

	"github.com/riverqueue/river"

	"github.com/outflow-db/outflow/outbox"
)

// PruneArgs asks for applied rows of the log to be deleted that are older than the retention.
type PruneArgs struct{}

// Kind names the job in River.
func (PruneArgs) Kind() string { return "prune" }

func pruneOpts() *river.InsertOpts {
	return &river.InsertOpts{Queue: maintenance, MaxAttempts: 3, Tags: []string{"maintenance"}}
}

// pruner works prune jobs.
type pruner struct {
	river.WorkerDefaults[PruneArgs]
	e *Engine
}

// Work deletes in small batches until nothing is left or the job's time is over; the next job goes on.
func (p *pruner) Work(ctx context.Context, _ *river.Job[PruneArgs]) error {
	prune := outbox.Pruner{Retention: p.e.c.Settings.Retention}
	end, total := time.Now().Add(30*time.Second), int64(0)
	for time.Now().Before(end) {
		n, err := prune.Prune(ctx, p.e.c.Pool)
		if err != nil {
			return err
		}
		if total += n; n == 0 {
			break
		}
		select {
		case <-p.e.ended:
			end = time.Now()
		default:
		}
	}
	return river.RecordOutput(ctx, map[string]int64{"rows": total})
}
