package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/outflow-db/outflow/outbox"
)

// RetryArgs asks for a group of parked records to be tried again until nothing of it is parked. When, and how far that
// is, is in outbox.retries.
type RetryArgs struct {
	Backend string `json:"backend"`
	Records string `json:"kind"` // the kind of the records
	Target  string `json:"target"`
	Class   string `json:"class"`
	Error   string `json:"error"` // without what differs from record to record
	Group   string `json:"group"` // the id of the group
}

// Kind names the job in River.
func (RetryArgs) Kind() string { return "retry" }

// retryOpts puts the job into the backend's own queue: while that is paused, by whomever, nothing is tried again. Lanes
// come first.
func retryOpts(a RetryArgs, next time.Time, parked int64) (*river.InsertOpts, error) {
	shown, err := json.Marshal(map[string]any{"output": Retried{Phase: retryWaits, Records: parked, Next: &next}})
	if err != nil {
		return nil, fmt.Errorf("describing a retry: %w", err)
	}
	opts := &river.InsertOpts{Queue: a.Backend, Priority: 2, MaxAttempts: 1000, Metadata: shown, Tags: []string{"retry", "backend-" + a.Backend}}
	if time.Until(next) > retryHolds {
		opts.ScheduledAt = next
	}
	return opts, nil
}

// Phases of a retry.
const (
	retryWaits = "waiting" // for the time of the next round
	retryTries = "trying"  // records of a round are in the log
	retryDone  = "done"    // nothing of the group is parked
)

// Retried is what a retry job did and found, recorded as its output.
type Retried struct {
	Held    bool            `json:"held,omitempty"`    // a later job sees to the group: nothing was done
	Phase   string          `json:"phase"`             // waiting, trying or done
	Records int64           `json:"records"`           // of the group that are parked now
	Tries   int             `json:"tries"`             // rounds in a row in which nothing was taken
	Tried   int             `json:"tried"`             // records of the round under way, or else of the last one
	Taken   int             `json:"taken"`             // those of them that the store took
	Samples []RetriedSample `json:"samples,omitempty"` // of what is parked, those refused last
	Next    *time.Time      `json:"next_at,omitempty"` // when the next round begins
}

// RetriedSample is a parked record.
type RetriedSample struct {
	Key   string `json:"key"`
	Error string `json:"error"`
}

// Bounds of retry jobs.
const (
	retrySamples  = 3                      // records that the output names
	retriesAtOnce = 4                      // jobs of a process that wait for answers: the workers of a queue are for its lanes
	retryHolds    = 2 * time.Second        // a job waits for what comes within so long, and else comes back
	retryPoll     = 50 * time.Millisecond  // and asks for answers so often
	retryAgain    = 5 * time.Second        // it comes back for answers after this at least
	retryIdle     = 10 * time.Second       // a job comes back after this when it cannot do anything
	retrySlack    = 500 * time.Millisecond // a job that comes earlier than it said by more than this was sent by an operator
)

// retrier works retry jobs.
type retrier struct {
	river.WorkerDefaults[RetryArgs]
	e *Engine
}

// NextRetry is soon.
func (w *retrier) NextRetry(job *river.Job[RetryArgs]) time.Time {
	return time.Now().Add(jobBackoff(job.Attempt, random()))
}

// Work does what is due for the group, and comes back when something is again.
func (w *retrier) Work(ctx context.Context, job *river.Job[RetryArgs]) error {
	s := w.e.store(job.Args.Backend)
	if s == nil || w.e.ending(s) || outbox.CheckHistory(ctx, w.e.c.Pool) != nil {
		return river.JobSnooze(time.Second)
	}
	select {
	case w.e.retrying <- struct{}{}:
		defer func() { <-w.e.retrying }()
	default:
		return river.JobSnooze(time.Second)
	}
	ctx2, cancel := w.e.until(ctx, s)
	defer cancel()
	r := &retry{e: w.e, args: job.Args, job: job.ID, asked: early(job, time.Now())}
	pause, err := r.run(ctx2)
	if err != nil {
		if w.e.ending(s) {
			return river.JobSnooze(time.Second)
		}
		return err
	}
	if err := river.RecordOutput(ctx, r.out); err != nil {
		return fmt.Errorf("recording what a retry did: %w", err)
	}
	if pause > 0 {
		return river.JobSnooze(pause)
	}
	return nil
}

// early says whether an operator has sent the job before it is time.
func early(job *river.Job[RetryArgs], now time.Time) bool {
	var before Retried
	return json.Unmarshal(job.Output(), &before) == nil && before.Next != nil && now.Before(before.Next.Add(-retrySlack))
}

// retry is one run of a job for a group.
type retry struct {
	e     *Engine
	args  RetryArgs
	job   int64
	asked bool // an operator wants a round to begin now
	sent  bool // the step has put keys into the log
	out   Retried
}

// run takes step after step as long as answers come. It answers after which time to come back; none: the job is done.
func (r *retry) run(ctx context.Context) (time.Duration, error) {
	for end := time.Now().Add(retryHolds); ; {
		pause, waits, err := r.step(ctx)
		if err != nil {
			return 0, err
		}
		nap := pause
		if waits {
			nap = retryPoll
		}
		if nap == 0 || time.Now().Add(nap).After(end) {
			return pause, r.tell(ctx)
		}
		wait(ctx, nap)
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
	}
}

// retryState is a group's row of outbox.retries, and what goes with it.
type retryState struct {
	tries, tried, taken int
	sent                []string
	age                 time.Duration // since they were sent
	left                time.Duration // until the next round may begin
	waits               bool          // answers for what was sent are not there
	full                bool          // something of the group is parked
	paused              bool          // the backend is
	held                bool          // a later job sees to the group
}

// step does what is next for the group. It answers after which time to look again, and whether an answer is waited for.
func (r *retry) step(ctx context.Context) (pause time.Duration, waits bool, err error) {
	err = pgx.BeginFunc(ctx, r.e.c.Pool, func(tx pgx.Tx) error {
		g, err := r.lock(ctx, tx)
		if errors.Is(err, pgx.ErrNoRows) { // nothing is parked, or the keeper has not looked yet
			r.out.Phase = retryDone
			return nil
		}
		if err != nil {
			return err
		}
		r.out.Phase, r.out.Tries, r.out.Tried, r.out.Taken, r.out.Next = retryWaits, g.tries, g.tried, g.taken, nil
		switch {
		case g.held:
			r.out.Held = true
		case !g.full:
			return r.over(ctx, tx, g, len(g.sent))
		case g.waits:
			r.out.Phase, pause, waits = retryTries, min(max(g.age, retryAgain), time.Minute), true
		case len(g.sent) > 0:
			pause, waits, err = r.answered(ctx, tx, g)
		case g.paused:
			pause = retryIdle
		case g.left > 0 && !r.asked:
			pause = g.left
		default:
			pause, waits, err = r.begin(ctx, tx, g)
		}
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("trying group %s of backend %s again: %w", r.args.Group, r.args.Backend, err)
	}
	if r.sent {
		r.sent = false
		r.e.waker.Wake()
	}
	return pause, waits, nil
}

// lock reads the group's row, which is this job's until the transaction ends. A token from a former history, which the
// present one has not reached, has nothing to wait for.
func (r *retry) lock(ctx context.Context, tx pgx.Tx) (g retryState, err error) {
	err = tx.QueryRow(ctx, `
select tries, tried, taken, keys, coalesce(clock_timestamp() - sent_at, '0'), next_at - clock_timestamp(),
       token is not null and token < pg_snapshot_xmax(pg_current_snapshot()) and not outbox.reached(token, backend),
       exists (select from outbox.parked p where p.backend = r.backend and p.group_id = r.group_id),
       exists (select from outbox.backends b where b.name = r.backend and b.paused is not null),
       exists (select from river.river_job j where j.kind = 'retry' and j.queue = r.backend and j.args->>'group' = r.group_id and j.id > $3
                  and j.state in ('available', 'running', 'retryable', 'scheduled'))
  from outbox.retries r where backend = $1 and group_id = $2 for update`, r.args.Backend, r.args.Group, r.job).
		Scan(&g.tries, &g.tried, &g.taken, &g.sent, &g.age, &g.left, &g.waits, &g.full, &g.paused, &g.held)
	return g, err
}

// begin begins a round with a sample.
func (r *retry) begin(ctx context.Context, tx pgx.Tx, g retryState) (time.Duration, bool, error) {
	r.asked = false
	if _, err := tx.Exec(ctx, `update outbox.retries set round_at = clock_timestamp(), tried = 0, taken = 0 where backend = $1 and group_id = $2`,
		r.args.Backend, r.args.Group); err != nil {
		return 0, false, err
	}
	g.tried, g.taken = 0, 0
	return r.send(ctx, tx, g, nextPortion(0, 0))
}

// answered takes in what became of a portion, and sends the next or ends the round.
func (r *retry) answered(ctx context.Context, tx pgx.Tx, g retryState) (time.Duration, bool, error) {
	var refused int
	err := tx.QueryRow(ctx, `
select count(*) from outbox.parked where backend = $1 and kind = $2 and target = $3 and key = any($4)`,
		r.args.Backend, r.args.Records, r.args.Target, g.sent).Scan(&refused)
	if err != nil {
		return 0, false, err
	}
	g.tried, g.taken = g.tried+len(g.sent), g.taken+len(g.sent)-refused
	next := nextPortion(len(g.sent), refused)
	if next == 0 || g.paused {
		return r.end(ctx, tx, g)
	}
	return r.send(ctx, tx, g, next)
}

// send puts so many records of the group into the log that the round has not tried, those refused longest ago. If there
// are none the round is over.
func (r *retry) send(ctx context.Context, tx pgx.Tx, g retryState, n int) (time.Duration, bool, error) {
	tag, err := tx.Exec(ctx, `
with chosen as (
  select p.key from outbox.parked p join outbox.retries r on r.backend = p.backend and r.group_id = p.group_id
   where p.backend = $1 and p.group_id = $2 and p.last_at < r.round_at order by p.last_at, p.key limit $3),
logged as (
  insert into outbox.log (kind, keys, backend, headers)
  select $4, array_agg(key), case when $5::text <> $6 then $1 end, '{"retry": true}' from chosen having count(*) > 0 returning keys)
update outbox.retries r set token = pg_current_xact_id(), sent_at = clock_timestamp(), keys = logged.keys, tried = $7, taken = $8
  from logged where r.backend = $1 and r.group_id = $2`,
		r.args.Backend, r.args.Group, n, r.args.Records, r.args.Target, outbox.Spreading, g.tried, g.taken)
	if err != nil {
		return 0, false, err
	}
	if tag.RowsAffected() == 0 {
		return r.end(ctx, tx, g)
	}
	r.out.Phase, r.out.Tried, r.out.Taken, r.sent = retryTries, g.tried, g.taken, true
	return retryAgain, true, nil
}

// end ends a round of which something is still parked.
func (r *retry) end(ctx context.Context, tx pgx.Tx, g retryState) (time.Duration, bool, error) {
	set := r.e.c.settings(r.args.Backend)
	tries := triesAfter(g.tries, g.taken)
	pause := retryPause(tries+1, set.RetryFirst, set.RetryMost, random())
	_, err := tx.Exec(ctx, `
update outbox.retries set tries = $3, tried = $4, taken = $5, next_at = clock_timestamp() + $6::interval, round_at = null, sent_at = null, token = null, keys = '{}'
 where backend = $1 and group_id = $2`, r.args.Backend, r.args.Group, tries, g.tried, g.taken, pause)
	if err == nil && g.taken > 0 {
		err = r.note(ctx, tx, g)
	}
	r.out.Tries, r.out.Tried, r.out.Taken = tries, g.tried, g.taken
	return pause, false, err
}

// over ends the work for a group of which nothing is parked any more.
func (r *retry) over(ctx context.Context, tx pgx.Tx, g retryState, taken int) error {
	g.tried, g.taken = g.tried+taken, g.taken+taken
	r.out.Phase, r.out.Tries, r.out.Tried, r.out.Taken = retryDone, 0, g.tried, g.taken
	_, err := tx.Exec(ctx, `delete from outbox.retries where backend = $1 and group_id = $2`, r.args.Backend, r.args.Group)
	if err == nil && g.taken > 0 {
		err = r.note(ctx, tx, g)
	}
	return err
}

// note keeps what a round has done.
func (r *retry) note(ctx context.Context, tx pgx.Tx, g retryState) error {
	return outbox.Note(ctx, tx, outbox.Event{
		What: "retried", Who: outbox.Engine, Backend: r.args.Backend, Kind: r.args.Records, Reason: "tried again by itself",
		Details: map[string]any{"group": r.args.Group, "target": r.args.Target, "class": r.args.Class, "error": r.args.Error, "records": g.tried, "taken": g.taken},
	})
}

// tell fills in what the output says about the group as it is now.
func (r *retry) tell(ctx context.Context) error {
	rows, err := r.e.c.Pool.Query(ctx, `
select count(*) over (), p.key, left(p.error, 300), (select case when token is null then next_at end from outbox.retries r where r.backend = $1 and r.group_id = $2)
  from outbox.parked p where p.backend = $1 and p.group_id = $2 order by p.last_at desc, p.key limit $3`, r.args.Backend, r.args.Group, retrySamples)
	r.out.Records, r.out.Samples = 0, nil
	var one RetriedSample
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&r.out.Records, &one.Key, &one.Error, &r.out.Next}, func() error {
			r.out.Samples = append(r.out.Samples, one)
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("reading group %s of backend %s: %w", r.args.Group, r.args.Backend, err)
	}
	return nil
}
