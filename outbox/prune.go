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

// pruneSQL looks at the next rows behind a place, deletes those that may go, and says how many it looked at and
// deleted, where it stopped, and whether the last of them has to stay: then those behind it, which are younger, are
// not worth a look.
const pruneSQL = `
with w as materialized (
  select l.tx, l.id,
         l.at < clock_timestamp() - $3::interval
     and l.tx < coalesce((select pg_snapshot_xmax(position) from outbox.lanes order by 1 limit 1), pg_snapshot_xmax(pg_current_snapshot()))
     and not exists (select from outbox.lanes c where (l.backend is null or l.backend = c.backend) and not pg_visible_in_snapshot(l.tx, c.position)) as over
    from outbox.log l where (l.tx, l.id) > ($1::xid8, $2::bigint) order by l.tx, l.id limit %d),
d as (delete from outbox.log g using w where w.over and g.tx = w.tx and g.id = w.id returning 1)
select count(*), (select count(*) from d), coalesce((array_agg(tx::text order by tx desc, id desc))[1], '0'),
       coalesce((array_agg(id order by tx desc, id desc))[1], 0), coalesce((array_agg(over order by tx desc, id desc))[1], false)
  from w`

// Prune deletes one batch and answers how many rows it was, 0 when there is nothing left to delete now.
func (p *Pruner) Prune(ctx context.Context, db DB) (int64, error) {
	batch := int64(p.Batch)
	if batch == 0 {
		batch = 2000
	}
	for {
		var seen, deleted, id int64
		var tx string
		var over bool
		err := db.QueryRow(ctx, fmt.Sprintf(pruneSQL, batch), fmt.Sprint(p.low.Tx), p.low.ID, p.Retention).Scan(&seen, &deleted, &tx, &id, &over)
		if err == nil && seen > 0 && over {
			p.low.ID = id
			p.low.Tx, err = parseXid(tx)
		}
		if err != nil {
			return 0, fmt.Errorf("pruning the log: %w", err)
		}
		if deleted > 0 || seen < batch || !over {
			return deleted, nil
		}
	}
}
