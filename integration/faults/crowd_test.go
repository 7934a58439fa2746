package faults_test

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// crowd is a world with nodes and links that many writers change at random: tables node(id, v, a, b) and
// link(src, typ, dst, v), watched as kinds node and link.
type crowd struct{ *world }

// Queries of projections of the two.
const (
	nodeQuery = `select id as key, v from node where id = any($1::text[]::int[])`
	linkQuery = `select k.key, l.v from unnest($1::text[]) k (key) join link l
	                 on l.src = (k.key::jsonb->>0)::int and l.typ = k.key::jsonb->>1 and l.dst = (k.key::jsonb->>2)::int`
)

// newCrowd runs an engine with one backend until the end of the test.
func newCrowd(t *testing.T, b backends.Config, projections ...jobs.Projection) *crowd {
	t.Helper()
	w := &world{t: t, source: pgtest.New(t)}
	w.exec(`create table node (id int primary key, v text, a real[], b real[])`)
	w.exec(`create table link (src int, typ text, dst int, v text, primary key (src, typ, dst))`)
	w.c = jobs.Config{
		Pool: w.source, Kinds: []outbox.Kind{{Name: "node", Table: "node"}, {Name: "link", Table: "link"}},
		Backends: []backends.Config{b}, Projections: projections,
		Settings: jobs.Settings{
			Lease: 2 * time.Second, Linger: 200 * time.Millisecond, Patience: 2 * time.Second, Request: 5 * time.Second,
			Late: time.Second, PageKeys: 100, BatchRecords: 20,
		},
	}
	w.run()
	return &crowd{w}
}

// change commits a transaction of random changes. Writers that block each other try again.
func (c *crowd) change() (token string) {
	c.t.Helper()
	for {
		err := pgx.BeginFunc(c.t.Context(), c.source, func(tx pgx.Tx) error {
			for range 1 + rand.IntN(4) {
				n, v := rand.IntN(40), rand.IntN(1000)
				for _, sql := range []string{
					`insert into node select i, 'é"\' || chr(10) || $2::int, array[$2, i, 1]::real[], array[i, $2]::real[] from generate_series($1::int, $1::int + 8) i
					     on conflict (id) do update set v = excluded.v, a = excluded.a`,
					`insert into link select $1::int, t, i, $2::int::text from generate_series($1::int, $1::int + 5) i, unnest('{calls,uses}'::text[]) t
					     on conflict (src, typ, dst) do update set v = excluded.v`,
					`delete from node where id % 13 = $1::int % 13 and $2::int % 3 = 0`,
					`delete from link where dst % 7 = $1::int % 7 and $2::int % 2 = 0`,
				} {
					if _, err := tx.Exec(c.t.Context(), sql, n, v); err != nil {
						return err
					}
				}
			}
			return tx.QueryRow(c.t.Context(), `select outbox.token()`).Scan(&token)
		})
		if err == nil {
			return token
		}
		if !strings.Contains(err.Error(), "deadlock") {
			c.t.Fatal(err)
		}
	}
}

// storm has writers at work while disturb makes n faults, one after a transaction each; then heal ends all of them, and
// everything is applied in the end.
func (c *crowd) storm(n int, disturb func(i int), heal func()) {
	c.t.Helper()
	stop := c.writers()
	for i := range n {
		token := c.change()
		disturb(i)
		if i%5 == 4 {
			heal()
			c.wait(token)
		}
	}
	stop()
	heal()
	c.settled()
}

// writers changes rows until stop is called.
func (c *crowd) writers() (stop func()) {
	over := make(chan struct{})
	var tasks sync.WaitGroup
	for range 3 {
		tasks.Go(func() {
			for {
				select {
				case <-over:
					return
				case <-time.After(60 * time.Millisecond):
					c.change()
				}
			}
		})
	}
	return sync.OnceFunc(func() { close(over); tasks.Wait() })
}

// settled waits until everything is applied and nothing is in doubt, and verifies it.
func (c *crowd) settled() {
	c.t.Helper()
	c.wait(c.change())
	c.until(`select not exists (select from outbox.suspects)`)
	report, err := jobs.Verify(c.t.Context(), c.c, jobs.VerifyOptions{})
	if err != nil || !report.OK() || len(report.Targets) != len(c.c.Projections) || report.Targets[0].Records == 0 {
		c.t.Fatalf("verify found %+v, %v", report, err)
	}
}
