package jobs_test

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/pgtest"
)

// While a page is written, the next one is read: the store keeps the first waiting until the second was read.
func TestNextPageIsReadMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg, err := pgxpool.ParseConfig(pgtest.URL(t, w.pool))
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	var once sync.Once
	cfg.ConnConfig.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.Message == "reading 2" {
			once.Do(func() { close(read) })
		}
	}
	cfg.MaxConns = 8
	if w.c.Pool, err = pgxpool.NewWithConfig(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.c.Pool.Close)
	w.exec(`create function seen(id int) returns text language plpgsql as $$ begin raise notice 'reading %', id; return id; end $$`)
	w.c.Projections[0].Query = `select id as key, v, seen(id) from item where id = any($1::text[]::int[])`
	w.c.Settings.PageKeys, w.c.Settings.Slice, w.c.Settings.Linger = 1, time.Minute, time.Minute
	w.store.onWrite = func(ctx context.Context, _ int, rs []backends.Record) error {
		if !holding(rs, "1") {
			return nil
		}
		select {
		case <-read:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w.start()
	w.exec(`insert into item values (1, 'one')`)
	w.exec(`insert into item values (2, 'two')`)
	eventually(t, "both are there", func() bool { return len(w.store.holds("items")) == 2 })
}

// What a lane has in memory is bounded by three portions, however large the page is.
func TestMemoryIsBounded(t *testing.T) { //nolint:paralleltest // it measures the memory of the process
	w := newWorld(t)
	w.c.Settings.PortionBytes = 1 << 20
	w.store.forgets = true
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	w.exec(`insert into item select g, repeat('x', 100000) from generate_series(1, 600) g`)
	var base, most uint64
	var records int
	var mu sync.Mutex
	w.store.onWrite = func(_ context.Context, n int, rs []backends.Record) error {
		mu.Lock()
		defer mu.Unlock()
		if records += len(rs); n%10 == 0 {
			most = max(most, heap())
		}
		return nil
	}
	base = heap()
	w.start()
	eventually(t, "all are written", func() bool { mu.Lock(); defer mu.Unlock(); return records >= 600 })
	if most > base+20<<20 { // three portions, and room for all else; the page has 60 MB
		t.Errorf("it took %d MB", (most-base)>>20)
	}
}

// A page whose reading fails lets the one before it be written in peace: nothing is cut, nothing is suspect.
func TestFailedReadLetsTheWriterFinish(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.PageKeys, w.c.Settings.Slice, w.c.Settings.Linger = 1, time.Minute, time.Minute
	w.exec(`create table broken (yes boolean)`)
	w.exec(`insert into broken values (false)`)
	w.exec(`create function seen(id int) returns text language plpgsql stable as $$ begin
		if id = 2 and (select yes from broken) then raise exception 'out of order' using errcode = '53100'; end if; return id; end $$`)
	w.c.Projections[0].Query = `select id as key, v, seen(id) from item where id = any($1::text[]::int[])`
	hangs, free := make(chan struct{}), make(chan struct{})
	w.store.onWrite = func(ctx context.Context, _ int, rs []backends.Record) error {
		if string(rs[0].Doc) != `{"v": "held", "seen": "1"}` {
			return nil
		}
		close(hangs)
		select {
		case <-free:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w.start()
	w.applied(`insert into item values (1, 'one')`)
	w.exec(`update broken set yes = true`)
	token := w.write(`update item set v = 'held'`)
	<-hangs
	w.exec(`insert into item values (2, 'two')`)
	w.passes(50 * time.Millisecond) // for the feed to fail; if it has not yet, this run shows little
	close(free)
	w.wait(token)
	eventually(t, "the job says what failed", func() bool {
		return value[int](w, `select count(*) from river.river_job where errors::text like '%out of order%'`) > 0
	})
	w.exec(`update broken set yes = false`)
	w.applied(`update item set v = 'last'`)
	if n := value[int](w, `select count(*) from outbox.suspects`); n != 0 {
		t.Errorf("%d suspects", n)
	}
	if got := w.store.holds("items")["2"]; !strings.Contains(got, "last") {
		t.Errorf("item 2 is %s", got)
	}
}
