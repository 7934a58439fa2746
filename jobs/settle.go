package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/outbox"
)

// settle looks again at what differs until it is certain. A difference is certain when the backend has applied
// everything that was committed before both sides were read again, and nothing of the key was committed since.
func (v *comparison) settle(ctx context.Context) error {
	return v.settled(ctx, "verify_differ", v.chunk)
}

// settled has a chunk of the keys of a table that are open looked at, again and again after the backend has passed a
// snapshot, until none is open or the time is over.
func (v *comparison) settled(ctx context.Context, table string, chunk func(context.Context, []string, outbox.Snapshot) error) error {
	end := time.Now().Add(v.o.Settle)
	for nap := 10 * time.Millisecond; ; nap = min(nap*2, time.Second) {
		since, err := outbox.Now(ctx, v.c.Pool)
		if err != nil {
			return err
		}
		open, err := v.number(ctx, `select count(*) from `+table+` where open`)
		if err != nil || open == 0 {
			return err
		}
		if err := v.await(ctx, since, end); err != nil {
			return err
		}
		if err := v.again(ctx, since, table, chunk); err != nil {
			return err
		}
		if time.Now().After(end) {
			return nil
		}
		wait(ctx, nap)
	}
}

// await waits until the backend has passed the snapshot, or the time is over: then it is compared as it is.
func (v *comparison) await(ctx context.Context, at outbox.Snapshot, end time.Time) error {
	for {
		passed, err := outbox.Passed(ctx, v.c.Pool, v.s.name, at)
		if err != nil || passed || time.Now().After(end) {
			return err
		}
		if worked, err := v.worked(ctx); err != nil || !worked {
			return err
		}
		wait(ctx, 20*time.Millisecond)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// worked says whether some process works the backend, or will: there is no use in waiting for one that nobody does.
func (v *comparison) worked(ctx context.Context) (bool, error) {
	n, err := v.number(ctx, `
select count(*) from outbox.backends b where b.name = $1 and b.paused is null
   and (exists (select from outbox.lanes l where l.backend = b.name and l.owner is not null and l.expires > clock_timestamp())
        or exists (select from river.river_job j where j.queue = b.name and j.kind = 'project' and j.state in ('available', 'running', 'retryable', 'scheduled')
                      and j.created_at > now() - interval '1 minute'))`, v.s.name)
	return n > 0, err
}

// again looks at everything that is open once more, in chunks.
func (v *comparison) again(ctx context.Context, since outbox.Snapshot, table string, chunk func(context.Context, []string, outbox.Snapshot) error) error {
	for last := ""; ; {
		keys, err := v.column(ctx, `select key from `+table+` where open and key > $1 order by key limit 1000`, last)
		if err != nil || len(keys) == 0 {
			return err
		}
		last = keys[len(keys)-1]
		if err := chunk(ctx, keys, since); err != nil {
			return err
		}
	}
}

// chunk reads both sides of keys again and decides about them: equal by now, different for certain, or still open.
func (v *comparison) chunk(ctx context.Context, keys []string, since outbox.Snapshot) error {
	truth, err := v.truth(ctx, keys)
	if err != nil {
		return err
	}
	held, err := v.digests(ctx, keys)
	if err != nil {
		return err
	}
	moving, err := outbox.InFlight(ctx, v.c.Pool, v.s.name, v.kinds, keys, since)
	if err != nil {
		return err
	}
	slices.Sort(moving)
	var equal, sure, whats, lists []string
	for _, k := range keys {
		t, inTruth := truth.digests[k]
		h, inStore := held[k]
		columns, otherwise := truth.differ[k]
		_, still := slices.BinarySearch(moving, k)
		switch {
		case inTruth == inStore && t == h && !otherwise:
			equal = append(equal, k)
		case !still:
			sure, whats, lists = append(sure, k), append(whats, what(inTruth, inStore)), append(lists, columnList(columns))
		}
	}
	_, err = v.conn.Exec(ctx, `
with e as (delete from verify_differ where key = any($1::text[]))
update verify_differ d set open = false, what = u.what, columns = u.columns::jsonb
  from unnest($2::text[], $3::text[], $4::text[]) u (key, what, columns) where d.key = u.key`,
		equal, sure, whats, lists)
	if err != nil {
		return fmt.Errorf("keeping differences: %w", err)
	}
	return nil
}

// digests are those that the store tells of keys.
func (v *comparison) digests(ctx context.Context, keys []string) (map[string]string, error) {
	entries, err := v.s.backend.Lookup(ctx, v.p.target, keys)
	if err != nil {
		return nil, err
	}
	held := make(map[string]string, len(entries))
	for _, e := range entries {
		held[e.Key] = e.Digest.String()
	}
	return held, nil
}

func what(inTruth, inStore bool) string {
	switch {
	case !inStore:
		return "missing"
	case !inTruth:
		return "extra"
	default:
		return "different"
	}
}

// conclude adds the differences to what was found, names some, and repairs them if asked to.
func (v *comparison) conclude(ctx context.Context) error {
	if _, err := v.conn.Exec(ctx, `
update verify_differ d set what = 'parked' from outbox.parked p
 where not d.open and p.backend = $1 and p.kind = $2 and p.target = $3 and p.key = d.key`, v.s.name, v.p.Kind, v.p.target.Name); err != nil {
		return fmt.Errorf("comparing with what is parked: %w", err)
	}
	var missing, extra, different, parked, open int64
	err := v.conn.QueryRow(ctx, `
select count(*) filter (where not open and what = 'missing'), count(*) filter (where not open and what = 'extra'),
       count(*) filter (where not open and what = 'different'), count(*) filter (where not open and what = 'parked'), count(*) filter (where open)
  from verify_differ`).Scan(&missing, &extra, &different, &parked, &open)
	if err != nil {
		return fmt.Errorf("counting differences: %w", err)
	}
	f := &v.found
	f.Missing, f.Extra, f.Different, f.Parked, f.InFlight = f.Missing+missing, f.Extra+extra, f.Different+different, f.Parked+parked, f.InFlight+open
	if missing+extra+different+parked == 0 {
		return nil
	}
	if err := errors.Join(v.columns(ctx), v.examples(ctx)); err != nil || !v.o.Repair {
		return err
	}
	return v.repair(ctx)
}

// columns adds in how many records each column differs.
func (v *comparison) columns(ctx context.Context) error {
	rows, err := v.conn.Query(ctx, `
select c, count(*) from verify_differ d cross join jsonb_array_elements_text(d.columns) c where not d.open group by c`)
	if err != nil {
		return fmt.Errorf("counting columns: %w", err)
	}
	var name string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&name, &n}, func() error {
		if v.found.Columns == nil {
			v.found.Columns = map[string]int64{}
		}
		v.found.Columns[name] += n
		return nil
	})
	if err != nil {
		return fmt.Errorf("counting columns: %w", err)
	}
	return nil
}

// examples names some of what differs, up to the limit.
func (v *comparison) examples(ctx context.Context) error {
	rows, err := v.conn.Query(ctx, `
select key, what, coalesce(columns, '[]')::text from verify_differ where not open order by key limit $1`, v.o.Limit-len(v.found.Examples))
	if err != nil {
		return fmt.Errorf("naming differences: %w", err)
	}
	var d Difference
	var list string
	_, err = pgx.ForEachRow(rows, []any{&d.Key, &d.What, &list}, func() error {
		d.Columns = nil
		if err := json.Unmarshal([]byte(list), &d.Columns); err != nil {
			return err
		}
		if len(d.Columns) == 0 {
			d.Columns = nil
		}
		v.found.Examples = append(v.found.Examples, d)
		return nil
	})
	if err != nil {
		return fmt.Errorf("naming differences: %w", err)
	}
	return nil
}

// repair puts every key that differs for certain into the log again, for this backend.
func (v *comparison) repair(ctx context.Context) error {
	for last := ""; ; {
		keys, err := v.column(ctx, `select key from verify_differ where not open and key > $1 order by key limit $2`, last, relogChunk)
		if err != nil || len(keys) == 0 {
			return err
		}
		last = keys[len(keys)-1]
		if err := outbox.RelogFor(ctx, v.c.Pool, outbox.Repair, v.s.name, v.p.Kind, keys, outbox.Cause{}); err != nil {
			return err
		}
		v.found.Repaired += int64(len(keys))
	}
}

func (v *comparison) number(ctx context.Context, sql string, args ...any) (int64, error) {
	var n int64
	if err := v.conn.QueryRow(ctx, sql, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting: %w", err)
	}
	return n, nil
}
