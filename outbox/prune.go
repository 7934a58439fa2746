package outbox

import (
	"context"
	"fmt"
	"time"
)

// Pruner deletes rows of the log that every backend has applied, once they are older than the retention. It
// remembers where it stopped, because a scan from the start would walk over the dead rows of earlier rounds for as
// long as some old snapshot keeps them. Rows that it had to pass by are found again by a new Pruner.
type Pruner struct {
	Retention time.Duration
	Batch     int // rows a statement; zero means 2000

	low Place
}

// Prune deletes one batch and answers how many rows it was, 0 when there is nothing left to delete now.
func (p *Pruner) Prune(ctx context.Context, db DB) (int64, error) {
	batch := int64(p.Batch)
	if batch == 0 {
		batch = 2000
	}
	var deleted, id int64
	var tx string
	var over bool
	err := db.QueryRow(ctx, `
select deleted, coalesce(last_tx::text, ''), coalesce(last_id, 0), coalesce(over, false) from outbox.prune($1::xid8, $2, $3, $4)`,
		fmt.Sprint(p.low.Tx), p.low.ID, p.Retention, batch).Scan(&deleted, &tx, &id, &over)
	if err == nil && over {
		p.low.ID = id
		p.low.Tx, err = parseXid(tx)
	}
	if err != nil {
		return 0, fmt.Errorf("pruning the log: %w", err)
	}
	return deleted, nil
}

// pruneBatch is how many rows of each table a statement of PruneAudit or PruneHistory deletes at most.
const pruneBatch = 2000

// PruneAudit deletes a batch of pages and events that are older than the retention, and answers how many rows it was, 0
// when none is left.
func PruneAudit(ctx context.Context, db DB, retention time.Duration) (int64, error) {
	var n int64
	if err := db.QueryRow(ctx, `select outbox.prune_audit($1, $2)`, retention, pruneBatch).Scan(&n); err != nil {
		return 0, fmt.Errorf("pruning pages and events: %w", err)
	}
	return n, nil
}

// PruneHistory deletes a batch of previous rows of transactions that are older than the retention, and answers how many
// rows it was, 0 when none is left. A transaction of which some are gone cannot be reverted any more.
func PruneHistory(ctx context.Context, db DB, retention time.Duration) (int64, error) {
	var n int64
	if err := db.QueryRow(ctx, `select outbox.prune_history($1, $2)`, retention, pruneBatch).Scan(&n); err != nil {
		return 0, fmt.Errorf("pruning previous rows: %w", err)
	}
	return n, nil
}
