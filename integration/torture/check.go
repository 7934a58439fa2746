package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/jobs"
)

// check ends all workers, starts new ones, waits until everything is applied and nothing is suspect any more, and
// compares. Either the workers are killed with their hands full, or they are asked to end.
func (t *torture) check(ctx context.Context, kill bool) error {
	if kill {
		t.store.setCalm(false)
		if err := t.surge(ctx); err != nil {
			return err
		}
		if err := t.fleet.each(func(p *process) error { t.fleet.kill(p); return nil }); err != nil {
			return err
		}
	} else if err := t.fleet.each(t.fleet.term); err != nil {
		t.fail("%v", err)
	}
	t.store.setCalm(true)
	if err := t.fleet.revive(); err != nil {
		return err
	}
	if err := t.settle(ctx); err != nil {
		return err
	}
	if err := t.store.deliver(ctx); err != nil {
		return err
	}
	if err := t.relay.deliver(ctx); err != nil {
		return err
	}
	return t.compare(ctx)
}

// surge changes many rows, and returns when the stores are about to get them.
func (t *torture) surge(ctx context.Context) error {
	tag, err := t.pool.Exec(ctx, `update app.t set a = a + 1 where id < 100000`)
	if err != nil {
		return fmt.Errorf("a surge: %w", err)
	}
	t.count("records changed in surges", int(tag.RowsAffected()))
	arrived := make(chan struct{}, 1)
	t.store.onArrival(func(_ int, in writeRequest) {
		if in.Kind == "t" && len(in.Records) == batchRecords {
			select {
			case arrived <- struct{}{}:
			default:
			}
		}
	})
	defer t.store.onArrival(nil)
	select {
	case <-arrived:
	case <-ctx.Done():
	case <-time.After(10 * time.Second): // every lane waits for a lease of a dead one
	}
	return nil
}

// patience is how long the slowest of machines may take for what must happen.
const patience = 4 * time.Minute

// settle waits until no lane has anything to do and nothing is suspect.
func (t *torture) settle(ctx context.Context) error {
	for end := time.Now().Add(patience); ; {
		var open, suspects int
		err := t.pool.QueryRow(ctx, `
select (select count(*) from outbox.lanes c where c.target is not null or exists (select from outbox.log l
         where (l.backend is null or l.backend = c.backend) and not pg_visible_in_snapshot(l.tx, c.position))),
       (select count(*) from outbox.suspects)`).Scan(&open, &suspects)
		if err != nil {
			return fmt.Errorf("waiting for the lanes: %w", err)
		}
		if open+suspects == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("after %v %d lanes are behind and %d rows are suspect: %s", patience, open, suspects, t.state(ctx))
		}
		pause(ctx, 50*time.Millisecond)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// state describes lanes, backends and recent failures of jobs.
func (t *torture) state(ctx context.Context) string {
	var text string
	err := t.pool.QueryRow(ctx, `
select jsonb_pretty(jsonb_build_object(
  'lanes', (select jsonb_agg(to_jsonb(l)) from outbox.lag l),
  'log', (select jsonb_agg(to_jsonb(x)) from (
     select g.backend, g.kind, g.headers, g.cause_to is not null as caused, count(*) as rows, sum(cardinality(g.keys)) as keys, min(g.at) as first, max(g.at) as last
       from outbox.log g group by 1, 2, 3, 4 order by keys desc limit 12) x),
  'suspects', (select jsonb_agg(to_jsonb(s) - 'keys') from outbox.suspects s),
  'owners', (select jsonb_agg(to_jsonb(o)) from outbox.owners o where gone_at is null),
  'connections', (select jsonb_agg(to_jsonb(x)) from (
     select application_name as of, state, wait_event as waits, pg_blocking_pids(pid) as behind, pid, clock_timestamp() - state_change as since, left(query, 120) as query
       from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() order by 1, 6 desc) x),
  'jobs', (select jsonb_object_agg(x.state, x.n) from (select state, count(*) n from river.river_job group by 1) x),
  'errors', (select jsonb_agg(x.e) from (select errors[array_upper(errors, 1)] e from river.river_job where errors is not null order by id desc limit 5) x)))`).Scan(&text)
	if err != nil {
		return err.Error()
	}
	return text
}

// compare compares every backend with PostgreSQL, by itself and by the engine's verify.
func (t *torture) compare(ctx context.Context) error {
	parked := map[string]int{}
	for _, p := range projections() {
		want, err := pairs(ctx, t.pool, p.truth)
		if err != nil {
			return fmt.Errorf("reading kind %s: %w", p.kind, err)
		}
		for _, backend := range t.links.names() {
			if !takes(backend, p.kind) {
				continue
			}
			n, err := t.compareKind(ctx, backend, p.kind, want)
			if err != nil {
				return fmt.Errorf("comparing kind %s in backend %s: %w", p.kind, backend, err)
			}
			parked[backend+" "+p.kind] = n
		}
		t.count("records compared", len(t.links.names())*len(want))
	}
	t.count("comparisons", 1)
	report, err := jobs.Verify(ctx, t.config(), jobs.VerifyOptions{})
	if err != nil {
		return fmt.Errorf("verifying: %w", err)
	}
	for _, f := range report.Targets {
		if f.Missing+f.Extra+f.Different+f.InFlight > 0 || f.Parked > int64(parked[f.Backend+" "+f.Kind]) {
			t.fail("verify does not agree: %+v, with %d parked", f, parked[f.Backend+" "+f.Kind])
		}
	}
	return nil
}

// compareKind compares one kind and answers how many of its records are parked.
func (t *torture) compareKind(ctx context.Context, backend, kind string, want map[string]string) (int, error) {
	got, err := t.documents(ctx, backend, kind)
	if err != nil {
		return 0, err
	}
	parked, err := pairs(ctx, t.pool, `select key, error from outbox.parked where backend = $1 and kind = $2 and target = $2`, backend, kind)
	if err != nil {
		return 0, err
	}
	var wrong []string
	for key, doc := range want {
		_, isParked := parked[key]
		has, there := got[key]
		switch bad := refuses(backend, kind, doc); {
		case bad != isParked:
			wrong = append(wrong, fmt.Sprintf("%s: refused: %v, parked: %v", key, bad, isParked))
		case !bad && !there:
			wrong = append(wrong, fmt.Sprintf("%s is missing: %s", key, doc))
		case !bad && has != doc:
			wrong = append(wrong, fmt.Sprintf("%s is different: want %s, got %s", key, doc, has))
		case bad && there && refuses(backend, kind, has):
			wrong = append(wrong, fmt.Sprintf("%s was stored although it is refused: %s", key, has))
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			wrong = append(wrong, key+" should have been deleted")
		}
	}
	for key := range parked {
		if _, ok := want[key]; !ok {
			wrong = append(wrong, key+" is parked, but was deleted")
		}
	}
	if len(wrong) > 0 {
		t.fail("kind %s in backend %s: %d differences: %s", kind, backend, len(wrong), strings.Join(wrong[:min(len(wrong), 10)], "\n  "))
	}
	t.count("records parked when compared", len(parked))
	return len(parked), nil
}

// refuses says whether a backend refuses a document.
func refuses(backend, kind, doc string) bool {
	switch backend {
	case loose, single:
		return strings.Contains(doc, "poison")
	case remote, search:
		_, vector, _ := strings.Cut(doc, `"embedding": [`)
		return kind == "note" && strings.Count(vector, ",") != dimensions-1
	default:
		return false
	}
}

// documents is everything that a backend holds of a kind, by key, in the form of the projections' truth.
func (t *torture) documents(ctx context.Context, backend, kind string) (map[string]string, error) {
	switch body := "body::text"; backend {
	case loose, single:
		return t.store.documents(backend + " " + kind), nil
	case search:
		return t.relay.documents(ctx, kind)
	case remote:
		if kind == "note" {
			body = "(body || jsonb_build_object('embedding', vector))::text"
		}
		return pairs(ctx, t.far, "select key, "+body+" from readmodel."+kind+" where deleted_at is null")
	default:
		return pairs(ctx, t.pool, "select key, "+body+" from readmodel."+kind+" where deleted_at is null")
	}
}

// has says whether a backend holds a key.
func (t *torture) has(ctx context.Context, backend, kind, key string) (there bool, err error) {
	pool := t.pool
	switch backend {
	case loose, single:
		return t.store.has(backend+" "+kind, key), nil
	case search:
		return t.relay.has(ctx, kind, key)
	case remote:
		pool = t.far
	}
	err = pool.QueryRow(ctx, "select exists (select from readmodel."+kind+" where key = $1 and deleted_at is null)", key).Scan(&there)
	return there, err
}

// pairs reads keys and values. A key that comes twice is an error.
func pairs(ctx context.Context, pool *pgxpool.Pool, sql string, args ...any) (map[string]string, error) {
	rows, err := pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	var key, value string
	_, err = pgx.ForEachRow(rows, []any{&key, &value}, func() error {
		if _, twice := all[key]; twice {
			return errors.New("key " + key + " comes twice")
		}
		all[key] = value
		return nil
	})
	return all, err
}
