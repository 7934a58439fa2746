// Package producers is what the tests of example producers have in common: a shop whose orders are watched, and a role
// that has a writer's rights.
package producers

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/internal/pgtest"
)

// World is a database in which a producer runs.
type World struct {
	tb   testing.TB
	pool *pgxpool.Pool
	role string
}

// New makes a database with table shop.orders(id, title), watched as kind order, and a role that may write it and has
// outbox.grant_writer. Both are gone at the end of the test.
func New(tb testing.TB) *World {
	tb.Helper()
	w := &World{tb: tb, pool: pgtest.New(tb)}
	w.role = "producer_" + w.pool.Config().ConnConfig.Database
	w.exec(`create role ` + w.role + ` login password 'secret'`)
	tb.Cleanup(func() { w.exec(`drop owned by ` + w.role + `; drop role ` + w.role) })
	w.exec(`create schema shop; create table shop.orders (id int primary key, title text); select outbox.watch('shop.orders', 'order');
		grant usage on schema shop to ` + w.role + `; grant select, insert, update, delete on shop.orders to ` + w.role + `;
		select outbox.grant_writer('` + w.role + `')`)
	return w
}

func (w *World) exec(sql string) {
	w.tb.Helper()
	if _, err := w.pool.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		w.tb.Fatalf("%s: %v", sql, err)
	}
}

// URL is the database as the role reaches it. It holds the password.
func (w *World) URL() string {
	w.tb.Helper()
	u, err := url.Parse(pgtest.URL(w.tb, w.pool))
	if err != nil {
		w.tb.Fatal(err)
	}
	u.User = url.UserPassword(w.role, "secret")
	return u.String()
}

// Run runs statements as the role.
func (w *World) Run(sql string) {
	w.tb.Helper()
	conn, err := pgx.Connect(w.tb.Context(), w.URL())
	if err != nil {
		w.tb.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(w.tb.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		w.tb.Fatal(err)
	}
}

// Logged wants these changes in the log, in its order: "order:1,2 note:1".
func (w *World) Logged(want string) { w.tb.Helper(); w.log(want, "true") }

// Traced wants these changes in the log with a trace.
func (w *World) Traced(want string) {
	w.tb.Helper()
	w.log(want, "headers->>'traceparent' ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-01$'")
}

func (w *World) log(want, which string) {
	w.tb.Helper()
	w.want(want, `select string_agg(kind || ':' || (select string_agg(k, ',' order by k) from unnest(keys) k), ' ' order by tx, id) from outbox.log where `+which)
}

// Records wants these keys and bodies in outbox.records.
func (w *World) Records(want ...string) {
	w.tb.Helper()
	w.want(strings.Join(want, ", "), `select string_agg(key || ' ' || body, ', ' order by key) from outbox.records`)
}

func (w *World) want(want, query string) {
	w.tb.Helper()
	var got *string
	if err := w.pool.QueryRow(w.tb.Context(), query).Scan(&got); err != nil {
		w.tb.Fatal(err)
	}
	if got == nil || *got != want {
		w.tb.Errorf("%s: got %v, want %s", query, got, want)
	}
}
