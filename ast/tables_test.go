package ast

import (
	"strings"
	"testing"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"
)

// What belongs to a file goes with it, and what belongs to a symbol with that, into the log as well. The next load
// brings it back.
func TestRowsFollow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.watch()
	w.loads(Options{}, goFile("a.go"), goFile("b.go"))
	w.logged()
	w.exec("delete from ast.files where path = 'a.go'")
	delete(w.model, "a.go")
	w.same()
	logged := w.logged()
	for kind, want := range map[string]int{"file": 1, "symbol": 4, "relation": 4, "embedding": 1} {
		if got := len(logged[kind]); got != want {
			t.Errorf("%d keys of kind %s are in the log, want %d", got, kind, want)
		}
	}
	w.exec("delete from ast.symbols where name = 'M'")
	b := w.model["b.go"]
	b.Symbols = append(b.Symbols[:1:1], b.Symbols[2:]...)
	b.Relations = append(b.Relations[:2:2], b.Relations[3])
	w.same()
	w.loads(Options{}, goFile("b.go"))
}

// Truncated symbols take embeddings and their relations along, but not those of files; truncated files take all.
func TestTruncate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.loads(Options{}, goFile("a.go"))
	w.exec("truncate ast.symbols")
	a := w.model["a.go"]
	a.Symbols, a.Relations = nil, []Relation{a.Relations[0], a.Relations[3]}
	w.same()
	w.loads(Options{}, goFile("a.go"))
	w.exec("truncate ast.files cascade")
	clear(w.model)
	w.same()
	w.loads(Options{}, goFile("a.go"))
}

// What identifies a row cannot change under its id; the rest can.
func TestIdentityStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.loads(Options{}, goFile("a.go"))
	for _, change := range []string{
		"ast.files set path = 'b.go'", "ast.files set repository = 's'", "ast.symbols set kind = 'class'",
		"ast.symbols set qualified = 'q'", "ast.symbols set ordinal = 7", "ast.symbols set id = gen_random_uuid()",
	} {
		_, err := w.pool.Exec(t.Context(), "update "+change)
		pg, ok := err.(*pgconn.PgError) //nolint:errorlint // it is PostgreSQL's own
		if !ok || pg.Code != pgerrcode.IntegrityConstraintViolation || !strings.Contains(pg.Message, "cannot change") {
			t.Errorf("%s: %v", change, err)
		}
	}
	w.same()
	w.exec("update ast.files set path = path, language = 'c'; update ast.symbols set kind = kind, doc = 'd'")
}

// A vector and its number of dimensions agree.
func TestVectorLength(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.loads(Options{}, goFile("a.go"))
	if _, err := w.pool.Exec(t.Context(), "update ast.embeddings set vector = '{1}'"); err == nil {
		t.Error("a vector of another length was taken")
	}
}
