package ast

import (
	"context"
	"flag"
	"fmt"
	"iter"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/internal/pgtest"
)

func TestMain(m *testing.M) {
	// A check of the costliest property loads several times into PostgreSQL. The command line can ask for more.
	if err := flag.Set("rapid.checks", "30"); err != nil {
		panic(err)
	}
	os.Exit(pgtest.Main(m))
}

// world is a database with the model's tables, and what loads have put there as the test sees it.
type world struct {
	testing.TB
	pool  *pgxpool.Pool
	model map[string]*SourceFile // by path
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	return &world{TB: tb, pool: pgtest.New(tb), model: map[string]*SourceFile{}}
}

// loads loads files, all of them good, and expects the tables to be what they say.
func (w *world) loads(o Options, files ...*SourceFile) *Result {
	w.Helper()
	r, err := Load(w.Context(), w.pool, these(files...), o)
	if err != nil {
		w.Fatal(err)
	}
	for _, bad := range r.Bad {
		w.Errorf("a good file was refused: %v", bad)
	}
	for _, f := range files {
		w.model[f.Path] = f
	}
	w.same()
	return r
}

// same expects the tables to be what the model says.
func (w *world) same() {
	w.Helper()
	if diff := cmp.Diff(statedBy(w.model), w.tables()); diff != "" {
		w.Fatalf("the tables are not what was loaded (-want +got):\n%s", diff)
	}
}

func these(files ...*SourceFile) iter.Seq2[*SourceFile, error] {
	return func(yield func(*SourceFile, error) bool) {
		for _, f := range files {
			if !yield(f, nil) {
				return
			}
		}
	}
}

// content is the rows of the tables, as text, by table.
type content map[string][]string

// statedBy is the rows that files amount to.
func statedBy(files map[string]*SourceFile) content {
	c := content{}
	add := func(table, format string, args ...any) { c[table] = append(c[table], fmt.Sprintf(format, args...)) }
	for _, f := range files {
		id := FileID(f.Repository, f.Path)
		text := "none"
		if f.Content != nil {
			text = fmt.Sprintf("%q", *f.Content)
		}
		add("files", "%s %q %q %q %d %d %s", id, f.Repository, f.Path, f.Language, f.Bytes, f.Lines, text)
		for _, s := range f.Symbols {
			symbol := SymbolID(id, s.Kind, s.Qualified, s.Ordinal)
			add("symbols", "%s %s %q %q %q %d %q %q %d %d", symbol, id, s.Kind, s.Name, s.Qualified, s.Ordinal, s.Signature, s.Doc, s.LineStart, s.LineEnd)
			for _, e := range s.Embeddings {
				add("embeddings", "%s %q %d %v", symbol, e.Model, len(e.Vector), []float32(e.Vector))
			}
		}
		for _, r := range f.Relations {
			add("relations", "%s %q %s", r.Source.id(f, id), r.Type, r.Target.id(f, id))
		}
	}
	for _, rows := range c {
		slices.Sort(rows)
	}
	return c
}

// tables is the rows that are there.
func (w *world) tables() content {
	w.Helper()
	c := content{}
	read(w, c, "files", "select id, repository, path, language, bytes, lines, content from ast.files", func(row pgx.CollectableRow) (string, error) {
		var id uuid.UUID
		var repository, path, language string
		var size, lines int
		var content *string
		err := row.Scan(&id, &repository, &path, &language, &size, &lines, &content)
		text := "none"
		if content != nil {
			text = fmt.Sprintf("%q", *content)
		}
		return fmt.Sprintf("%s %q %q %q %d %d %s", id, repository, path, language, size, lines, text), err
	})
	read(w, c, "symbols", "select id, file_id, "+"kind, name, qualified, ordinal, signature, doc, line_start, line_end from ast.symbols", func(row pgx.CollectableRow) (string, error) {
		var id, file uuid.UUID
		var kind, name, qualified, signature, doc string
		var ordinal, start, end int
		err := row.Scan(&id, &file, &kind, &name, &qualified, &ordinal, &signature, &doc, &start, &end)
		return fmt.Sprintf("%s %s %q %q %q %d %q %q %d %d", id, file, kind, name, qualified, ordinal, signature, doc, start, end), err
	})
	read(w, c, "embeddings", "select symbol_id, model, dimensions, vector from ast.embeddings", func(row pgx.CollectableRow) (string, error) {
		var id uuid.UUID
		var model string
		var dimensions int
		var vector []float32
		err := row.Scan(&id, &model, &dimensions, &vector)
		return fmt.Sprintf("%s %q %d %v", id, model, dimensions, vector), err
	})
	read(w, c, "relations", "select source, type, target from ast.relations", func(row pgx.CollectableRow) (string, error) {
		var source, target uuid.UUID
		var typ string
		err := row.Scan(&source, &typ, &target)
		return fmt.Sprintf("%s %q %s", source, typ, target), err
	})
	return c
}

func read(w *world, c content, table, sql string, text pgx.RowToFunc[string]) {
	w.Helper()
	rows, err := w.pool.Query(w.Context(), sql)
	if err != nil {
		w.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, text)
	if err != nil {
		w.Fatal(err)
	}
	if len(list) > 0 {
		slices.Sort(list)
		c[table] = list
	}
}

// exec runs statements without arguments, several if need be.
func (w *world) exec(sql string) {
	w.Helper()
	if _, err := w.pool.Exec(w.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
}

// number is what a query answers.
func (w *world) number(sql string, args ...any) (n int64) {
	w.Helper()
	if err := w.pool.QueryRow(w.Context(), sql, args...).Scan(&n); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
	return n
}

// watch watches the model's tables as its configuration does.
func (w *world) watch() {
	w.Helper()
	w.exec(`select outbox.watch('ast.files', 'file'), outbox.watch('ast.symbols', 'symbol'),
	               outbox.watch('ast.relations', 'relation'), outbox.watch('ast.embeddings', 'embedding')`)
}

// logged takes the changes out of the log: for each kind, how often each key is there.
func (w *world) logged() map[string]map[string]int {
	w.Helper()
	rows, err := w.pool.Query(w.Context(), "with l as (delete from outbox.log returning kind, keys) select kind, unnest(keys) from l")
	if err != nil {
		w.Fatal(err)
	}
	changes := map[string]map[string]int{}
	var kind, key string
	if _, err := pgx.ForEachRow(rows, []any{&kind, &key}, func() error {
		if changes[kind] == nil {
			changes[kind] = map[string]int{}
		}
		changes[kind][key]++
		return nil
	}); err != nil {
		w.Fatal(err)
	}
	return changes
}

// goFile is a small file with everything in it.
func goFile(path string) *SourceFile {
	text := "package p\n"
	return &SourceFile{
		Repository: "r", Path: path, Language: "go", Bytes: 10, Lines: 1, Content: &text,
		Symbols: []Symbol{
			{Kind: "type", Name: "T", Qualified: "p.T", Signature: "type T struct", Doc: "T is a type.", LineStart: 3, LineEnd: 5},
			{Kind: "method", Name: "M", Qualified: "p.T.M", Embeddings: []Embedding{{Model: "m", Vector: Vector{1, 0.5}}}},
			{Kind: "function", Name: "init", Qualified: "p.init"},
			{Kind: "function", Name: "init", Qualified: "p.init", Ordinal: 1},
		},
		Relations: []Relation{
			{Type: "contains", Target: Ref{Kind: "type", Qualified: "p.T"}},
			{Source: Ref{Kind: "type", Qualified: "p.T"}, Type: "contains", Target: Ref{Kind: "method", Qualified: "p.T.M"}},
			{Source: Ref{Kind: "method", Qualified: "p.T.M"}, Type: "calls", Target: Ref{Path: "other.go", Kind: "function", Qualified: "q.F"}},
			{Type: "imports", Target: Ref{Repository: "elsewhere", Path: "x.go"}},
		},
	}
}

func background(tb testing.TB) context.Context {
	tb.Helper()
	return context.WithoutCancel(tb.Context())
}
