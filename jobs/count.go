package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// Counts is how many records there are on both sides of a target.
type Counts struct {
	Postgres int64 `json:"postgres"`            // what the projection makes of PostgreSQL's rows
	Store    int64 `json:"store"`               // what the store holds
	InFlight bool  `json:"in_flight,omitempty"` // of a count alone: changes were under way all the time, so that nothing can be said
	Differ   bool  `json:"differ,omitempty"`    // of a count alone: they differ, and nothing was under way
}

// countChunk is how many keys are counted at once.
const countChunk = 10_000

// signal counts both sides before they are compared, if the store can count, and tells of it. What is in flight may
// make them differ: it is a signal and no finding.
func (v *comparison) signal(ctx context.Context) error {
	counter := v.s.counter()
	if counter == nil {
		return nil
	}
	counts, err := v.both(ctx, counter.Count)
	if err != nil {
		return err
	}
	if v.found.Counts = &counts; v.o.Counted != nil {
		v.o.Counted(v.found)
	}
	return nil
}

// counts counts both sides, again and again until they are the same, or are not while nothing is in flight, or the time
// is over. A store that cannot count is scanned.
func (v *comparison) counts(ctx context.Context) error {
	count := v.scanned
	if counter := v.s.counter(); counter != nil {
		count = counter.Count
	}
	end := time.Now().Add(v.o.Settle)
	for nap := 20 * time.Millisecond; ; nap = min(nap*2, time.Second) {
		since, err := outbox.Now(ctx, v.c.Pool)
		if err != nil {
			return err
		}
		if err := v.await(ctx, since, end); err != nil {
			return err
		}
		counts, err := v.both(ctx, count)
		if err != nil {
			return err
		}
		v.found.Counts, v.found.Records = &counts, counts.Postgres
		if counts.Postgres == counts.Store {
			break
		}
		if counts.InFlight, err = v.moving(ctx, since); err != nil {
			return err
		}
		if counts.Differ = !counts.InFlight; counts.Differ || time.Now().After(end) {
			break
		}
		wait(ctx, nap)
	}
	if v.o.Counted != nil {
		v.o.Counted(v.found)
	}
	return ctx.Err()
}

// moving says whether anything of the kind was committed since the snapshot, or before it and is not applied yet.
func (v *comparison) moving(ctx context.Context, since outbox.Snapshot) (bool, error) {
	passed, err := outbox.Passed(ctx, v.c.Pool, v.s.name, since)
	if err != nil || !passed {
		return true, err
	}
	return outbox.ChangedSince(ctx, v.c.Pool, v.s.name, v.kinds, since)
}

// both counts both sides.
func (v *comparison) both(ctx context.Context, count func(context.Context, backends.Target) (int64, error)) (c Counts, err error) {
	if c.Store, err = count(ctx, v.p.target); err != nil {
		return c, err
	}
	total, err := v.hold(ctx, "", noLimit)
	if err != nil {
		return c, err
	}
	for from := int64(0); from < total; from += countChunk {
		keys, err := v.held(ctx, from, countChunk)
		if err != nil {
			return c, err
		}
		n, err := v.projected(ctx, keys)
		if err != nil {
			return c, err
		}
		c.Postgres += n
	}
	return c, nil
}

// projected counts the records that the projection makes of keys. A key whose record PostgreSQL cannot make is one.
func (v *comparison) projected(ctx context.Context, keys []string) (n int64, err error) {
	err = outbox.ReadTx(ctx, v.c.Pool, v.s.sources, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, v.p.counting, keys).Scan(&n)
	})
	if err == nil {
		return n, nil
	}
	err = queryError(v.s.name, v.p.Kind, err)
	switch {
	case !refused(err):
		return 0, err
	case len(keys) == 1:
		return 1, nil
	}
	n, err = v.projected(ctx, keys[:len(keys)/2])
	if err != nil {
		return 0, err
	}
	rest, err := v.projected(ctx, keys[len(keys)/2:])
	return n + rest, err
}

// scanned counts what a scan tells.
func (v *comparison) scanned(ctx context.Context, target backends.Target) (n int64, err error) {
	err = v.s.backend.Scan(ctx, target, func(page []backends.Entry) error {
		n += int64(len(page))
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("counting by a scan: %w", err)
	}
	return n, nil
}
