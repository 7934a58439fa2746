package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// versionsReserved is how many versions a save reserves for the pages until the next one: 16 ms of the clock that
// they follow, and far more pages than there can be.
const versionsReserved = 1 << 16

// versionBound is above every floor of versions: the versions that follow stay below 2^53, up to which every JSON
// reader is exact. A higher one in a store is not Outflow's, and would stay in the lane's row for ever.
const versionBound = 1<<53 - 1<<32

// Tenure is the time in which one owner holds a lane. All its writes to the store fall within the lease: the
// holder asks Live just before each send.
type Tenure struct {
	Backend string
	Lane    int
	Owner   string
	Epoch   int64 // the token: only the row with this epoch is saved to
	Range   Range
	Start   Position // where the lane was when it was taken

	ttl  time.Duration
	mark string // of the life of the database in which the tenure began

	mu       sync.Mutex
	version  int64 // last version given out
	reserved int64 // versions up to this one are ours
	deadline clock
	hold     bool
}

// Claim says who wants a lane and for how long a lease.
type Claim struct {
	Backend string
	Lane    int
	Owner   string        // the process, as registered with Register
	Lease   time.Duration // how long without a renewal until others may take the lane
	Zombie  time.Duration // for how long an earlier owner, whose end nobody saw, may still write; its keys are logged again meanwhile
}

// Take takes the lane if it is free: released, or its lease expired. It returns nil without an error when somebody
// else holds it, or when the lane is on hold.
//
// When the earlier owner did not let go by itself, everything it may have had in hand becomes suspect before Take
// returns: it is logged again after a lease's time, and then after ever longer pauses until that owner is known to
// be gone. Positions of another history are refused: see Rebase.
func Take(ctx context.Context, db Beginner, c Claim) (*Tenure, error) {
	begun := now()
	t := &Tenure{Backend: c.Backend, Lane: c.Lane, Owner: c.Owner, ttl: c.Lease}
	formers, err := t.seize(ctx, db)
	if err != nil || t.Epoch == 0 {
		return nil, err
	}
	t.deadline = begun
	if len(formers) == 0 {
		return t, nil
	}
	err = t.suspectDelta(ctx, db, formers, c.Zombie)
	if errors.Is(err, ErrLost) {
		return nil, nil // it stood still for so long that somebody else has the lane, and does it again
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

const seizeSQL = `
update outbox.lanes l
   set owner = $3, epoch = n.v, version = n.v + $5::bigint, expires = clock_timestamp() + $4::interval,
       formers = case when l.owner is null or l.owner = any(l.formers) then l.formers else l.formers || l.owner end
  from (select outbox.next_version(o.version) as v
          from outbox.lanes o
         where o.backend = $1 and o.lane = $2 and o.hold < clock_timestamp() and (o.owner is null or o.expires < clock_timestamp())
           for update skip locked) n
 where l.backend = $1 and l.lane = $2
returning l.epoch, l.version, l.lo, l.hi, l.position::text, coalesce(l.target::text, ''), coalesce(l.after_tx::text, ''),
          coalesce(l.after_id, 0), l.formers`

// seize takes the row. The epoch stays zero when the lane is not free.
func (t *Tenure) seize(ctx context.Context, db Beginner) (formers []string, err error) {
	if err := inTx(ctx, db, func(tx pgx.Tx) error {
		if t.mark, err = alive(ctx, tx); err != nil {
			return err
		}
		var pos, target, after string
		var id int64
		var lo, hi uint64
		err := tx.QueryRow(ctx, seizeSQL, t.Backend, t.Lane, t.Owner, t.ttl, versionsReserved-1).
			Scan(&t.Epoch, &t.reserved, &lo, &hi, &pos, &target, &after, &id, &formers)
		if errors.Is(err, pgx.ErrNoRows) {
			t.Epoch = 0
			return nil
		}
		if err != nil {
			return err
		}
		t.Range, t.version = Range{lo, hi}, t.Epoch
		t.Start, err = parsePosition(pos, target, after, id)
		return err
	}); err != nil {
		return nil, fmt.Errorf("taking lane %d of backend %s: %w", t.Lane, t.Backend, err)
	}
	return formers, nil
}

func parsePosition(pos, target, after string, id int64) (p Position, err error) {
	if p.At, err = ParseSnapshot(pos); err != nil || target == "" {
		return p, err
	}
	if p.Target, err = ParseSnapshot(target); err != nil {
		return p, err
	}
	p.After.ID = id
	p.After.Tx, err = parseXid(after)
	return p, err
}

// Live says whether the lease certainly still holds: a send that starts now does so within it. A margin of an
// eighth of the lease is kept for the send itself.
func (t *Tenure) Live() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.deadline.age() < t.ttl-t.ttl/8
}

// Hold says whether somebody asked the owner to finish its page and release the lane.
func (t *Tenure) Hold() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.hold
}

// Version is a version for the next page: greater than every version of this lane before it. When the reserve is
// used up it fails with ErrSave: a save reserves more.
func (t *Tenure) Version() (int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.version >= t.reserved {
		return 0, ErrSave
	}
	t.version++
	return t.version, nil
}

// ErrSave says that the versions reserved by the last save are used up.
var ErrSave = errors.New("save the position to reserve more versions")

// saved takes over what a save or renewal answered.
func (t *Tenure) saved(begun clock, version, reserved int64, hold bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deadline, t.hold = begun, hold
	if reserved > t.reserved {
		t.version, t.reserved = version, reserved
	}
}

// inTx runs fn in a transaction of db.
func inTx(ctx context.Context, db Beginner, fn func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, db, fn)
}
