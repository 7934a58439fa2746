package jobs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/outflow-db/outflow/outbox"
)

// settle looks again at what differs until it is certain. A difference is certain when the backend has applied
// everything that was committed before both sides were read again, and nothing of the key was committed since.
func (v *comparison) settle(ctx context.Context) error {
	end := time.Now().Add(v.o.Settle)
	for nap := 10 * time.Millisecond; ; nap = min(nap*2, time.Second) {
		since, err := outbox.Now(ctx, v.c.Pool)
		if err != nil {
			return err
		}
		open, err := v.count(ctx, `select count(*) from verify_differ where open`)
		if err != nil || open == 0 {
			return err
		}
		if err := v.await(ctx, since, end); err != nil {
			return err
		}
		if err := v.again(ctx, since); err != nil {
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
	n, err := v.count(ctx, `
select count(*) from outbox.backends b where b.name = $1 and b.paused is null
   and (exists (select from outbox.lanes l where l.backend = b.name and l.owner is not null and l.expires > clock_timestamp())
        or exists (select from river.river_job j where j.queue = b.name and j.kind = 'project' and j.state in ('available', 'running', 'retryable', 'scheduled')
                      and j.created_at > now() - interval '1 minute'))`, v.s.name)
	return n > 0, err
}

// again reads both sides of all open differences once more, in chunks.
func (v *comparison) again(ctx context.Context, since outbox.Snapshot) error {
	for last := ""; ; {
		keys, err := v.column(ctx, `select key from verify_differ where open and key > $1 order by key limit 1000`, last)
		if err != nil || len(keys) == 0 {
			return err
		}
		last = keys[len(keys)-1]
		if err := v.chunk(ctx, keys, since); err != nil {
			return err
		}
	}
}

// chunk decides about keys: equal by now, different for certain, or still open.
func (v *comparison) chunk(ctx context.Context, keys []string, since outbox.Snapshot) error {
	truth, err := v.truth(ctx, keys)
	if err != nil {
		return err
	}
	held := map[string]string{}
	entries, err := v.s.backend.Lookup(ctx, v.p.target, keys)
	if err != nil {
		return err
	}
	for _, e := range entries {
		held[e.Key] = e.Digest.String()
	}
	moving, err := outbox.InFlight(ctx, v.c.Pool, v.s.name, v.kinds, keys, since)
	if err != nil {
		return err
	}
	slices.Sort(moving)
	var equal, sure, whats []string
	for _, k := range keys {
		t, inTruth := truth[k]
		h, inStore := held[k]
		_, still := slices.BinarySearch(moving, k)
		switch {
		case inTruth == inStore && t == h:
			equal = append(equal, k)
		case !still:
			sure, whats = append(sure, k), append(whats, what(inTruth, inStore))
		}
	}
	_, err = v.conn.Exec(ctx, `
with e as (delete from verify_differ where key = any($1::text[]))
update verify_differ d set open = false, what = u.what from unnest($2::text[], $3::text[]) u (key, what) where d.key = u.key`,
		equal, sure, whats)
	if err != nil {
		return fmt.Errorf("keeping differences: %w", err)
	}
	return nil
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

// conclude counts the differences, names some, and repairs them if asked to.
func (v *comparison) conclude(ctx context.Context) error {
	if _, err := v.conn.Exec(ctx, `
update verify_differ d set what = 'parked' from outbox.parked p
 where not d.open and p.backend = $1 and p.kind = $2 and p.target = $3 and p.key = d.key`, v.s.name, v.p.Kind, v.p.target.Name); err != nil {
		return fmt.Errorf("comparing with what is parked: %w", err)
	}
	f := &v.found
	err := v.conn.QueryRow(ctx, `
select count(*) filter (where not open and what = 'missing'), count(*) filter (where not open and what = 'extra'),
       count(*) filter (where not open and what = 'different'), count(*) filter (where not open and what = 'parked'), count(*) filter (where open)
  from verify_differ`).Scan(&f.Missing, &f.Extra, &f.Different, &f.Parked, &f.InFlight)
	if err != nil {
		return fmt.Errorf("counting differences: %w", err)
	}
	keys, err := v.column(ctx, `select key from verify_differ where not open order by key limit $1`, v.o.Limit)
	if err != nil {
		return err
	}
	whats, err := v.column(ctx, `select what from verify_differ where not open order by key limit $1`, v.o.Limit)
	if err != nil {
		return err
	}
	for i, k := range keys {
		f.Examples = append(f.Examples, Difference{k, whats[i]})
	}
	if !v.o.Repair {
		return nil
	}
	return v.repair(ctx)
}

// repair puts every key that differs for certain into the log again, for this backend.
func (v *comparison) repair(ctx context.Context) error {
	for last := ""; ; {
		keys, err := v.column(ctx, `select key from verify_differ where not open and key > $1 order by key limit $2`, last, relogChunk)
		if err != nil || len(keys) == 0 {
			return err
		}
		last = keys[len(keys)-1]
		if err := outbox.Relog(ctx, v.c.Pool, v.s.name, v.p.Kind, keys, outbox.Cause{}); err != nil {
			return err
		}
		v.found.Repaired += int64(len(keys))
	}
}

func (v *comparison) count(ctx context.Context, sql string, args ...any) (int64, error) {
	var n int64
	if err := v.conn.QueryRow(ctx, sql, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting: %w", err)
	}
	return n, nil
}
