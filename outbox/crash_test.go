package outbox

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/internal/pgserver"
	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/migrations"
)

// ownServer is a migrated server that the test may kill. It writes nothing ahead of time to disk.
func ownServer(t *testing.T, dir string) (*pgserver.Server, world) {
	t.Helper()
	cfg := pgtest.Config()
	cfg.Dir = dir
	cfg.Settings["wal_writer_delay"] = "10s"
	cfg.Settings["autovacuum"] = "off"
	cfg.Settings["bgwriter_delay"] = "10s"
	s, err := pgserver.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	w := world{TB: t, pool: open(t, s)}
	_, err = migrations.Up(t.Context(), w.pool)
	w.ok(err)
	w.exec("create table plain (x int)")
	return s, w
}

func open(t *testing.T, s *pgserver.Server) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// crash kills the server and starts it again.
func (w world) crash(s *pgserver.Server) {
	w.Helper()
	w.ok(s.Kill())
	w.ok(s.Restart(w.Context()))
	w.pool.Reset()
}

// lazily commits statements whose durability nobody waits for, and answers the transaction's id.
func (w world) lazily(sql string) uint64 {
	w.Helper()
	t := w.begin()
	_, err := t.conn.Exec(w.Context(), "set local synchronous_commit = off; "+sql, pgx.QueryExecModeSimpleProtocol)
	w.ok(err)
	return t.commit()
}

// One server crashes in all of these, one after the other.
func TestCrashes(t *testing.T) {
	t.Parallel()
	s, w := ownServer(t, "")
	t.Run("B4", func(t *testing.T) { testB4PositionsInMemoryEndWithACrash(t, s, w.pool) })
	t.Run("B5", func(t *testing.T) { testB5WhatIsReadIsDurable(t, s, w.pool) })
	t.Run("saves", func(t *testing.T) { testSavesMayBeLostInACrash(t, s, w.pool) })
	t.Run("restart", func(t *testing.T) { testACleanRestartEndsNothing(t, s, w.pool) })
}

// A transaction of a writer that does not wait for durability can be lost in a crash, and its id be given to another.
// A position in memory that had seen the first would count the second as applied, so the tenure is over.
func testB4PositionsInMemoryEndWithACrash(t *testing.T, s *pgserver.Server, pool *pgxpool.Pool) {
	t.Helper()
	w := world{t, pool}
	w.addBackend("b4", 1)
	tenure := w.take("b4", "p")
	saved := tenure.Start
	lost := w.lazily("insert into plain values (1)")
	r := NewReader(w.pool, tenure, nil)
	found, at, err := r.Look(t.Context(), saved)
	w.ok(err)
	if found || !at.Visible(lost) {
		t.Fatalf("%d is not in the position in memory %s (found %v)", lost, at, found)
	}
	w.crash(s)
	for id := uint64(0); id < lost; {
		if id = w.writes("reused"); id > lost {
			t.Fatalf("the id %d was not used again, but %d: this test proves nothing", lost, id)
		}
	}
	remembered := Position{At: at}
	w.want("0", `select count(*) from (`+pageSQL+`) p where p.tx = '`+fmt.Sprint(lost)+`'`, // what the tenure would miss
		pageArgs(remembered, 100, "b4")...)
	if _, err := r.Page(t.Context(), remembered, 100, nil, nil); !errors.Is(err, ErrLost) {
		t.Errorf("Page from a position before the crash: %v, want ErrLost", err)
	}
	w.isLost(tenure, remembered)
	again := w.takeAgain("b4")
	if got, _ := w.page(NewReader(w.pool, again, nil), again.Start, 100); got == "" {
		t.Error("the row of the reused id is not delivered from the saved position")
	}
}

// takeAgain takes a lane whose owner did not let go.
func (w world) takeAgain(backend string) *Tenure {
	w.Helper()
	w.expire(backend)
	return w.take(backend, "again")
}

// isLost fails unless every use of the tenure says ErrLost.
func (w world) isLost(t *Tenure, pos Position) {
	w.Helper()
	r := NewReader(w.pool, t, nil)
	_, _, look := r.Look(w.Context(), pos)
	_, page := r.Page(w.Context(), pos, 10, nil, func(context.Context, *pgx.Conn, *Page) error { w.Error("a page was read"); return nil })
	for use, err := range map[string]error{
		"Look": look, "Page": page, "Renew": t.Renew(w.Context(), w.pool),
		"State": r.State(w.Context(), func(context.Context, *pgx.Conn) error { w.Error("the state was read"); return nil }),
		"Save":  t.Save(w.Context(), w.pool, pos, Outcome{Parked: []Parked{{Kind: "k", Target: "lost", Key: "lost"}}}),
	} {
		if !errors.Is(err, ErrLost) {
			w.Errorf("%s: got %v, want ErrLost", use, err)
		}
	}
	w.want("0", `select count(*) from outbox.parked where target = 'lost'`)
}

// What a page has read survives a crash, although its writer did not wait for that.
func testB5WhatIsReadIsDurable(t *testing.T, s *pgserver.Server, pool *pgxpool.Pool) {
	t.Helper()
	w := world{t, pool}
	w.addBackend("b5", 1)
	seen := 0
	w.take("b5", "p")
	see := func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, "select x from plain").Scan(&seen)
	}

	w.exec("truncate plain; checkpoint")
	w.lazily("insert into plain values (776); insert into outbox.log (kind, keys) values ('k', '{776}')")
	w.ok(ReadTx(t.Context(), w.pool, nil, func(c *pgx.Conn) error { return see(t.Context(), c) })) // does not wait
	w.crash(s)
	if got := w.text("select count(*) from plain"); seen != 776 || got != "0" {
		t.Fatalf("read %d, and after the crash there are %s rows: this test proves nothing", seen, got)
	}

	tenure := w.takeAgain("b5")
	r := NewReader(w.pool, tenure, []string{"plain"})
	w.lazily("insert into plain values (777); insert into outbox.log (kind, keys) values ('k', '{777}')")
	_, err := r.Page(t.Context(), tenure.Start, 10, nil, func(ctx context.Context, c *pgx.Conn, _ *Page) error { return see(ctx, c) })
	w.ok(err)
	w.crash(s)
	if got := w.text("select x from plain"); seen != 777 || got != "777" {
		t.Errorf("a page has read %d, after the crash there is %q", seen, got)
	}

	w.lazily("insert into plain values (778)")
	again := w.takeAgain("b5")
	w.lazily("insert into plain values (779)")
	w.ok(NewReader(w.pool, again, nil).State(t.Context(), func(context.Context, *pgx.Conn) error { return nil }))
	w.crash(s)
	w.want("3", "select count(*) from plain")
}

// The commit of a save is not waited for. A crash that loses it takes the position back, never forward, and what was
// applied is delivered again.
func testSavesMayBeLostInACrash(t *testing.T, s *pgserver.Server, pool *pgxpool.Pool) {
	t.Helper()
	w := world{t, pool}
	w.addBackend("lazy", 1)
	tenure := w.take("lazy", "p")
	w.writes("a")
	got, p := w.page(NewReader(w.pool, tenure, nil), tenure.Start, 10)
	w.ok(tenure.Save(t.Context(), w.pool, p.Next, Outcome{}))
	last, err := tenure.Version()
	w.ok(err)
	w.crash(s)
	again := w.takeAgain("lazy")
	if !again.Start.At.Equal(tenure.Start.At) {
		t.Fatalf("the save was not lost: this test proves nothing")
	}
	if repeated, _ := w.page(NewReader(w.pool, again, nil), again.Start, 10); repeated != got || got != "a" {
		t.Errorf("delivered %q, and %q after the crash", got, repeated)
	}
	if v, err := again.Version(); err != nil || v <= last {
		t.Errorf("version %d follows %d: %v", v, last, err)
	}
}

// A server that was shut down and started again has lost nothing: tenures go on.
func testACleanRestartEndsNothing(t *testing.T, s *pgserver.Server, pool *pgxpool.Pool) {
	t.Helper()
	w := world{t, pool}
	w.addBackend("restart", 1)
	tenure := w.take("restart", "p")
	w.ok(s.Restart(t.Context()))
	w.pool.Reset()
	w.writes("a")
	if got, _ := w.page(NewReader(w.pool, tenure, nil), tenure.Start, 10); got != "a" {
		t.Errorf("got %q", got)
	}
	w.ok(tenure.Save(t.Context(), w.pool, tenure.Start, Outcome{}))
	if !tenure.Live() || tenure.deadline.age() > time.Minute {
		t.Error("the lease is over")
	}
}
