package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Who pauses a backend. Each may take over from those before it, and from none behind it.
const (
	ByBreaker  = "breaker"  // no process reaches the store; the first that does resumes it
	ByEngine   = "engine"   // something must be mended first; the engine looks now and then whether it is
	ByLimit    = "limit"    // it refuses masses of records for one reason; the engine tries a sample of them now and then
	ByOperator = "operator" // somebody wants it so, until somebody resumes it
)

// pausers are all who pause a backend, in that order.
const pausers = `array['breaker', 'engine', 'limit', 'operator']`

// notedPause is the end of a statement whose first part, p, answers the backends that it paused: each is an event.
const notedPause = `
insert into outbox.events (what, who, backend, reason)
select 'paused', case when p.paused_by = 'operator' then session_user else 'engine' end, p.name, p.paused from p`

// Pause stops the workers of a backend after their page, for the reason given. by is ByOperator, ByLimit, ByEngine or ByBreaker.
// Pausing a paused backend keeps the first reason, unless it takes over from somebody who may do less. It is an event.
func Pause(ctx context.Context, db DB, name, by, reason string) error {
	_, err := db.Exec(ctx, `
with p as (
  update outbox.backends set paused = $3, paused_by = $2, paused_at = clock_timestamp()
   where name = $1 and (paused is null
         or array_position(`+pausers+`, paused_by) < array_position(`+pausers+`, $2))
  returning name, paused, paused_by)`+notedPause, name, by, reason)
	if err != nil {
		return fmt.Errorf("pausing backend %s: %w", name, err)
	}
	return known(ctx, db, name, "pausing")
}

// lately is within which a process that holds a lane must have saved a position to count as one that reaches the store.
const lately = 5 * time.Second

// PauseUnreached pauses a backend, by ByBreaker, whose store the process owner has not reached for a time, unless another
// process does: one that holds a lane and saves positions, or has let go of it and saved one in that time. It says
// whether the backend is paused now, by whomever.
func PauseUnreached(ctx context.Context, db DB, name, owner, reason string, unreached time.Duration) (paused bool, err error) {
	_, err = db.Exec(ctx, `
with p as (
  update outbox.backends b set paused = $2, paused_by = 'breaker', paused_at = clock_timestamp()
   where b.name = $1 and b.paused is null
     and not exists (select from outbox.lanes l
                      where l.backend = b.name
                        and (l.owner <> $3 and l.expires > clock_timestamp() and l.saved_at > clock_timestamp() - $4::interval
                             or l.owner is null and l.saved_at > clock_timestamp() - least($4::interval, $5::interval)))
  returning b.name, b.paused, b.paused_by)`+notedPause, name, reason, owner, lately, unreached)
	if err == nil {
		err = db.QueryRow(ctx, `select coalesce((select paused is not null from outbox.backends where name = $1), false)`, name).Scan(&paused)
	}
	if err != nil {
		return false, fmt.Errorf("pausing backend %s, which is not reached: %w", name, err)
	}
	return paused, nil
}

// Resume lets the workers of a backend go on, whoever paused it. It is an event.
func Resume(ctx context.Context, db DB, name string) error {
	if _, err := resume(ctx, db, name, ""); err != nil {
		return err
	}
	return known(ctx, db, name, "resuming")
}

// ResumeFrom lets the workers of a backend go on if it was paused by whom is named, and says whether it was. It is an
// event.
func ResumeFrom(ctx context.Context, db DB, name, by string) (resumed bool, err error) {
	return resume(ctx, db, name, by)
}

func resume(ctx context.Context, db DB, name, by string) (bool, error) {
	tag, err := db.Exec(ctx, `
with was as (select name, paused from outbox.backends where name = $1 and paused is not null and ($2 = '' or paused_by = $2) for update),
r as (
  update outbox.backends b set paused = null, paused_by = null, paused_at = null from was where b.name = was.name returning b.name)
insert into outbox.events (what, who, backend, reason)
select 'resumed', case when $2 = '' then session_user else 'engine' end, was.name, 'it was paused: ' || was.paused from was join r using (name)`, name, by)
	if err != nil {
		return false, fmt.Errorf("resuming backend %s: %w", name, err)
	}
	return tag.RowsAffected() > 0, nil
}

// known fails if there is no such backend.
func known(ctx context.Context, db DB, name, doing string) error {
	var found bool
	err := db.QueryRow(ctx, `select exists (select from outbox.backends where name = $1)`, name).Scan(&found)
	if err == nil && !found {
		err = errors.New("no such backend")
	}
	if err != nil {
		return fmt.Errorf("%s backend %s: %w", doing, name, err)
	}
	return nil
}
