package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// Suspects are keys that somebody without a lease may still write to the store: an earlier owner of the lane that
// was stopped with a page in hand, or a request whose answer was lost. Where the store's version guard has holes,
// a late write could bring back an old state, and nothing would log the key again. So suspects are logged again
// after a pause, and then after twice that pause, and so on, until nobody is left who could write them. Each of
// the rules was needed in a simulation of thousands of adversarial runs (docs/decisions).

// suspectDelta makes everything suspect that the lane's former owners may have read but not saved. Their pages
// were read in snapshots that saw their own lease, so before ours was committed: what is visible now, and not at
// the position, contains them. That is why this begins after the lane was taken. It may take long, so the lease is
// renewed meanwhile; what it leaves undone the next owner does, because formers is cleared last.
func (t *Tenure) suspectDelta(ctx context.Context, db Beginner, formers []string, zombie time.Duration) error {
	now, err := Now(ctx, db)
	for pos := t.Start; err == nil && !pos.At.Equal(now); {
		if pos, err = t.suspectPage(ctx, db, pos, now, formers, zombie); err == nil {
			err = t.Renew(ctx, db)
		}
	}
	if err == nil {
		_, err = db.Exec(ctx, `update outbox.lanes set formers = '{}' where backend = $1 and lane = $2 and epoch = $3`, t.Backend, t.Lane, t.Epoch)
	}
	if err != nil {
		return fmt.Errorf("suspecting what earlier owners of lane %d of backend %s had in hand: %w", t.Lane, t.Backend, err)
	}
	return nil
}

// suspectRows is how many rows of the log are looked through at a time, of up to 500 keys each.
const suspectRows = 1000

// suspectPage makes the keys of the next page suspect, and answers where it ends.
func (t *Tenure) suspectPage(ctx context.Context, db DB, pos Position, now Snapshot, formers []string, zombie time.Duration) (Position, error) {
	target := pos.Wants()
	if target.Zero() {
		target = now
	}
	found, err := db.Query(ctx, pageSQL, pageArgs(Position{At: pos.At, Target: target, After: pos.After}, suspectRows, t.Backend)...)
	if err != nil {
		return pos, err
	}
	rows, err := pgx.CollectRows(found, scanRow)
	if err != nil {
		return pos, err
	}
	page := Collect(pos, target, t.Range, rows, suspectRows)
	for kind, keys := range page.Keys {
		for _, former := range formers {
			if err := Suspect(ctx, db, t.Backend, former, kind, keys, t.ttl, zombie); err != nil {
				return pos, err
			}
		}
	}
	return page.Next, nil
}

// Suspect makes the keys of requests suspect whose outcome is unknown: they are logged again after pause, twice
// pause, and so on until the age is over within which a request can still arrive.
func Suspect(ctx context.Context, db DB, backend, owner, kind string, keys []string, pause, age time.Duration) error {
	_, err := db.Exec(ctx, `
insert into outbox.suspects (backend, kind, keys, owner, due, pause, until)
select $1, $2, array_agg(k), $4, clock_timestamp() + $5::interval, $5, clock_timestamp() + $6::interval
  from (select k, (n - 1) / 500 as part from unnest($3::text[]) with ordinality u (k, n)) p group by part`,
		backend, kind, keys, owner, pause, age)
	if err != nil {
		return fmt.Errorf("suspecting %d keys of %s for backend %s: %w", len(keys), kind, backend, err)
	}
	return nil
}

// Sweep logs the backends' suspects again that are due, a hundred rows of them at most, and answers how many rows it
// did. late is how long a request can still arrive after its sender has ended.
func Sweep(ctx context.Context, db DB, late time.Duration, backends ...string) (int, error) {
	var n int
	err := db.QueryRow(ctx, `
with due as (
  select s.id, s.backend, s.kind, s.keys, s.until <= clock_timestamp() or coalesce(o.gone_at + $2::interval < clock_timestamp(), false) as last
    from outbox.suspects s left join outbox.owners o on o.owner = s.owner
   where s.backend = any($1) and s.due <= clock_timestamp()
   order by s.due limit 100 for update of s skip locked),
again as (
  insert into outbox.log (kind, keys, backend, headers) select kind, keys, backend, '{"suspect": true}' from due),
over as (
  delete from outbox.suspects s using due where s.id = due.id and due.last),
later as (
  update outbox.suspects s set pause = s.pause * 2, due = clock_timestamp() + s.pause * 2 from due where s.id = due.id and not due.last)
select count(*) from due`, backends, late).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("logging suspects again: %w", err)
	}
	return n, nil
}

// Relog puts keys into the log again, for one backend only: repairs, rebuilds, dependants. A cause other than zero
// makes Wait wait for them on behalf of those transactions.
func Relog(ctx context.Context, db DB, backend, kind string, keys []string, cause Cause) error {
	return RelogFor(ctx, db, "", backend, kind, keys, cause)
}

// RelogFor is Relog that says why.
func RelogFor(ctx context.Context, db DB, why Why, backend, kind string, keys []string, cause Cause) error {
	return RelogOf(ctx, db, why, backend, kind, keys, cause, Revertible{})
}

// RelogOf is RelogFor for what follows from a write that asks to be reverted: it is reverted when one of these records is
// refused, too.
func RelogOf(ctx context.Context, db DB, why Why, backend, kind string, keys []string, cause Cause, write Revertible) error {
	if len(keys) == 0 {
		return nil
	}
	headers, err := relogHeaders(why, write)
	if err == nil {
		_, err = db.Exec(ctx, `
insert into outbox.log (kind, keys, backend, headers, cause_from, cause_to)
select $2, array_agg(k), $1, $6::jsonb, $4::xid8, $5::xid8
  from (select k, (n - 1) / 500 as part from unnest($3::text[]) with ordinality u (k, n)) p group by part`,
			backend, kind, keys, cause.text(cause.From), cause.text(cause.To), headers)
	}
	if err != nil {
		return fmt.Errorf("logging %d keys of %s for backend %s: %w", len(keys), kind, backend, err)
	}
	return nil
}

// relogHeaders are those of a row that a reader logs itself; nil: none.
func relogHeaders(why Why, write Revertible) (*string, error) {
	headers := map[string]string{}
	if why != "" {
		headers["why"] = string(why)
	}
	if write != (Revertible{}) {
		headers[OnRejectHeader], headers["transaction"] = OnRejectRevert, strconv.FormatUint(write.Transaction, 10)
	}
	if write.Load != "" {
		headers[LoadHeader] = write.Load
	}
	if len(headers) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(headers)
	text := string(b)
	return &text, err
}

// RelogAll puts a row into the log that concerns every key of the kind, in PostgreSQL and in the backend: a fill, a
// rebuild.
func RelogAll(ctx context.Context, db DB, backend, kind string, cause Cause) error {
	return RelogAllFor(ctx, db, "", backend, kind, cause)
}

// RelogAllFor is RelogAll that says why.
func RelogAllFor(ctx context.Context, db DB, why Why, backend, kind string, cause Cause) error {
	_, err := db.Exec(ctx, `
insert into outbox.log (kind, keys, backend, headers, cause_from, cause_to)
values ($2, '{}', $1, '{"all": true}' || case when $5 <> '' then jsonb_build_object('why', $5::text) else '{}' end, $3::xid8, $4::xid8)`,
		backend, kind, cause.text(cause.From), cause.text(cause.To), string(why))
	if err != nil {
		return fmt.Errorf("logging all keys of %s for backend %s: %w", kind, backend, err)
	}
	return nil
}

// text is the transaction id as PostgreSQL reads it; nil when there is no cause.
func (c Cause) text(x uint64) *string {
	if c.To == 0 {
		return nil
	}
	s := fmt.Sprint(x)
	return &s
}
