package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Pruner deletes rows of the log that every backend has applied, once they are older than the retention. It
// remembers where it stopped, because a scan from the start would walk over the dead rows of earlier rounds for as
// long as some old snapshot keeps them. Rows that it had to pass by are found again by a new Pruner.
type Pruner struct {
	Retention time.Duration
	Batch     int // rows a statement; zero means 2000

	low uint64
}

// Prune deletes one batch and answers how many rows it was, 0 when there is nothing left to delete now.
func (p *Pruner) Prune(ctx context.Context, db DB) (int64, error) {
	batch := p.Batch
	if batch == 0 {
		batch = 2000
	}
	rows, err := db.Query(ctx, `
delete from outbox.log where (tx, id) in (
  select l.tx, l.id from outbox.log l
   where l.tx >= $1::xid8 and l.at < clock_timestamp() - $2::interval
     and l.tx < coalesce((select pg_snapshot_xmax(position) from outbox.lanes order by 1 limit 1), pg_snapshot_xmax(pg_current_snapshot()))
     and not exists (select from outbox.lanes c where (l.backend is null or l.backend = c.backend) and not pg_visible_in_snapshot(l.tx, c.position))
   order by l.tx, l.id limit $3)
returning tx::text`, fmt.Sprint(p.low), p.Retention, batch)
	if err != nil {
		return 0, fmt.Errorf("pruning the log: %w", err)
	}
	var n int64
	var text string
	_, err = pgx.ForEachRow(rows, []any{&text}, func() error {
		x, err := parseXid(text)
		p.low = max(p.low, x)
		n++
		return err
	})
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("pruning the log: %w", err)
	}
	return n, nil
}
