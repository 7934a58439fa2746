package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/outflow-db/outflow/outbox"
)

// rejection is why a write shall be reverted: the first of its records that was refused.
type rejection struct {
	kind, key, reason string
	late              bool // none was here: it belongs to a load of which one was before
}

// reject notes that a record was refused, for the writes in its page that ask to be reverted for that.
func (w *writer) reject(page *outbox.Page, p *outbox.Parked) {
	writes := page.Revertible(p.Kind, p.Key)
	if len(writes) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range writes {
		if was, known := w.rejected[r]; !known || was.late {
			w.rejected[r] = rejection{kind: p.Kind, key: p.Key, reason: p.Pattern}
		}
	}
}

// asked is the page whose writes may ask to be reverted for what the plan's target refuses: none, as long as that is filled beside
// the one that readers see. What it refuses keeps them from being moved to it.
func (p *plan) asked(page *outbox.Page) *outbox.Page {
	if p.beside {
		return nil
	}
	return page
}

// late notes writes of a complete page that belong to loads of which a record was refused before they were known. The
// caller holds the lock.
func (w *writer) late(page *outbox.Page) {
	for _, r := range page.Late {
		if _, known := w.rejected[r]; !known {
			w.rejected[r] = rejection{late: true}
		}
	}
}

// askReverts asks for what was noted. It is repeated if it fails, or if the position is not saved then: asking again for
// the same does nothing. The caller holds the lock.
func (w *writer) askReverts(ctx context.Context) error {
	order := func(a, b outbox.Revertible) int {
		return cmp.Or(cmp.Compare(a.Load, b.Load), cmp.Compare(a.Transaction, b.Transaction))
	}
	for _, r := range slices.SortedFunc(maps.Keys(w.rejected), order) {
		if err := w.e.askRevert(ctx, w.s.name, r, w.rejected[r]); err != nil {
			return err
		}
		delete(w.rejected, r)
	}
	return nil
}

// askRevertSQL asks for a write to be reverted, unless the last try knew of its transaction. What is late does not begin
// anything.
const askRevertSQL = `
insert into outbox.reversals as r (what, id, backend, kind, key, reason)
select $1, $2, $3, $4, $5, $6 where not $7::boolean or exists (select from outbox.reversals x where x.what = $1 and x.id = $2)
on conflict (what, id) do update
   set asked = r.asked + 1, asked_at = clock_timestamp(), until = excluded.until, done = false,
       backend = case when r.done and not $7 then excluded.backend else r.backend end, kind = case when r.done and not $7 then excluded.kind else r.kind end,
       key = case when r.done and not $7 then excluded.key else r.key end, reason = case when r.done and not $7 then excluded.reason else r.reason end
 where r.seen is null or not pg_visible_in_snapshot($8::xid8, r.seen)
returning job, backend, kind, key, reason`

// askRevert asks for a write to be reverted, and sees to it that there is a job for that.
func (e *Engine) askRevert(ctx context.Context, backend string, r outbox.Revertible, why rejection) error {
	what, id := r.What()
	err := pgx.BeginFunc(ctx, e.c.Pool, func(tx pgx.Tx) error {
		a := RevertArgs{Load: r.Load}
		if r.Load == "" {
			a.Transaction = id
		}
		var job *int64
		err := tx.QueryRow(ctx, askRevertSQL, what, id, backend, why.kind, why.key, why.reason, why.late, strconv.FormatUint(r.Transaction, 10)).
			Scan(&job, &a.Backend, &a.Records, &a.Key, &a.Reason)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		return e.insertRevert(ctx, tx, job, what, id, a)
	})
	if err != nil {
		return fmt.Errorf("asking for %s %s to be reverted: %w", what, id, err)
	}
	return nil
}

// insertRevert inserts the job of a reversal, whose row is the transaction's, unless it has one that will be worked. One that
// ends takes itself off the row first.
func (e *Engine) insertRevert(ctx context.Context, tx pgx.Tx, job *int64, what, id string, a RevertArgs) error {
	var live bool
	err := tx.QueryRow(ctx, `select exists (select from river.river_job j where j.id = $1 and j.state in ('available', 'pending', 'running', 'retryable', 'scheduled'))`, job).Scan(&live)
	if err != nil || live {
		return err
	}
	inserted, err := e.client.InsertTx(ctx, tx, a, &river.InsertOpts{Queue: maintenance, MaxAttempts: 1000, Tags: []string{"revert", "backend-" + a.Backend}})
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `update outbox.reversals set job = $3 where what = $1 and id = $2`, what, id, inserted.Job.ID)
	return err
}
