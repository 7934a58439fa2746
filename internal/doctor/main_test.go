package doctor

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/postgres"
	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// world is a database in which table item is projected into a read model, and nothing is wrong but that no worker runs.
type world struct {
	testing.TB
	pool *pgxpool.Pool
	c    jobs.Config
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{TB: t, pool: pgtest.New(t)}
	w.exec(`create table item (id int primary key, owner int, v text)`)
	w.c = jobs.Config{
		Pool:     w.pool,
		Kinds:    []outbox.Kind{{Name: "item", Table: "item"}},
		Backends: []backends.Config{{Name: "main", Type: postgres.Type, Settings: map[string]any{"url": pgtest.URL(t, w.pool)}}},
		Projections: []jobs.Projection{
			{Kind: "item", Backend: "main", Target: "items", Query: `select id as key, v from item where id = any($1::text[]::int[])`},
		},
	}
	w.ok(jobs.Setup(t.Context(), w.c))
	return w
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) exec(sql string) {
	w.Helper()
	if _, err := w.pool.Exec(w.Context(), sql); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
}

// begin opens a transaction on a connection of its own, until the end of the test.
func (w *world) begin() pgx.Tx {
	w.Helper()
	tx, err := w.pool.Begin(w.Context())
	w.ok(err)
	w.Cleanup(func() { _ = tx.Rollback(w.Context()) })
	return tx
}

// finds fails unless exactly one finding of the check has the level and all the parts, in its text or its advice.
func (w *world) finds(found []Finding, name string, level Level, parts ...string) {
	w.Helper()
	n := 0
	for _, f := range found {
		has := func(part string) bool { return strings.Contains(f.Text+"\n"+f.Advice, part) }
		if f.Check == name && f.Level == level && !slices.ContainsFunc(parts, func(p string) bool { return !has(p) }) {
			n++
		}
	}
	if n != 1 {
		w.Errorf("%d findings of check %s are a %s with %q, want one: %+v", n, name, level, parts, of(found, name))
	}
}

func of(found []Finding, name string) (list []Finding) {
	for _, f := range found {
		if f.Check == name {
			list = append(list, f)
		}
	}
	return list
}
