package jobs_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
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
	read := make(chan struct{})
	var once sync.Once
	w.hear(func(id string) {
		if id == "2" {
			once.Do(func() { close(read) })
		}
	})
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

// hear tells the ids of the items that the engine reads.
func (w *world) hear(told func(id string)) {
	w.t.Helper()
	w.onNotice("reading ", told)
	w.exec(`create function seen(id int) returns text language plpgsql as $$ begin raise notice 'reading %', id; return id; end $$`)
}

// noticed is closed when PostgreSQL tells the engine, which is yet to be started, something for the first time.
func (w *world) noticed(message string) <-chan struct{} {
	w.t.Helper()
	told := make(chan struct{})
	once := sync.OnceFunc(func() { close(told) })
	w.onNotice(message, func(string) { once() })
	return told
}

// onNotice calls fn with the rest of each notice with the prefix that PostgreSQL sends to the engine, which is yet to be
// started; the connection waits for it.
func (w *world) onNotice(prefix string, fn func(rest string)) {
	w.t.Helper()
	cfg, err := pgxpool.ParseConfig(pgtest.URL(w.t, w.pool))
	if err != nil {
		w.t.Fatal(err)
	}
	cfg.ConnConfig.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if rest, ok := strings.CutPrefix(n.Message, prefix); ok {
			fn(rest)
		}
	}
	cfg.MaxConns = 8
	if w.c.Pool, err = pgxpool.NewWithConfig(w.t.Context(), cfg); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(w.c.Pool.Close)
}

// A record that takes a lane's whole share of the memory is written before the next is read.
func TestLargeRecordsAreReadOneByOne(t *testing.T) {
	t.Parallel()
	const records = 8
	w := newWorld(t)
	var read, written atomic.Int32
	w.hear(func(string) { read.Add(1) })
	w.c.Projections[0].Query = `select id as key, v, seen(id) from item where id = any($1::text[]::int[])`
	w.c.Settings.MemoryBytes, w.c.Settings.PageKeys, w.c.Settings.Slice = 1<<20, 1, time.Minute
	w.store.onWrite = func(context.Context, int, []backends.Record) error {
		time.Sleep(20 * time.Millisecond) // time enough to read the next, which must not be
		if read.Load() > written.Add(1) {
			t.Error("a record was read while another filled the lane's share")
		}
		return nil
	}
	w.start()
	for i := range records {
		w.exec(fmt.Sprintf(`insert into item select %d, repeat('x', 900000)`, i))
	}
	eventually(t, "all are written", func() bool { return len(w.store.holds("items")) == records })
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
	set := &w.c.Settings
	set.PageKeys, set.Slice, set.Linger, set.Lease = 1, time.Minute, time.Minute, time.Minute // nothing but the failure ends the tenure
	w.exec(`create table broken (yes boolean)`)
	w.exec(`insert into broken values (false)`)
	w.exec(`create function seen(id int) returns text language plpgsql stable as $$ begin
		if id = 2 and (select yes from broken) then raise notice 'fails'; raise exception 'out of order' using errcode = '53100'; end if; return id; end $$`)
	w.c.Projections[0].Query = `select id as key, v, seen(id) from item where id = any($1::text[]::int[])`
	fails, hangs, free := w.noticed("fails"), make(chan struct{}), make(chan struct{})
	held := sync.OnceFunc(func() { close(hangs) }) // what is peeked at, or filled, is written again in its turn
	w.store.onWrite = func(ctx context.Context, _ int, rs []backends.Record) error {
		if string(rs[0].Doc) != `{"v": "held", "seen": "1"}` {
			return nil
		}
		held()
		select {
		case <-free:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w.start()
	w.applied(`insert into item values (1, 'one')`)
	w.drained() // of the fill, too: the next page has what comes next and nothing else
	w.exec(`update broken set yes = true`)
	token := w.write(`update item set v = 'held'`)
	<-hangs
	w.exec(`insert into item values (2, 'two')`)
	<-fails
	w.passes(50 * time.Millisecond) // for the feed to end; if it has not yet, this run shows little
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
