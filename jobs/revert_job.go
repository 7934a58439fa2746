package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river"

	"github.com/outflow-db/outflow/outbox"
)

// RevertArgs asks for a load or a transaction to be reverted, because a backend refused a record of it and it said that it
// shall be. How far that is, is in outbox.reversals.
type RevertArgs struct {
	Load        string `json:"load,omitempty"`
	Transaction string `json:"transaction,omitempty"`
	Backend     string `json:"backend"` // that refused the first record
	Records     string `json:"kind"`    // its kind
	Key         string `json:"key"`
	Reason      string `json:"reason"` // why, without what differs from record to record
}

// Kind names the job in River.
func (RevertArgs) Kind() string { return "revert" }

// what is what to revert, and its id.
func (a RevertArgs) what() (what, id string) {
	if a.Load != "" {
		return "load", a.Load
	}
	return "transaction", a.Transaction
}

// why is the reason for people.
func (a RevertArgs) why() string {
	return fmt.Sprintf("backend %s refused %s %s: %s", a.Backend, a.Records, a.Key, a.Reason)
}

// Phases of a reversal that a refused record asked for.
const (
	revertDone    = "reverted" // nothing of it stands
	revertRefused = "refused"  // nothing was changed
	revertHeld    = "held"     // another job sees to it, or a new history of the database has ended it
)

// Undone is what a revert job did, recorded as its output.
type Undone struct {
	Phase        string     `json:"phase"` // reverted, refused or held
	Tries        int        `json:"tries"` // that were refused, in a row
	Transactions int        `json:"transactions"`
	Rows         int64      `json:"rows"`              // that were restored
	Refused      string     `json:"refused,omitempty"` // why nothing was changed
	Next         *time.Time `json:"next_at,omitempty"` // when it tries again
}

// Bounds of revert jobs.
const (
	revertTries = 6               // refused tries in a row: what stands in the way may go by itself, as when it is reverted in its turn
	revertFirst = 2 * time.Second // pause after the first of them; it doubles
	revertBusy  = 2 * time.Second // and after one that had to wait too long for others
)

// reverter works revert jobs.
type reverter struct {
	river.WorkerDefaults[RevertArgs]
	e *Engine
}

// Timeout is long, because a load may be large. A reversal that is cut has changed nothing.
func (w *reverter) Timeout(*river.Job[RevertArgs]) time.Duration { return time.Hour }

// NextRetry is soon.
func (w *reverter) NextRetry(job *river.Job[RevertArgs]) time.Time {
	return time.Now().Add(jobBackoff(job.Attempt, random()))
}

// Work reverts, and comes back when it was refused, or others were in its way.
func (w *reverter) Work(ctx context.Context, job *river.Job[RevertArgs]) error {
	if closed(w.e.ended) || outbox.CheckHistory(ctx, w.e.c.Pool) != nil {
		return river.JobSnooze(time.Second)
	}
	within, cancel := untilEither(ctx, w.e.ended, nil)
	defer cancel()
	r := &revert{e: w.e, args: job.Args, job: job.ID}
	if json.Unmarshal(job.Output(), &r.out) != nil {
		r.out = Undone{} // there was no earlier attempt, or it did not say what it did
	}
	pause, err := r.run(within)
	if err != nil && closed(w.e.ended) {
		return river.JobSnooze(time.Second) // what was cut has changed nothing
	}
	if err != nil {
		what, id := job.Args.what()
		return fmt.Errorf("reverting %s %s: %w", what, id, err)
	}
	if r.out.Next = nil; pause > 0 {
		next := time.Now().Add(pause)
		r.out.Next = &next
	}
	if err := river.RecordOutput(ctx, r.out); err != nil {
		return fmt.Errorf("recording what a reversal did: %w", err)
	}
	if pause > 0 {
		return river.JobSnooze(pause)
	}
	return nil
}

// revert is one run of a job.
type revert struct {
	e    *Engine
	args RevertArgs
	job  int64
	out  Undone
}

// reversal is the row of outbox.reversals.
type reversal struct {
	asked   int64
	outcome string
}

// try is what came of one.
type try struct {
	seen     string           // a snapshot: it knew of all transactions that are visible in it
	reverted *outbox.Reverted // nil: nothing was
	refused  string           // why not; empty: nothing of it stands
	details  map[string]any   // of the refusal
	busy     bool             // others were in its way
}

// run tries until nobody has asked since. It answers after which time to come back; none: the job is done.
func (r *revert) run(ctx context.Context) (time.Duration, error) {
	for {
		was, err := r.look(ctx)
		if errors.Is(err, pgx.ErrNoRows) {
			r.out.Phase = revertHeld
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		t, err := r.try(ctx)
		if err != nil {
			return 0, err
		}
		if t.busy {
			return revertBusy, nil
		}
		pause, again, err := r.end(ctx, was, t)
		if err != nil || !again {
			return pause, err
		}
	}
}

// look reads the row, if the job is the one that sees to it.
func (r *revert) look(ctx context.Context) (was reversal, err error) {
	what, id := r.args.what()
	err = r.e.c.Pool.QueryRow(ctx, `select asked, outcome from outbox.reversals where what = $1 and id = $2 and job = $3`, what, id, r.job).Scan(&was.asked, &was.outcome)
	return was, err
}

// try reverts all that stands, in one transaction, or finds out why that cannot be.
func (r *revert) try(ctx context.Context) (t try, err error) {
	err = pgx.BeginFunc(ctx, r.e.c.Pool, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `select pg_current_snapshot()::text || left(set_config('lock_timeout', '5s', true), 0)`).Scan(&t.seen); err != nil {
			return err
		}
		if r.args.Load != "" {
			return r.tryLoad(ctx, tx, &t)
		}
		return r.tryTransaction(ctx, tx, &t)
	})
	if e, ok := errors.AsType[*outbox.RevertError](err); ok {
		t.refused, t.details = e.Error(), map[string]any{"conflicts": e.Conflicts, "samples": e.Samples[:min(len(e.Samples), 10)], "problems": e.Problems}
		return t, nil
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch {
		case e.Code == pgerrcode.LockNotAvailable, pgerrcode.IsTransactionRollback(e.Code):
			t.busy = true
			return t, nil
		case pgerrcode.IsIntegrityConstraintViolation(e.Code), pgerrcode.IsDataException(e.Code), pgerrcode.IsPLpgSQLError(e.Code),
			pgerrcode.IsWithCheckOptionViolation(e.Code), e.Code == pgerrcode.ObjectNotInPrerequisiteState, e.Code == pgerrcode.InsufficientPrivilege:
			t.refused = e.Message
			return t, nil
		}
	}
	return t, err
}

// tryLoad reverts the transactions of a load that stand. All of them must have asked for it: whoever can write to some watched table
// can give any load's name.
func (r *revert) tryLoad(ctx context.Context, tx pgx.Tx, t *try) error {
	var others string
	var before bool
	err := tx.QueryRow(ctx, `
select coalesce(min(t.tx::text) filter (where t.reverted_by is null and coalesce(t.headers->>'on_reject', '') <> 'revert'), ''), coalesce(bool_or(t.reverted_by is not null), false)
  from outbox.transactions t where t.headers ? 'load' and t.headers->>'load' = $1`, r.args.Load).Scan(&others, &before)
	if err != nil {
		return err
	}
	if others != "" {
		t.refused = fmt.Sprintf("reverting: transaction %s belongs to the load and did not ask for it", others)
		return nil
	}
	done, err := outbox.Revert(ctx, tx, outbox.Reversal{Load: r.args.Load, Who: outbox.Engine, Reason: r.args.why()})
	if done != nil && !done.Done && len(done.Transactions) == 0 && before {
		return nil // nothing is left
	}
	t.reverted = done
	return err
}

// tryTransaction reverts a transaction, unless somebody has.
func (r *revert) tryTransaction(ctx context.Context, tx pgx.Tx, t *try) error {
	id, err := strconv.ParseUint(r.args.Transaction, 10, 64)
	if err != nil {
		return fmt.Errorf("the job's arguments: %w", err)
	}
	var before bool
	err = tx.QueryRow(ctx, `select exists (select from outbox.transactions t where t.tx = $1::xid8 and t.reverted_by is not null)`, r.args.Transaction).Scan(&before)
	if err != nil || before {
		return err
	}
	t.reverted, err = outbox.Revert(ctx, tx, outbox.Reversal{Transaction: id, Who: outbox.Engine, Reason: r.args.why()})
	return err
}

// end keeps what came of a try. It answers after which time to try again; or that somebody has asked meanwhile.
func (r *revert) end(ctx context.Context, was reversal, t try) (pause time.Duration, again bool, err error) {
	outcome := revertDone
	if t.refused != "" {
		outcome = storable(t.refused)
		r.out.Phase, r.out.Refused, r.out.Tries = revertRefused, outcome, r.out.Tries+1
		pause = revertPause(r.out.Tries)
	} else {
		r.out.Phase, r.out.Refused, r.out.Tries = revertDone, "", 0
		if t.reverted != nil {
			r.out.Rows, r.out.Transactions = r.out.Rows+t.reverted.Rows(), r.out.Transactions+len(t.reverted.Transactions)
		}
	}
	what, id := r.args.what()
	err = pgx.BeginFunc(ctx, r.e.c.Pool, func(tx pgx.Tx) error {
		var unasked bool
		err := tx.QueryRow(ctx, `
update outbox.reversals r set seen = $4::pg_snapshot, outcome = $5, done = $6 and asked = $7, job = case when $6 and asked = $7 then null else job end
 where what = $1 and id = $2 and job = $3 returning asked = $7`, what, id, r.job, t.seen, outcome, pause == 0, was.asked).Scan(&unasked)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // somebody else sees to it
		}
		if again = !unasked && pause == 0; again {
			r.out.Tries = 0
		}
		if err != nil || t.refused == "" || outcome == was.outcome {
			return err
		}
		return r.note(ctx, tx, outcome, t.details)
	})
	return pause, again, err
}

// note keeps that a reversal was refused, once for each reason.
func (r *revert) note(ctx context.Context, tx pgx.Tx, why string, details map[string]any) error {
	what, id := r.args.what()
	all := map[string]any{what: id, "because": r.args.why()}
	maps.Copy(all, details)
	r.e.log.WarnContext(ctx, "a write is not reverted although it asked for that", what, id, "because", r.args.why(), "error", why)
	return outbox.Note(ctx, tx, outbox.Event{
		What: "revert refused", Who: outbox.Engine, Backend: r.args.Backend, Kind: r.args.Records, Key: r.args.Key, Reason: why, Details: all,
	})
}

// revertPause is how long to wait after so many refused tries in a row; none: it is given up.
func revertPause(tries int) time.Duration {
	if tries >= revertTries {
		return 0
	}
	return revertFirst << (tries - 1)
}
