package outbox

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// While a table is being rewritten, a page waits, and then sees its rows. A reader that did not hold the table before
// its snapshot would find the table empty, and every record of the page would be deleted.
func TestB1RewritingAlterDoesNotEmptyThePage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	w.exec("create table app (id int primary key); insert into app select generate_series(1, 5)")
	tenure := w.take("b", "p")
	w.writes("1", "2", "3", "4", "5")
	for _, c := range []struct {
		alter   string
		sources []string
		want    int
	}{
		{"alter table app alter id type bigint", []string{"public.app"}, 5},
		{"truncate app; insert into app select generate_series(1, 5)", []string{"public.app"}, 5},
		{"alter table app alter id type int", nil, 0}, // the damage
	} {
		rows, along := 0, 0
		asked := Question{Kind: "k", SQL: "select id::text from app where id = any(" + AskedKeys(0) + "::int[])", Answer: func(rows pgx.Rows, _ []string) {
			for along = 0; rows.Next(); along++ {
				continue
			}
		}}
		read := func() error {
			_, err := NewReader(w.pool, tenure, c.sources).Page(t.Context(), tenure.Start, 10, []Question{asked}, func(ctx context.Context, conn *pgx.Conn, _ *Page) error {
				return conn.QueryRow(ctx, "select count(*) from app").Scan(&rows)
			})
			return err
		}
		w.ok(read()) // the statements are prepared
		alter := w.begin()
		_, err := alter.conn.Exec(t.Context(), c.alter, pgx.QueryExecModeSimpleProtocol)
		w.ok(err)
		done := make(chan error, 1)
		go func() { done <- read() }()
		w.blocked()
		alter.end("commit")
		w.ok(<-done)
		if rows != c.want || along != c.want {
			t.Errorf("%s, sources %v: the page sees %d rows, and %d along with the log, want %d", c.alter, c.sources, rows, along, c.want)
		}
	}
}

// A page does not queue behind DDL for ever, where it would hold up everybody behind it.
func TestPageGivesUpWaitingForATable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	w.exec("create table app (id int)")
	tenure := w.take("b", "p")
	alter := w.begin()
	_, err := alter.conn.Exec(t.Context(), "lock table app in access exclusive mode")
	w.ok(err)
	_, err = NewReader(w.pool, tenure, []string{"app"}).Page(t.Context(), tenure.Start, 10, nil, nil)
	if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != pgerrcode.LockNotAvailable {
		t.Errorf("got %v, want that the lock is not available", err)
	}
}

// A position may not be taken in a transaction that has written already: its own rows could count as applied.
func TestB3OwnTransactionIsNotSkipped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	tx := w.begin()
	id := tx.id()
	w.exec("create table later ()")
	own, err := Now(t.Context(), tx.conn)
	w.ok(err)
	if !own.Visible(id) {
		t.Fatal("a snapshot does not count its own transaction as visible: this test proves nothing")
	}
	for _, sql := range []string{"select outbox.add_backend('c', 'test')", "select outbox.rebase()"} {
		if _, err := tx.conn.Exec(t.Context(), "savepoint s; "+sql, pgx.QueryExecModeSimpleProtocol); err == nil {
			t.Errorf("%s works in a transaction that has written", sql)
		}
		_, err := tx.conn.Exec(t.Context(), "rollback to s")
		w.ok(err)
	}
	w.ok(AdvanceIdle(t.Context(), tx.conn))
	tx.logs("mine")
	tx.commit()
	tenure := w.take("b", "p")
	if got, _ := w.page(NewReader(w.pool, tenure, nil), tenure.Start, 10); got != "mine" {
		t.Errorf("delivered %q", got)
	}
}

// A page reads its rows and their state in one snapshot, which sees the lease.
func TestPageIsOneSnapshot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	w.exec("create table app (id int); insert into app values (1)")
	tenure := w.take("b", "p")
	w.writes("1")
	_, err := NewReader(w.pool, tenure, []string{"app"}).Page(t.Context(), tenure.Start, 10, nil, func(ctx context.Context, c *pgx.Conn, p *Page) error {
		w.exec("insert into app values (2)")
		if got := text(t, c, "select count(*) from app"); got != "1" {
			t.Errorf("the state has %s rows, want that of the page's snapshot", got)
		}
		if at := text(t, c, "select pg_current_snapshot()"); at != p.Next.At.String() {
			t.Errorf("the state was read at %s, the position will be %s", at, p.Next.At)
		}
		return nil
	})
	w.ok(err)
}

// A page of a tenure whose lease somebody else has taken is refused, the state is not read.
func TestPageOfALostLaneIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	zombie := w.take("b", "zombie")
	w.writes("a")
	w.expire("b")
	w.take("b", "heir")
	w.isLost(zombie, zombie.Start)
	removed := w.take2("c")
	w.ok(RemoveBackend(t.Context(), w.pool, "c"))
	w.isLost(removed, removed.Start)
}

// take2 takes the lane of a new backend.
func (w world) take2(backend string) *Tenure {
	w.Helper()
	w.addBackend(backend, 1)
	return w.take(backend, "p")
}

// What a projection reads has the same text everywhere, whatever the database or the role prefers.
func TestStateHasFixedSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	w.exec(`do $$ begin
 execute format('alter database %I set timezone = ''Asia/Tokyo''', current_database());
 execute format('alter database %I set datestyle = ''German, DMY''', current_database());
 execute format('alter database %I set intervalstyle = ''sql_standard''', current_database());
 execute format('alter database %I set bytea_output = ''escape''', current_database());
 execute format('alter database %I set extra_float_digits = 0', current_database());
 execute format('alter database %I set xmlbinary = ''hex''', current_database());
end $$`)
	w.pool.Reset()
	tenure := w.take("b", "p")
	const values = `select concat_ws(' | ', timestamptz '2026-01-02 03:04:05Z', interval '1 day 2 hours', bytea '\x01ff', (0.1::float8 + 0.2), current_setting('lc_monetary'), current_setting('xmlbinary'))`
	const want = `2026-01-02 03:04:05+00 | P1DT2H | \x01ff | 0.30000000000000004 | C | base64`
	see := func(_ context.Context, c *pgx.Conn) error { //nolint:unparam // as readers call it
		if got := text(t, c, values); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		return nil
	}
	r := NewReader(w.pool, tenure, nil)
	w.ok(r.State(t.Context(), see))
	w.ok(ReadTx(t.Context(), w.pool, nil, func(c *pgx.Conn) error { return see(t.Context(), c) }))
	if got := w.text(values); got == want {
		t.Error("the settings stay after the read transaction, or were never different")
	}
}

// Rows that the reader's role may not see are an error, not missing: they would be deleted in the store.
func TestRowSecurityIsAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	role := strings.Replace(w.pool.Config().ConnConfig.Database, "test_", "reader_", 1)
	w.exec(`create table app (id int); insert into app values (1); alter table app enable row level security;
create role ` + role + `; grant select on app to ` + role)
	w.Cleanup(func() {
		_, _ = w.pool.Exec(context.Background(), "drop owned by "+role+"; drop role "+role, pgx.QueryExecModeSimpleProtocol)
	})
	err := ReadTx(t.Context(), w.pool, nil, func(c *pgx.Conn) error {
		_, err := c.Exec(t.Context(), "set local role "+role)
		w.ok(err)
		var n int
		return c.QueryRow(t.Context(), "select count(*) from app").Scan(&n)
	})
	if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != pgerrcode.InsufficientPrivilege {
		t.Errorf("got %v, want an error", err)
	}
}

// Whatever ends a page early, its connection goes back to the pool without a transaction, and the next page works.
func TestPageCleansUpAfterFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	tenure := w.take("b", "p")
	w.writes("a")
	r, boom := NewReader(w.pool, tenure, nil), errors.New("boom")
	fail := func(state func(context.Context, *pgx.Conn, *Page) error) error {
		_, err := r.Page(t.Context(), tenure.Start, 10, nil, state)
		return err
	}
	if err := fail(func(context.Context, *pgx.Conn, *Page) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	if err := fail(func(ctx context.Context, c *pgx.Conn, _ *Page) error { _, err := c.Exec(ctx, "select 1/0"); return err }); err == nil {
		t.Error("a failed statement is no error")
	}
	if err := fail(func(ctx context.Context, c *pgx.Conn, _ *Page) error { return c.Close(ctx) }); err == nil {
		t.Error("a lost connection is no error")
	}
	if _, err := NewReader(w.pool, tenure, []string{"no_such_table"}).Page(t.Context(), tenure.Start, 10, nil, nil); err == nil || !strings.Contains(err.Error(), "opening a read transaction") {
		t.Errorf("a missing source: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := r.Page(ctx, tenure.Start, 10, nil, func(ctx context.Context, c *pgx.Conn, _ *Page) error {
		cancel()
		_, err := c.Exec(ctx, "select pg_sleep(60)")
		return err
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
	for end, left := time.Now().Add(time.Minute), 1; left > 0; time.Sleep(5 * time.Millisecond) { // the server takes note of a cut connection in its own time
		w.ok(w.pool.QueryRow(t.Context(), "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'").Scan(&left))
		if time.Now().After(end) {
			t.Fatalf("%d transactions are left open", left)
		}
	}
	if got, _ := w.page(r, tenure.Start, 10); got != "a" {
		t.Errorf("after the failures %q is delivered", got)
	}
	for range w.pool.Config().MaxConns + 1 { // none was leaked
		w.ok(fail(func(context.Context, *pgx.Conn, *Page) error { return nil }))
	}
}

// A page carries what the log says of its rows: which kind, for whom, because of whom, since when.
func TestPageCarriesTheRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b", "other")
	tenure := w.take("b", "p")
	first := w.writes("a")
	w.ok(Relog(t.Context(), w.pool, "b", "k", []string{"repaired"}, Cause{}))
	w.ok(Relog(t.Context(), w.pool, "other", "k", []string{"not ours"}, Cause{}))
	w.ok(RelogAll(t.Context(), w.pool, "b", "word", Cause{7, 9}))
	w.exec(`insert into outbox.log (kind, keys, headers) values ('file', '{}', '{"all": true}'), ('k', '{b}', '{"all": false}')`)
	_, p := w.page(NewReader(w.pool, tenure, nil), tenure.Start, 10)
	if diff := cmp.Diff(map[string][]string{"k": {"a", "repaired", "b"}}, p.Keys); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string][]string{"k": {"a", "b"}}, p.Changed); diff != "" {
		t.Error(diff)
	}
	if p.Cause.From != first || p.All["word"] != (Cause{7, 9}) || p.All["file"].From <= first || p.Rows != 5 {
		t.Errorf("%d rows, cause %v, all %v", p.Rows, p.Cause, p.All)
	}
	if age := time.Since(p.Oldest); age < -time.Minute || age > time.Minute {
		t.Errorf("the oldest row is from %v", p.Oldest)
	}
}
