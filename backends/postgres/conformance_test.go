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
func role(t testing.TB) (address *url.URL) {
	t.Helper()
	pool := pgtest.Empty(t)
	u, err := url.Parse(pgtest.URL(t, pool))
	if err != nil {
		t.Fatal(err)
	}
	name := "reader_" + u.Path[1:]
	exec(t, pool, "create role "+name+" login password 'the secret'")
	exec(t, pool, "grant create on database "+u.Path[1:]+" to "+name)
	t.Cleanup(func() {
		exec(t, pool, "drop owned by "+name)
		exec(t, pool, "drop role "+name)
	})
	u.User = url.UserPassword(name, "the secret")
	return u
}

func exec(t testing.TB, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	ctx := t.Context()
	if ctx.Err() != nil {
		ctx = context.WithoutCancel(ctx)
	}
	if _, err := pool.Exec(ctx, sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func store(t testing.TB, settings map[string]any) *backend {
	t.Helper()
	b, err := open(backends.Config{Name: "model", Type: Type, Settings: settings})
	if err != nil {
		t.Fatal(err)
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
		Open: func(t testing.TB) backends.Backend {
			return store(t, map[string]any{"url": address.String(), "schema": "Store " + rand.Text()})
		},
		Settings: func(shape backendtest.Shape) (map[string]any, bool) { return shapeSettings[shape], true },
		Poison: func(r backends.Record) backends.Record {
			r.Raw = [][]byte{rawVector([]float32{1, 2, 3})}
			return r
		},
		PoisonShape: backendtest.Vector,
		Address:     address.Host,
		Through: func(t testing.TB, proxy string) backends.Backend {
			through := *address
			through.Host = proxy
			return store(t, map[string]any{"url": through.String(), "schema": "Store " + rand.Text()})
		},
		Denied: func(t testing.TB) backends.Backend {
			return store(t, map[string]any{"url": address.String(), "password": "wrong"})
		},
		Unreachable: func(t testing.TB) backends.Backend {
			return store(t, map[string]any{"url": "postgres://nobody@127.0.0.1:1/none"})
		},
		Tamper: func(t testing.TB, b backends.Backend, target backends.Target, key string) {
			p := b.(*backend)
			m, err := p.model(target)
			if err != nil {
				t.Fatal(err)
			}
			exec(t, p.pool, "update "+m.table+" set body = body || '{\"name\": \"other\"}' where key = $1", key)
		},
	})
}
