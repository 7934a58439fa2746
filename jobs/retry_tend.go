package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/outbox"
)

// Locks and bounds of looking after retries.
const (
	retryLock  = 0x6f757466_6c6f7705 // of inserting retry jobs
	tendAtOnce = 200                 // groups that get a job in one turn; the others get theirs in the next
)

// retryLive is the condition of a retry job that will be worked: one that is running for longer than its work can take
// belonged to a process that died.
const retryLive = `j.kind = 'retry' and (j.state in ('available', 'pending', 'retryable', 'scheduled') or j.state = 'running' and j.attempted_at > now() - interval '2 minutes')`

// untended is a group whose retry needs something.
type untended struct {
	args   RetryArgs
	next   time.Time
	parked int64
	job    *int64 // that sees to it; nil: none does
}

// tendParked sees to it that each group of parked records has a retry: a row of outbox.retries, which says when, and a job
// in River. Jobs of groups of which nothing is parked any more are sent, so that they end.
func (e *Engine) tendParked(ctx context.Context) error {
	set := e.c.Settings
	names := []string{}
	for _, s := range e.all() {
		names = append(names, s.name)
	}
	_, err := e.c.Pool.Exec(ctx, `
insert into outbox.retries (backend, group_id, kind, target, class, pattern, next_at)
select p.backend, p.group_id, min(p.kind), min(p.target), min(p.class), min(case when p.pattern = '' then p.error else p.pattern end), clock_timestamp() + $2::interval
  from outbox.parked p
 where p.backend = any($1) and not exists (select from outbox.retries r where r.backend = p.backend and r.group_id = p.group_id)
 group by p.backend, p.group_id limit $3
on conflict do nothing`, names, retryPause(1, set.RetryFirst, set.RetryMost, random()), tendAtOnce)
	if err != nil {
		return fmt.Errorf("looking for parked records that nobody tries again: %w", err)
	}
	list, err := e.untended(ctx, names)
	for _, u := range list {
		err = errors.Join(err, e.tendGroup(ctx, u))
	}
	return err
}

// untended lists the groups that have no job, or whose jobs have nothing left to do.
func (e *Engine) untended(ctx context.Context, names []string) ([]untended, error) {
	rows, err := e.c.Pool.Query(ctx, `
with live as (select j.queue, j.args->>'group' as group_id, max(j.id) as id from river.river_job j where `+retryLive+` and j.queue = any($1) group by 1, 2)
select * from (
  select r.backend, r.kind, r.target, r.class, r.pattern, r.group_id, r.next_at, live.id,
         (select count(*) from outbox.parked p where p.backend = r.backend and p.group_id = r.group_id) as parked
    from outbox.retries r left join live on live.queue = r.backend and live.group_id = r.group_id
   where r.backend = any($1)
     and (live.id is null or not exists (select from outbox.parked p where p.backend = r.backend and p.group_id = r.group_id))) q
 order by next_at limit $2`, names, tendAtOnce)
	var list []untended
	if err == nil {
		var u untended
		a := &u.args
		_, err = pgx.ForEachRow(rows, []any{&a.Backend, &a.Records, &a.Target, &a.Class, &a.Error, &a.Group, &u.next, &u.job, &u.parked}, func() error {
			list = append(list, u)
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("looking for retries that nobody sees to: %w", err)
	}
	return list, nil
}

// tendGroup does what a group needs.
func (e *Engine) tendGroup(ctx context.Context, u untended) error {
	var err error
	switch {
	case u.parked > 0:
		err = inTurn(ctx, e.c.Pool, retryLock, func(tx pgx.Tx) error { return e.insertRetry(ctx, tx, u) })
	case u.job != nil:
		_, err = e.client.JobRetry(ctx, *u.job)
	default:
		_, err = e.c.Pool.Exec(ctx, `
delete from outbox.retries r where r.backend = $1 and r.group_id = $2
   and not exists (select from outbox.parked p where p.backend = r.backend and p.group_id = r.group_id)`, u.args.Backend, u.args.Group)
	}
	if err != nil {
		return fmt.Errorf("seeing to group %s of backend %s: %w", u.args.Group, u.args.Backend, err)
	}
	return nil
}

// insertRetry inserts the job of a group, unless another process has just done so.
func (e *Engine) insertRetry(ctx context.Context, tx pgx.Tx, u untended) error {
	var live bool
	err := tx.QueryRow(ctx, `select exists (select from river.river_job j where `+retryLive+` and j.queue = $1 and j.args->>'group' = $2)`,
		u.args.Backend, u.args.Group).Scan(&live)
	if err != nil || live {
		return err
	}
	u.args.Error = outbox.Pattern(u.args.Error, "") // an older version did not record it
	opts, err := retryOpts(u.args, u.next, u.parked)
	if err != nil {
		return err
	}
	_, err = e.client.InsertTx(ctx, tx, u.args, opts)
	return err
}
