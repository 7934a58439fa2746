package outbox

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// world is a fresh database with backends.
type world struct {
	testing.TB
	pool *pgxpool.Pool
}

// newWorld makes a database with the backends, of one lane each.
func newWorld(tb testing.TB, backends ...string) world {
	tb.Helper()
	w := world{TB: tb, pool: pgtest.New(tb)}
	for _, b := range backends {
		w.addBackend(b, 1)
	}
	return w
}

func (w world) addBackend(name string, lanes int) {
	w.Helper()
	w.ok(pgx.BeginFunc(w.Context(), w.pool, func(tx pgx.Tx) error { return AddBackend(w.Context(), tx, name, "test", lanes) }))
}

func (w world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// exec runs statements without arguments, several if need be.
func (w world) exec(sql string) {
	w.Helper()
	if _, err := w.pool.Exec(w.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
}

// text is the first value of a query, as text; null is empty.
func (w world) text(sql string, args ...any) string {
	w.Helper()
	return text(w, w.pool, sql, args...)
}

func text(tb testing.TB, db DB, sql string, args ...any) string {
	tb.Helper()
	var s *string
	if err := db.QueryRow(tb.Context(), "select x::text from ("+sql+") q (x)", args...).Scan(&s); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
	if s == nil {
		return ""
	}
	return *s
}

// want fails unless the query answers the text.
func (w world) want(want, sql string, args ...any) {
	w.Helper()
	if got := w.text(sql, args...); got != want {
		w.Errorf("%s: got %q, want %q", sql, got, want)
	}
}

// writes logs the keys of kind k in a transaction of their own, and answers its id.
func (w world) writes(keys ...string) uint64 {
	w.Helper()
	t := w.begin()
	t.logs(keys...)
	return t.commit()
}

// transaction is an open one, on a connection of its own.
type transaction struct {
	world
	conn *pgx.Conn
}

func (w world) begin() transaction {
	w.Helper()
	conn := w.connect()
	_, err := conn.Exec(w.Context(), "begin")
	w.ok(err)
	return transaction{w, conn}
}

// connect makes a connection beside the pool, until the end of the test.
func (w world) connect() *pgx.Conn {
	w.Helper()
	conn, err := pgx.ConnectConfig(w.Context(), w.pool.Config().ConnConfig)
	w.ok(err)
	w.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (t transaction) logs(keys ...string) {
	t.Helper()
	_, err := t.conn.Exec(t.Context(), `insert into outbox.log (kind, keys) values ('k', $1)`, keys)
	t.ok(err)
}

// id is the transaction's, which this gives it if it has none.
func (t transaction) id() uint64 {
	t.Helper()
	x, err := parseXid(text(t, t.conn, `select pg_current_xact_id()`))
	t.ok(err)
	return x
}

func (t transaction) commit() uint64 {
	t.Helper()
	id := t.id()
	t.end("commit")
	return id
}

func (t transaction) end(how string) {
	t.Helper()
	_, err := t.conn.Exec(t.Context(), how)
	t.ok(err)
	t.ok(t.conn.Close(t.Context()))
}

// take takes the first lane of a backend, which must be free.
func (w world) take(backend, owner string) *Tenure {
	w.Helper()
	return w.takeFor(Claim{Backend: backend, Owner: owner, Lease: time.Minute, Zombie: time.Hour})
}

func (w world) takeFor(c Claim) *Tenure {
	w.Helper()
	t, err := Take(w.Context(), w.pool, c)
	w.ok(err)
	if t == nil {
		w.Fatalf("lane %d of backend %s is not free", c.Lane, c.Backend)
	}
	return t
}

// expire makes the lease of a backend's lanes run out now.
func (w world) expire(backend string) {
	w.Helper()
	w.exec(fmt.Sprintf(`update outbox.lanes set expires = clock_timestamp() - interval '1 ms' where backend = '%s'`, backend))
}

// page reads a page and answers its keys of kind k, joined.
func (w world) page(r *Reader, pos Position, limit int) (string, *Page) {
	w.Helper()
	p, err := r.Page(w.Context(), pos, limit, nil, func(context.Context, *pgx.Conn, *Page) error { return nil })
	w.ok(err)
	return strings.Join(p.Keys["k"], " "), p
}

// eventually fails unless the query answers true before long; the test goes on when it does.
func (w world) eventually(sql string, args ...any) {
	w.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
		if w.text(sql, args...) == "true" {
			return
		}
		if time.Now().After(end) {
			w.Fatalf("never true: %s", sql)
		}
	}
}

// blocked waits until some statement of the database waits for a lock.
func (w world) blocked() {
	w.Helper()
	w.eventually(`select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')`)
}

// contains says whether the error's text has the words.
func contains(err error, words string) bool {
	return err != nil && strings.Contains(err.Error(), words)
}
