package outbox

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// peekRows is how many of the newest rows of the log a peek looks at.
const peekRows = 1000

// peekSQL reads the newest rows of the log that are not visible in $1, with so many keys of each kind, $3, or one row of
// it. Fills, repairs and dependants are left out: they are addressed, and are no news.
const peekSQL = `
select tx::text, id, kind, keys, false, false, '', '', at, coalesce(headers->>'traceparent', ''), coalesce(headers->>'tracestate', ''),
       ` + revertibleSQL + `''] end, false
  from (select n.*, sum(greatest(cardinality(n.keys), 1)) over (partition by n.kind order by n.tx desc, n.id desc) - greatest(cardinality(n.keys), 1) as newer
          from (select * from outbox.log where tx >= pg_snapshot_xmin($1::pg_snapshot) order by tx desc, id desc limit $2) n
         where n.backend is null and not pg_visible_in_snapshot(n.tx, $1::pg_snapshot) and coalesce(n.headers->>'all', '') <> 'true') w
 where w.newer < $3 order by w.tx, w.id`

// Peek reads the newest rows of the log that are not visible in since, and calls state as Page does, with a page that is
// no part of the delta: it has no next position. It answers the snapshot in which it looked, in which the next peek may
// begin. keys bounds how many keys of each kind it takes, about; older ones are left to the pages.
//
// What a peek reads must lie behind the lane's position: since is the target of the delta under way, or later. Only then
// does whoever takes the lane over make suspect what a peek had in hand. It makes the same checks as Page.
func (r *Reader) Peek(ctx context.Context, since Snapshot, keys int, state func(context.Context, *pgx.Conn, *Page) error) (page *Page, now Snapshot, err error) {
	err = onConn(ctx, r.pool, func(conn *pgx.Conn) (lsn string, err error) {
		l, rows, err := r.newest(ctx, conn, since, keys)
		if err != nil {
			return "", err
		}
		if now, err = ParseSnapshot(l.now); err != nil {
			return "", err
		}
		page = Collect(Position{At: since}, now, r.t.Range, rows, peekRows+1)
		page.Next = Position{}
		if page.Empty() {
			return "", nil
		}
		return l.waits(), state(ctx, conn, page)
	})
	return page, now, err
}

// indexed are settings for a query of a log that is large, or will be, when its plan is made; and those after it. They
// are made where no other query is planned, not even that which looks at the lane: the cost of what is forbidden is so
// high that PostgreSQL would compile it, which takes a hundred times as long as the query.
var (
	indexed = []string{"set local enable_seqscan = off", "set local enable_bitmapscan = off"}
	usual   = []string{"set local enable_seqscan = on", "set local enable_bitmapscan = on"}
)

// newest begins a transaction, checks the lane and reads the newest rows, in one round trip.
func (r *Reader) newest(ctx context.Context, conn *pgx.Conn, since Snapshot, keys int) (l lane, rows []Row, err error) {
	var b pgx.Batch
	begin(&b, r.reading)
	begin(r.queue(&b), indexed)
	b.Queue(peekSQL, since.String(), peekRows, keys)
	begin(&b, usual)
	l, err = r.look(conn.SendBatch(ctx, &b), len(r.reading), func(answers pgx.BatchResults) error {
		for range indexed {
			if _, err := answers.Exec(); err != nil {
				return fmt.Errorf("asking for the newest rows of the log: %w", err)
			}
		}
		return into(&rows)(answers)
	})
	return l, rows, err
}
