package ast_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/ast"
	_ "github.com/outflow-db/outflow/backends/postgres"
	"github.com/outflow-db/outflow/config"
	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/internal/projection"
)

// ready is the configuration, and a database in which two files are loaded.
func ready(t *testing.T) (*config.Config, *pgxpool.Pool) {
	t.Helper()
	pool := pgtest.New(t)
	c, err := config.Parse("outflow.yaml", ast.Config, func(name string) (string, bool) { return pgtest.URL(t, pool), name == "DATABASE_URL" })
	if err != nil {
		t.Fatal(err)
	}
	file := func(path string) *ast.SourceFile {
		return &ast.SourceFile{
			Repository: "r", Path: path,
			Symbols: []ast.Symbol{{Kind: "type", Name: "T", Qualified: "p.T", Embeddings: []ast.Embedding{
				{Model: "hash-256", Vector: ast.Vector{1}}, {Model: "other", Vector: ast.Vector{1, 2}},
			}}},
			Relations: []ast.Relation{{Type: "contains", Target: ast.Ref{Kind: "type", Qualified: "p.T"}}},
		}
	}
	source := func(yield func(*ast.SourceFile, error) bool) {
		_ = yield(file("a.go"), nil) && yield(file("b.go"), nil)
	}
	if _, err := ast.Load(t.Context(), pool, source, ast.Options{}); err != nil {
		t.Fatal(err)
	}
	return c, pool
}

// keys lists the keys of a kind as the log has them.
func keys(t *testing.T, pool *pgxpool.Pool, kind string) []string {
	t.Helper()
	var list string
	if err := pool.QueryRow(t.Context(), "select list from outbox.kinds where kind = $1", kind).Scan(&list); err != nil {
		t.Fatal(err)
	}
	rows, err := pool.Query(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// Every projection yields the records of the keys that it is asked for, under these very keys, and no others.
func TestProjections(t *testing.T) {
	t.Parallel()
	c, pool := ready(t)
	for _, k := range c.Kinds {
		if _, err := pool.Exec(t.Context(), "select outbox.watch($1::text::regclass, $2)", k.Table, k.Name); err != nil {
			t.Fatal(err)
		}
	}
	records := map[string]int{"file": 2, "symbol": 2, "relation": 2, "embedding": 2} // of four embeddings two are of the model
	for _, p := range c.Projections {
		if _, _, err := projection.Describe(t.Context(), pool, p.Query); err != nil {
			t.Errorf("%s: %v", p.Kind, err)
		}
		all := keys(t, pool, p.Kind)
		got := answer(t, pool, p.Query, all)
		if p.Kind == "embedding" {
			all = slices.DeleteFunc(all, func(key string) bool { return strings.Contains(key, "other") })
		}
		if diff := cmp.Diff(all, got); diff != "" || len(got) != records[p.Kind] {
			t.Errorf("%s (-want +got):\n%s", p.Kind, diff)
		}
		if got := answer(t, pool, p.Query, all[:1]); len(got) != 1 || got[0] != all[0] {
			t.Errorf("%s: asked for %s, got %v", p.Kind, all[0], got)
		}
	}
}

// answer is the keys of the records that a projection yields.
func answer(t *testing.T, pool *pgxpool.Pool, query string, keys []string) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), "select key from ("+query+") q order by key collate \"C\"", keys)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Every projection finds its records by the index of the key, in a plan for any number of keys as well.
func TestProjectionPlans(t *testing.T) {
	t.Parallel()
	c, pool := ready(t)
	indexes := map[string]string{"file": "files_pkey", "symbol": "symbols_pkey", "relation": "relations_pkey", "embedding": "embeddings_pkey"}
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for _, sql := range []string{"set plan_cache_mode = force_generic_plan", "set enable_seqscan = off"} { // the tables are tiny
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range c.Projections {
		var plan json.RawMessage
		if _, err := conn.Exec(t.Context(), "prepare p (text[]) as "+p.Query); err != nil {
			t.Fatal(err)
		}
		if err := conn.QueryRow(t.Context(), "explain (format json) execute p ('{}')").Scan(&plan); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "deallocate p"); err != nil {
			t.Fatal(err)
		}
		if text := string(plan); !strings.Contains(text, `"`+indexes[p.Kind]+`"`) || !strings.Contains(text, "Index Cond") {
			t.Errorf("%s: %s", p.Kind, text)
		}
	}
}
