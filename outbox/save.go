package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Parked is a record that a backend refused for good.
type Parked struct {
	Kind, Target, Key    string
	Class, Error, Advice string
	Version              int64
	Pattern              string // of Error; empty: it is made of it
}

// pattern is that of the error.
func (p Parked) pattern() string {
	if p.Pattern != "" {
		return p.Pattern
	}
	return Pattern(p.Error, p.Key)
}

// RecordID names one record in a backend.
type RecordID struct{ Kind, Target, Key string }

// Outcome is what a save stores beside the position.
type Outcome struct {
	Parked   []Parked   // refused since the last save
	Unparked []RecordID // parked before, and written since the last save
	Floor    int64      // versions given out from now on are above it; below 2^53 minus a reserve
	Applied  Applied    // what the pages held that the position moves over
}

// Applied is what was done for the pages since the last save, for the audit. Without pages nothing is kept of it: a
// position that only moves over what concerns nobody leaves no trace.
type Applied struct {
	Pages, Rows                     int
	From, To                        int64 // versions that records were written with; zero: none was
	Written, Deleted, Stale, Parked int
	Gone                            []uint32 // hashes of deleted keys, goneMost of them at most
	Refused                         []Parked // the first refusedMost of those that were parked
}

// What the audit keeps of one save at most.
const (
	goneMost    = 1000
	refusedMost = 100
)

// Acknowledge notes a record that the store has with this version now, or has not any more, or (stale) has in a newer
// version. Without a receiver, as the others, it does nothing.
func (a *Applied) Acknowledge(kind, key string, version int64, deleted, stale bool) {
	if a == nil {
		return
	}
	a.version(version)
	switch {
	case stale:
		a.Stale++
	case !deleted:
		a.Written++
	default:
		if a.Deleted++; len(a.Gone) < goneMost {
			a.Gone = append(a.Gone, Hash(kind, key))
		}
	}
}

// Refuse notes a record that was parked.
func (a *Applied) Refuse(p Parked) {
	if a == nil {
		return
	}
	a.version(p.Version)
	if a.Parked++; len(a.Refused) < refusedMost {
		a.Refused = append(a.Refused, p)
	}
}

func (a *Applied) version(v int64) {
	if v == 0 {
		return
	}
	if a.From == 0 || v < a.From {
		a.From = v
	}
	a.To = max(a.To, v)
}

// Add adds what was done for later pages.
func (a *Applied) Add(b Applied) {
	a.version(b.From)
	a.version(b.To)
	a.Pages, a.Rows = a.Pages+b.Pages, a.Rows+b.Rows
	a.Written, a.Deleted, a.Stale, a.Parked = a.Written+b.Written, a.Deleted+b.Deleted, a.Stale+b.Stale, a.Parked+b.Parked
	a.Gone = append(a.Gone, b.Gone[:min(len(b.Gone), goneMost-len(a.Gone))]...)
	a.Refused = append(a.Refused, b.Refused[:min(len(b.Refused), refusedMost-len(a.Refused))]...)
}

// saveSQL moves the position of the tenure's lane, renews the lease and reserves versions; parks and unparks
// records, and keeps what was applied, only if it did.
const saveSQL = `
with o as (
  select position, target, after_tx, after_id from outbox.lanes where backend = $1 and lane = $2),
s as (
  update outbox.lanes set position = $5::pg_snapshot, target = $6::pg_snapshot, after_tx = $7::xid8, after_id = $8,
         version = outbox.next_version(greatest(version, $9::bigint)) + $10::bigint,
         expires = clock_timestamp() + $4::interval, saved_at = clock_timestamp()
   where backend = $1 and lane = $2 and epoch = $3 and (` + markSQL + `) = $11
  returning version, hold > clock_timestamp() as hold),
p as (
  insert into outbox.parked as k (backend, kind, target, key, class, error, advice, pattern, version)
  select $1, u.* from s, unnest($12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::text[], $19::bigint[]) u
  on conflict (backend, kind, target, key) do update
     set class = excluded.class, error = excluded.error, advice = excluded.advice, pattern = excluded.pattern, version = excluded.version,
         attempts = k.attempts + 1, last_at = clock_timestamp()),
d as (
  delete from outbox.parked k using s, unnest($20::text[], $21::text[], $22::text[]) u (kind, target, key)
   where k.backend = $1 and k.kind = u.kind and k.target = u.target and k.key = u.key),
a as (
  insert into outbox.pages (backend, lane, epoch, lo, hi, owner, since, since_target, since_tx, since_id, position, target, after_tx, after_id,
                            pages, rows, version_from, version_to, written, deleted, stale, parked, gone, refused)
  select $1, $2, $3, $23, $24, $25, o.position, o.target, o.after_tx, o.after_id, $5::pg_snapshot, $6::pg_snapshot, $7::xid8, $8,
         $26::int, $27, nullif($28::bigint, 0), nullif($29::bigint, 0), $30, $31, $32, $33, $34::int[], $35::jsonb
    from s, o where $26::int > 0)
select version, hold from s`

// Save stores the position, what was parked and what was unparked, in one transaction, and renews the lease. It
// fails with ErrLost, and stores nothing, when the lane is not the tenure's own any more. The caller has had every
// record up to pos acknowledged or refused.
//
// The commit is not waited for: a crash of the database ends the tenure and only repeats what the save covered.
func (t *Tenure) Save(ctx context.Context, db Beginner, pos Position, o Outcome) error {
	begun := now()
	if o.Floor >= versionBound {
		return fmt.Errorf("saving the position of lane %d of backend %s: version %d is out of range: nothing of Outflow's is above %d",
			t.Lane, t.Backend, o.Floor, int64(versionBound))
	}
	var target, tx *string
	var id *int64
	if !pos.Target.Zero() {
		snap, after := pos.Target.String(), fmt.Sprint(pos.After.Tx)
		target, tx, id = &snap, &after, &pos.After.ID
	}
	args := []any{t.Backend, t.Lane, t.Epoch, t.ttl, pos.At.String(), target, tx, id, o.Floor, versionsReserved - 1, t.mark}
	args = append(append(args, parkedColumns(o.Parked)...), idColumns(o.Unparked)...)
	args = append(args, t.Range.Lo, t.Range.Hi, t.Owner)
	applied, err := o.Applied.columns()
	if err != nil {
		return fmt.Errorf("saving the position of lane %d of backend %s: %w", t.Lane, t.Backend, err)
	}
	args = append(args, applied...)
	var reserved int64
	var hold bool
	if err := t.lazily(ctx, db, saveSQL, args, &reserved, &hold); err != nil {
		return fmt.Errorf("saving the position of lane %d of backend %s: %w", t.Lane, t.Backend, err)
	}
	t.saved(begun, reserved-versionsReserved, reserved, hold)
	return nil
}

// Renew prolongs the lease and nothing else. It fails with ErrLost when the lane is not the tenure's own any more.
func (t *Tenure) Renew(ctx context.Context, db Beginner) error {
	begun := now()
	var hold bool
	if err := t.lazily(ctx, db, `
update outbox.lanes set expires = clock_timestamp() + $4::interval
 where backend = $1 and lane = $2 and epoch = $3 and (`+markSQL+`) = $5
returning hold > clock_timestamp()`, []any{t.Backend, t.Lane, t.Epoch, t.ttl, t.mark}, &hold); err != nil {
		return fmt.Errorf("renewing lane %d of backend %s: %w", t.Lane, t.Backend, err)
	}
	t.saved(begun, 0, 0, hold)
	return nil
}

// Release lets go of the lane. The caller has no request under way any more, or has made the keys of those that it
// has suspect. It fails with ErrLost when the lane is not the tenure's own.
func (t *Tenure) Release(ctx context.Context, db DB) error {
	tag, err := db.Exec(ctx, `update outbox.lanes set owner = null, expires = '-infinity' where backend = $1 and lane = $2 and epoch = $3`,
		t.Backend, t.Lane, t.Epoch)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrLost
	}
	if err != nil {
		return fmt.Errorf("releasing lane %d of backend %s: %w", t.Lane, t.Backend, err)
	}
	return nil
}

// lazily runs one statement that answers one row, or none if the lane is lost, without waiting for its commit to
// be durable.
func (t *Tenure) lazily(ctx context.Context, db Beginner, sql string, args []any, into ...any) error {
	var b pgx.Batch
	b.Queue(`select set_config('synchronous_commit', 'off', true)`)
	b.Queue(sql, args...)
	answers := db.SendBatch(ctx, &b)
	_, err := answers.Exec()
	if err == nil {
		err = answers.QueryRow().Scan(into...)
	}
	if cerr := answers.Close(); err == nil {
		err = cerr
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrLost
	}
	return err
}

// columns are the values of a row of outbox.pages.
func (a Applied) columns() ([]any, error) {
	gone := make([]int32, len(a.Gone))
	for i, h := range a.Gone {
		gone[i] = int32(h) //nolint:gosec // the same bits
	}
	refused := make([]Refused, len(a.Refused))
	for i, p := range a.Refused {
		refused[i] = Refused{p.Kind, p.Target, p.Key, p.Class, p.Error}
	}
	text, err := json.Marshal(refused)
	return []any{a.Pages, int64(a.Rows), a.From, a.To, int64(a.Written), int64(a.Deleted), int64(a.Stale), int64(a.Parked), gone, string(text)}, err
}

func parkedColumns(parked []Parked) []any {
	text := make([][]string, 7)
	versions := make([]int64, 0, len(parked))
	for _, p := range parked {
		for i, s := range []string{p.Kind, p.Target, p.Key, p.Class, p.Error, p.Advice, p.pattern()} {
			text[i] = append(text[i], s)
		}
		versions = append(versions, p.Version)
	}
	return []any{texts(text[0]), texts(text[1]), texts(text[2]), texts(text[3]), texts(text[4]), texts(text[5]), texts(text[6]), versions}
}

func idColumns(ids []RecordID) []any {
	text := make([][]string, 3)
	for _, id := range ids {
		for i, s := range []string{id.Kind, id.Target, id.Key} {
			text[i] = append(text[i], s)
		}
	}
	return []any{texts(text[0]), texts(text[1]), texts(text[2])}
}

// texts is list, or an empty list instead of nil, which would be NULL.
func texts(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// ParkedIDs lists what is parked of a kind in the tenure's range, because neither PostgreSQL nor the store need have
// those keys any more.
func (t *Tenure) ParkedIDs(ctx context.Context, db DB, kind string) ([]RecordID, error) {
	rows, err := db.Query(ctx, `select kind, target, key from outbox.parked where backend = $1 and kind = $2`, t.Backend, kind)
	if err != nil {
		return nil, fmt.Errorf("listing what backend %s parked: %w", t.Backend, err)
	}
	var own []RecordID
	var id RecordID
	_, err = pgx.ForEachRow(rows, []any{&id.Kind, &id.Target, &id.Key}, func() error {
		if t.Range.Has(Hash(id.Kind, id.Key)) {
			own = append(own, id)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing what backend %s parked: %w", t.Backend, err)
	}
	return own, nil
}
