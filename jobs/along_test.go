package jobs_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// trips counts the queries that read records by themselves, and those that go along with the log.
type trips struct{ alone, along atomic.Int64 }

func (c *trips) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if strings.HasPrefix(q.SQL, `select q."key"`) {
		c.alone.Add(1)
	}
	return ctx
}

func (c *trips) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (c *trips) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (c *trips) TraceBatchQuery(_ context.Context, _ *pgx.Conn, q pgx.TraceBatchQueryData) {
	if strings.HasPrefix(q.SQL, `select q."key"`) {
		c.along.Add(1)
	}
}

func (c *trips) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// traced gives the engine a pool that counts.
func (w *world) traced() *trips {
	w.t.Helper()
	c, n := w.pool.Config().Copy(), &trips{}
	c.ConnConfig.Tracer = n
	pool, err := pgxpool.NewWithConfig(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(pool.Close)
	w.c.Pool = pool
	return n
}

// Where few changes come at a time, their records are read in the round trip that reads the log: those of the first, and
// after a long page, by themselves.
func TestFewChangesTakeOneRoundTrip(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.SaveEvery, w.c.Settings.Linger, w.c.Settings.Slice = 20*time.Millisecond, 20*time.Second, 20*time.Second
	n := w.traced()
	w.start()
	for i := range 3 { // the first may be the fill's
		w.applied(fmt.Sprintf(`insert into item values (%d, 'first')`, -i))
	}
	before := n.alone.Load()
	for i := range 30 {
		w.applied(fmt.Sprintf(`insert into item values (%d, 'a'), (%d, 'b')`, 2*i+1, 2*i+2), fmt.Sprintf(`delete from item where id = %d`, i))
	}
	w.agrees()
	if alone, along := n.alone.Load()-before, n.along.Load(); alone > 0 || along < 30 {
		t.Errorf("%d queries read records by themselves, %d along with the log", alone, along)
	}
	w.applied(`insert into item select i, 'many' from generate_series(1001, 4000) i`)
	before = n.along.Load()
	w.applied(`insert into item values (5000, 'after a long page')`)
	if along := n.along.Load() - before; along > 0 {
		t.Errorf("after a long page %d queries went along with the log", along)
	}
	w.agrees()
}

// What goes along with the log is as exact as what is read by itself: with several lanes, kinds, projections and kinds of
// changes at once, values of every form, rows that the projection leaves out, and rows at which it fails.
func TestAlongIsExact(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table other (id text primary key, n int)`)
	w.c.Settings.Lanes = 3
	w.c.Kinds = append(w.c.Kinds, outbox.Kind{Name: "other", Table: "other"})
	w.c.Projections = append(w.c.Projections,
		jobs.Projection{Kind: "item", Backend: "main", Target: "short", Query: `select id as key, left(v, 1) as v from item where id = any($1::text[]::int[]) and v <> 'hidden'`},
		jobs.Projection{Kind: "other", Backend: "main", Target: "others", Query: `select id as key, 10 / n as v from other where id = any($1)`})
	n := w.traced()
	w.start()
	for i := range 40 {
		w.applied(
			fmt.Sprintf(`insert into item values (%d, 'v%d'), (%d, 'hidden')`, i, i, i+1000),
			fmt.Sprintf(`update item set v = case v when 'hidden' then 'seen' else 'hidden' end where id %% 10 = %d`, i%10),
			fmt.Sprintf(`insert into other values ('{"%d,\''', %d)`, i, i%7),
			fmt.Sprintf(`delete from item where id = %d`, i-3))
	}
	w.agrees()
	want := value[string](w, `select string_agg(id || left(v, 1), ' ' order by id) from item where v <> 'hidden'`)
	var got []string
	for id := range 2000 {
		if r := w.store.held("short", fmt.Sprint(id)); r.Key != "" && !r.Deleted {
			got = append(got, fmt.Sprint(id)+strings.Trim(strings.TrimPrefix(string(r.Doc), `{"v": "`), `"}`))
		}
	}
	if strings.Join(got, " ") != want {
		t.Errorf("short holds\n%v, want\n%s", got, want)
	}
	for i := range 40 {
		key := fmt.Sprintf(`{"%d,\'`, i)
		r := w.store.held("others", key)
		if failing := i%7 == 0; failing == (r.Key == key) {
			t.Errorf("others holds %q: %v, of a row that fails: %v", key, r, failing)
		}
	}
	if got := value[int](w, `select count(*)::int from outbox.parked where target = 'others'`); got != 6 {
		t.Errorf("%d are parked, want 6", got)
	}
	if n.along.Load() == 0 {
		t.Error("nothing went along with the log")
	}
}

// A projection that yields a key which nobody asked for is found out along with the log, too.
func TestStrayKeysAlong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Projections[0].Query = `select case when v = 'stray' then 'x' else id::text end as key, v from item where id = any($1::text[]::int[])`
	w.start()
	for i := range 3 {
		w.applied(fmt.Sprintf(`insert into item values (%d, 'a')`, i))
	}
	w.exec(`update item set v = 'stray' where id = 1`)
	eventually(t, "the backend is paused", func() bool { // and tried again now and then
		return strings.Contains(value[string](w, `select coalesce(paused, '') from outbox.backends`), "a key that was not asked for")
	})
	if r := w.store.held("items", "1"); r.Deleted || string(r.Doc) == "" {
		t.Errorf("record 1 is %v", r)
	}
}

// Columns that come as text in a batch are read by themselves: no store would take their text for the binary form.
func TestTextFormsDoNotGoAlong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`alter table item add j jsonb, add f real[]`)
	raw := backends.Layout{Doc: []string{"v"}, Raw: []string{"j", "f"}}
	w.store.set(func(f *fake) { f.layout = &raw })
	w.c.Projections[0].Query = `select id as key, v, j, f from item where id = any($1::text[]::int[])`
	w.start()
	for i := range 5 {
		w.applied(fmt.Sprintf(`insert into item values (%d, 'a', '{"a": %d}', '{1,2}')`, i, i))
		r := w.store.held("items", fmt.Sprint(i))
		if len(r.Raw) != 2 || r.Raw[0][0] != 1 || string(r.Raw[0][1:]) != fmt.Sprintf(`{"a": %d}`, i) || len(r.Raw[1]) != 12+8+16 {
			t.Errorf("record %d holds %q", i, r.Raw)
		}
	}
}

// What was answered along with the log before a question failed is of a snapshot that is over: it is read again with the page.
func TestAnswersEndWithTheirSnapshot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var once sync.Once
	w.hear(func(id string) {
		if id == "99" {
			once.Do(func() { w.exec(`update item set v = 'new' where id = 1`) })
		}
	})
	w.exec(`create function fails_along(id int) returns text language plpgsql as $$ begin
  if seen(id) = '99' and coalesce(current_setting('outflow.keys_0', true), '') <> '' then raise 'only along with the log'; end if; return id; end $$`)
	w.c.Settings.Linger, w.c.Settings.Slice = 20*time.Second, 20*time.Second
	w.c.Projections = append(w.c.Projections, jobs.Projection{Kind: "item", Backend: "main", Target: "second", Query: `select id as key, fails_along(id) as v from item where id = any($1::text[]::int[])`})
	w.start()
	for i := range 4 {
		w.applied(fmt.Sprintf(`insert into item values (%d, 'a')`, i))
	}
	w.applied(`update item set v = 'old' where id = 1`, `insert into item values (99, 'b')`)
	w.drained()
	w.agrees()
	if v := value[string](w, `select v from item where id = 1`); v != "new" {
		t.Errorf("item 1 is %q: this test proves nothing", v)
	}
}
