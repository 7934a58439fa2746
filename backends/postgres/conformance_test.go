package postgres

import (
	"context"
	"crypto/rand"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/backendtest"
	"github.com/outflow-db/outflow/internal/pgtest"
)

// role is what a role needs: to connect, and to make one schema.
func role(tb testing.TB) (address *url.URL) {
	tb.Helper()
	pool := pgtest.Empty(tb)
	u, err := url.Parse(pgtest.URL(tb, pool))
	if err != nil {
		tb.Fatal(err)
	}
	name := "reader_" + u.Path[1:]
	exec(tb, pool, "create role "+name+" login password 'the secret'")
	exec(tb, pool, "grant create on database "+u.Path[1:]+" to "+name)
	tb.Cleanup(func() {
		exec(tb, pool, "drop owned by "+name)
		exec(tb, pool, "drop role "+name)
	})
	u.User = url.UserPassword(name, "the secret")
	return u
}

func exec(tb testing.TB, pool *pgxpool.Pool, sql string, args ...any) {
	tb.Helper()
	ctx := tb.Context()
	if ctx.Err() != nil {
		ctx = context.WithoutCancel(ctx)
	}
	if _, err := pool.Exec(ctx, sql, args...); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}

func store(tb testing.TB, settings map[string]any) *backend {
	tb.Helper()
	b, err := open(tb.Context(), backends.Config{Name: "model", Type: Type, Settings: settings})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

var shapeSettings = map[backendtest.Shape]map[string]any{
	backendtest.Plain:  {"text": []any{"name", "note"}},
	backendtest.Vector: {"vector": "embedding", "dimensions": 4},
	backendtest.Edge:   {"edge": map[string]any{"from": "src", "to": "dst", "type": "typ"}},
	backendtest.Types:  {"text": []any{"c_text", "c_jsonb"}, "vector": ""},
}

// The backend keeps its promises, in a database of its own, with a role that may do no more than it needs.
func TestConformance(t *testing.T) {
	t.Parallel()
	address := role(t)
	backendtest.Run(t, backendtest.Suite{
		Source: pgtest.Empty,
		Open: func(tb testing.TB) backends.Backend {
			tb.Helper()
			return store(tb, map[string]any{"url": address.String(), "schema": "Store " + rand.Text()})
		},
		Settings: func(shape backendtest.Shape) (map[string]any, bool) { return shapeSettings[shape], true },
		Poison: func(r backends.Record) backends.Record {
			r.Raw = [][]byte{rawVector([]float32{1, 2, 3})}
			return r
		},
		PoisonShape: backendtest.Vector,
		Address:     address.Host,
		Through: func(tb testing.TB, proxy string) backends.Backend {
			tb.Helper()
			through := *address
			through.Host = proxy
			return store(tb, map[string]any{"url": through.String(), "schema": "Store " + rand.Text()})
		},
		Denied: func(tb testing.TB) backends.Backend {
			tb.Helper()
			return store(tb, map[string]any{"url": address.String(), "password": "wrong"})
		},
		Unreachable: func(tb testing.TB) backends.Backend {
			tb.Helper()
			return store(tb, map[string]any{"url": "postgres://nobody@127.0.0.1:1/none"})
		},
		Tamper: func(tb testing.TB, b backends.Backend, target backends.Target, key string) {
			tb.Helper()
			p := b.(*backend)
			m, err := p.model(target)
			if err != nil {
				tb.Fatal(err)
			}
			exec(tb, p.pool, "update "+m.table+" set body = body || '{\"name\": \"other\"}' where key = $1", key)
		},
	})
}
