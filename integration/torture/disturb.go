package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// mostLanes is how many lanes a backend gets by splits.
const mostLanes = 5

// disturb kills, stops and cuts off workers and splits lanes, until ctx ends. It leaves no process stopped.
func (t *torture) disturb(ctx context.Context, r *rand.Rand) {
	var stopped sync.WaitGroup
	defer stopped.Wait()
	for {
		pause(ctx, time.Duration(500+r.IntN(2000))*time.Millisecond)
		if ctx.Err() != nil {
			return
		}
		if err := t.fleet.revive(); err != nil { // before the wait: without workers nothing is ever caught up with
			t.fail("%v", err)
			return
		}
		if t.yield(ctx, 20_000); ctx.Err() != nil {
			return
		}
		what, which, long := r.IntN(20), r.IntN(t.o.Workers), t.stopFor(r)
		p := t.fleet.process(which)
		switch {
		case what < 8 && p != nil:
			t.fleet.kill(p)
		case what < 15 && p != nil && t.fleet.stop(p, false):
			stopped.Go(func() {
				pause(ctx, long)
				if err := t.fleet.resume(p); err != nil {
					t.fail("%v", err)
				}
			})
		case what < 18:
			t.cut(ctx)
		case what == 18:
			t.split(ctx, r)
		}
	}
}

// watch looks how far behind the lanes are, until ctx ends. On a slow machine there is less of everything.
func (t *torture) watch(ctx context.Context) {
	for ; ctx.Err() == nil; pause(ctx, 300*time.Millisecond) {
		var keys int64
		if t.pool.QueryRow(ctx, `select coalesce(max(keys), 0) from outbox.lag`).Scan(&keys) == nil {
			t.behind.Store(keys)
		}
	}
}

// yield waits while some lane is more keys behind.
func (t *torture) yield(ctx context.Context, most int64) {
	for t.behind.Load() > most && ctx.Err() == nil {
		pause(ctx, 50*time.Millisecond)
	}
}

// rewrite changes rows and gives their table new storage, again and again, so that one of the rewrites falls between
// the snapshot and the read of a page that has the rows.
func (t *torture) rewrite(ctx context.Context, r *rand.Rand) {
	changes := []string{
		`update app.p set v = v + 1 where id % 4 = $1`,
		`update app.pt set v = v || $1::int % 2 where id % 4 = $1 and length(v) < 20`,
		`update app.r set x = x || $1::int % 2 where hashtext(id) % 4 = $1 and length(x) < 20`,
	}
	for ctx.Err() == nil {
		t.yield(ctx, 5_000)
		table := r.IntN(len(changes))
		_, _ = t.pool.Exec(ctx, changes[table], r.IntN(4)) // a deadlock with a writer is no matter
		for range 8 {
			_, err := t.pool.Exec(ctx, `set lock_timeout = '300ms'; `+rewrites[table]+`; reset lock_timeout`, pgx.QueryExecModeSimpleProtocol)
			if err == nil {
				t.count("tables rewritten", 1)
			}
			pause(ctx, time.Duration(r.IntN(20))*time.Millisecond)
		}
		pause(ctx, time.Duration(r.IntN(200))*time.Millisecond)
	}
}

// stopFor is how long to stop a process: half of the time for longer than its lease.
func (t *torture) stopFor(r *rand.Rand) time.Duration {
	if r.IntN(2) == 0 {
		return time.Duration(100+r.IntN(1000)) * time.Millisecond
	}
	return lease + time.Duration(r.IntN(1500))*time.Millisecond
}

// cut ends one connection of a worker, on the server's side.
func (t *torture) cut(ctx context.Context) {
	_, err := t.pool.Exec(ctx, `select pg_terminate_backend(pid) from (
  select pid from pg_stat_activity where application_name = $1 order by random() limit 1) x`, workerName)
	if err == nil {
		t.count("connections cut", 1)
	}
}

// split divides some lane, unless its backend has many.
func (t *torture) split(ctx context.Context, r *rand.Rand) {
	many := slices.DeleteFunc(t.links.names(), func(name string) bool { return name == single })
	backend := many[r.IntN(len(many))]
	var lane, lanes int
	err := t.pool.QueryRow(ctx, `select lane, count(*) over () from outbox.lanes where backend = $1 order by hi - lo desc, lane limit 1`, backend).Scan(&lane, &lanes)
	if err != nil || lanes >= mostLanes {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if outbox.Split(ctx, t.pool, backend, lane, 2) == nil {
		t.count("lanes split", 1)
	}
}

// prune deletes what was applied, all the time.
func (t *torture) prune(ctx context.Context) {
	for p := (&outbox.Pruner{Retention: time.Second, Batch: 200}); ctx.Err() == nil; {
		n, err := p.Prune(ctx, t.pool)
		if err != nil && ctx.Err() == nil {
			t.fail("%v", err)
			return
		}
		t.count("rows of the log pruned", int(n))
		if n == 0 {
			pause(ctx, 200*time.Millisecond)
		}
	}
}

// judge verifies the guarded backends while everything goes on: what is in flight must not count as different.
func (t *torture) judge(ctx context.Context) {
	pause(ctx, 3*time.Second)
	for ctx.Err() == nil {
		report, err := jobs.Verify(ctx, t.config(), jobs.VerifyOptions{Backends: []string{local, remote}, Settle: 5 * time.Second})
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			t.count("verifications under load failed", 1)
			t.say("a verification under load failed: %v", err)
			pause(ctx, time.Second)
			continue
		}
		t.count("verifications under load", 1)
		for _, f := range report.Targets {
			t.count("records verified under load", int(f.Records))
			if f.Missing+f.Extra+f.Different > 0 {
				t.fail("a verify under load found differences in %s: %+v", f.Backend, f)
			}
		}
		pause(ctx, 5*time.Second)
	}
}

// probe writes rows all the time and waits until all backends have them, while the long transaction is open.
func (t *torture) probe(ctx context.Context) {
	base := context.WithoutCancel(ctx)
	var probes errgroup.Group
	probes.SetLimit(10)
	for ctx.Err() == nil {
		t.probed++
		n := t.probed
		probes.Go(func() error {
			begun := time.Now()
			if err := t.probeOnce(base, n); err != nil {
				t.fail("a probe, with the long transaction open: %v", err)
				return nil
			}
			t.mu.Lock()
			defer t.mu.Unlock()
			t.latencies = append(t.latencies, time.Since(begun))
			return nil
		})
		pause(ctx, 300*time.Millisecond)
	}
	_ = probes.Wait() // they tell by themselves
}

func (t *torture) probeOnce(ctx context.Context, n int) error {
	key, noted := fmt.Sprint(probeFrom+n), fmt.Sprintf("probe%d", n)
	var token string
	err := pgx.BeginFunc(ctx, t.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `insert into app.t values ($1, 0, 'probe', null)`, probeFrom+n); err != nil {
			return err
		}
		if err := outbox.Put(ctx, tx, outbox.Record{Kind: "note", Key: noted, Body: n, Embedding: make([]float32, dimensions)}); err != nil {
			return err
		}
		var err error
		token, err = outbox.Token(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := outbox.Wait(wait, t.pool, token); err != nil {
		return fmt.Errorf("%w: %s", err, t.state(ctx))
	}
	for _, backend := range t.links.names() {
		for kind, key := range map[string]string{"t": key, "note": noted} {
			if !takes(backend, kind) {
				continue
			}
			there, err := t.has(ctx, backend, kind, key)
			if err != nil {
				return err
			}
			if !there {
				return fmt.Errorf("backend %s does not have %s %s, although its token %s was reached", backend, kind, key, token)
			}
		}
	}
	return nil
}
