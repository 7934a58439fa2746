package ast

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Loading makes the tables what the files say, counts what it did, and leaves alone what has not changed.
func TestLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.loads(Options{ID: "first"}, goFile("a.go"), goFile("b.go"))
	one := func(inserted, updated, deleted, unchanged int64) Counts {
		return Counts{inserted, updated, deleted, unchanged}
	}
	want := Totals{one(2, 0, 0, 0), one(8, 0, 0, 0), one(8, 0, 0, 0), one(2, 0, 0, 0)}
	if diff := cmp.Diff(want, r.Totals); diff != "" || r.ID != "first" || r.Batches != 1 || len(r.Tokens) != 1 {
		t.Errorf("%+v\n%s", r, diff)
	}

	a := goFile("a.go")
	a.Bytes = 11                                                   // the file is updated
	a.Symbols[0].Doc = "Another."                                  // one symbol updated
	a.Symbols[1].Embeddings[0].Vector = Vector{2, 3}               // one embedding updated
	a.Symbols = a.Symbols[:3]                                      // one symbol deleted
	a.Relations = append(a.Relations[1:], Relation{Type: "likes"}) // one deleted, one inserted
	r = w.loads(Options{ID: "second"}, a, goFile("b.go"))
	want = Totals{one(0, 1, 0, 1), one(0, 1, 1, 6), one(1, 0, 1, 7), one(0, 1, 0, 1)}
	if diff := cmp.Diff(want, r.Totals); diff != "" {
		t.Error(diff)
	}
	if n := w.number("select count(*) from ast.loaded where load = 'second'"); n != 2 {
		t.Errorf("%d files are noted as those of the second load", n)
	}
}

// An empty load and a file with nothing in it are no trouble.
func TestLoadNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if r := w.loads(Options{}); r.Batches != 0 || r.ID == "" {
		t.Errorf("%+v", r)
	}
	w.loads(Options{}, &SourceFile{Repository: "r", Path: "a"})
	w.loads(Options{Recheck: true}, &SourceFile{Repository: "r", Path: "a"})
}

// Whatever is loaded in whatever order and batches, the tables are what was said last, and the log has exactly
// the keys whose rows changed, each once a table; so nothing when nothing did.
func TestLoadsAreExact(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.watch()
	paths := []string{"a.go", "b.go", "c.go"}
	rapid.Check(t, func(t *rapid.T) {
		w.exec("delete from ast.files")
		clear(w.model)
		w.logged()
		for range rapid.IntRange(1, 4).Draw(t, "loads") {
			before := statedBy(w.model)
			o := Options{BatchFiles: rapid.IntRange(1, 3).Draw(t, "batch"), Parallel: rapid.IntRange(1, 2).Draw(t, "parallel"), Recheck: rapid.Bool().Draw(t, "recheck")}
			var files []*SourceFile
			for _, p := range rapid.SliceOf(rapid.SampledFrom(paths)).Draw(t, "paths") {
				files = append(files, goodFile(p).Draw(t, "file"))
			}
			repeated := len(files) > 3 || len(files) != len(slices.Compact(slices.Sorted(slices.Values(pathsOf(files)))))
			w.loads(o, files...)
			checkLog(t, before, statedBy(w.model), w.logged(), repeated)
		}
	})
}

func pathsOf(files []*SourceFile) (paths []string) {
	for _, f := range files {
		paths = append(paths, f.Path)
	}
	return paths
}

// checkLog compares what was logged with how the rows differ. A file that came more than once may have been in
// between what it is not now.
func checkLog(t *rapid.T, before, after content, logged map[string]map[string]int, repeated bool) {
	for table, kind := range map[string]string{"files": "file", "symbols": "symbol", "relations": "relation", "embeddings": "embedding"} {
		changed := map[string]bool{}
		for _, pair := range [][2][]string{{before[table], after[table]}, {after[table], before[table]}} {
			for _, row := range pair[0] {
				if _, found := slices.BinarySearch(pair[1], row); !found {
					changed[keyOf(table, row)] = true
				}
			}
		}
		for key := range changed {
			if logged[kind][key] == 0 {
				t.Fatalf("%s %s changed and is not in the log", kind, key)
			}
		}
		for key, n := range logged[kind] {
			if !repeated && (!changed[key] || n > 1) {
				t.Fatalf("%s %s is %d times in the log; changed: %v", kind, key, n, changed[key])
			}
		}
	}
}

// keyOf is the key of a row as the log has it.
func keyOf(table, row string) string {
	parts := strings.SplitN(row, " ", 3)
	switch table {
	case "relations":
		return fmt.Sprintf(`["%s", %s, "%s"]`, parts[0], parts[1], parts[2])
	case "embeddings":
		return fmt.Sprintf(`["%s", %s]`, parts[0], parts[1])
	default:
		return parts[0]
	}
}

// Loading the same again does nothing but note the load; with Recheck it heals what others did to the rows.
func TestRecheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.watch()
	files := []*SourceFile{goFile("a.go"), goFile("b.go")}
	w.loads(Options{}, files...)
	w.logged()
	w.loads(Options{}, files...)
	w.loads(Options{Recheck: true}, files...)
	if log := w.logged(); len(log) > 0 {
		t.Errorf("nothing changed, and the log has %v", log)
	}
	w.exec(`update ast.symbols set doc = 'x'; delete from ast.relations where type = 'calls'; delete from ast.embeddings;
	        insert into ast.symbols select gen_random_uuid(), id, 'type', 'X', 'X' from ast.files`)
	r, err := Load(t.Context(), w.pool, these(files...), Options{})
	if err != nil || r.Symbols.Unchanged != 8 {
		t.Fatalf("a file whose digest is the same was looked at: %v %+v", err, r)
	}
	r = w.loads(Options{Recheck: true}, files...)
	if want := (Counts{0, 8, 2, 0}); r.Symbols != want || r.Relations.Inserted != 2 || r.Embeddings.Inserted != 2 {
		t.Errorf("%+v", r.Totals)
	}
}

// A bad file is reported and the others are loaded, wherever it is found bad: by the source, by the checks, by
// the database.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`alter table ast.symbols add check (doc <> 'poison');
	        insert into ast.files (id, repository, path) values (gen_random_uuid(), 'r', 'taken.go')`)
	poison := goFile("poison.go")
	poison.Symbols[0].Doc, poison.Line = "poison", 3
	source := func(yield func(*SourceFile, error) bool) {
		_ = yield(goFile("a.go"), nil) && yield(nil, &BadFile{Line: 2, Problems: []string{"no file"}}) && yield(poison, nil) &&
			yield(&SourceFile{Repository: "r"}, nil) && yield(goFile("taken.go"), nil) && yield(goFile("b.go"), nil)
	}
	r, err := Load(t.Context(), w.pool, source, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range r.Bad {
		got = append(got, b.Error())
	}
	slices.Sort(got)
	want := []string{
		`file "r poison.go"`, `file "r taken.go": repository and path are in ast.files with another id than ` + FileID("r", "taken.go").String(),
		`file "r": path: missing`, `line 2: no file`,
	}
	want[0] = `line 3: file "r poison.go": copying to ast.symbols: ERROR: new row for relation "symbols" violates check constraint "symbols_doc_check" (SQLSTATE 23514)`
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if r.Refused != 4 || r.Files.Inserted != 2 {
		t.Errorf("%+v", r)
	}
	delete(w.model, "")
	w.exec("delete from ast.files where path = 'taken.go'")
	for _, p := range []string{"a.go", "b.go"} {
		w.model[p] = goFile(p)
	}
	w.same()
}

// Bad files go to the caller who asks for them, and progress is told after each batch.
func TestProgress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var bad []*BadFile
	var told []Progress
	o := Options{
		BatchFiles: 1, Parallel: 1,
		Bad:      func(b *BadFile) { bad = append(bad, b) },
		Progress: func(p Progress) { told = append(told, p) },
	}
	r, err := Load(t.Context(), w.pool, these(&SourceFile{}, goFile("a.go"), goFile("b.go")), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(bad) != 1 || len(r.Bad) != 0 || r.Refused != 1 {
		t.Errorf("%v %+v", bad, r)
	}
	if len(told) != 2 || told[0].Files != 1 || told[1].Files != 2 || told[1].Bad != 1 || told[1].Batch.Symbols.Inserted != 4 || told[1].Batch.Time <= 0 {
		t.Errorf("%+v", told)
	}
}

// A file bigger than a batch is a batch of its own, and batches end when they are full of rows or bytes.
func TestBatchRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var sizes []int64
	o := Options{BatchRows: 20, Parallel: 1, Progress: func(p Progress) { sizes = append(sizes, p.Batch.Files.Total()) }}
	big := goFile("big.go")
	for i := range 30 {
		big.Symbols = append(big.Symbols, Symbol{Kind: "var", Name: "v", Qualified: "p.v", Ordinal: i})
	}
	w.loads(o, goFile("a.go"), goFile("b.go"), goFile("c.go"), big, goFile("d.go")) // 9 rows each
	if diff := cmp.Diff([]int64{2, 1, 1, 1}, sizes); diff != "" {
		t.Error(diff)
	}
	sizes = nil
	text := strings.Repeat("x", maxBytes/2)
	var large []*SourceFile
	for i := range 3 {
		large = append(large, &SourceFile{Repository: "r", Path: fmt.Sprintf("%d.txt", i), Content: &text})
	}
	if _, err := Load(t.Context(), w.pool, these(large...), o); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{2, 1}, sizes); diff != "" {
		t.Error(diff)
	}
}

// An error of the source ends the load; what is committed stays and is told.
func TestSourceFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	broken := errors.New("broken")
	source := func(yield func(*SourceFile, error) bool) {
		_ = yield(goFile("a.go"), nil) && yield(goFile("b.go"), nil) && yield(goFile("c.go"), nil)
		yield(nil, broken)
	}
	r, err := Load(t.Context(), w.pool, source, Options{BatchFiles: 1, Parallel: 1})
	if !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	if n := w.number("select count(*) from ast.files"); n != r.Files.Inserted || n == 0 {
		t.Errorf("%d files are there, %d told", n, r.Files.Inserted)
	}
}

// A load that is cancelled or loses its database fails, and does not hang; what it was doing leaves nothing.
func TestLoadEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	endless := func(yield func(*SourceFile, error) bool) {
		for i := 0; yield(goFile(fmt.Sprintf("%d.go", i)), nil); i++ {
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Load(ctx, w.pool, endless, Options{BatchFiles: 2, Progress: func(Progress) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	badAlways := func(yield func(*SourceFile, error) bool) {
		for yield(&SourceFile{}, nil) && yield(nil, &BadFile{}) {
		}
	}
	ctx, cancel = context.WithCancel(t.Context())
	_, err = Load(ctx, w.pool, badAlways, Options{Bad: func(*BadFile) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled among bad files: %v", err)
	}
	w.exec("alter table ast.loaded rename to lost")
	_, err = Load(t.Context(), w.pool, endless, Options{})
	if err == nil || !strings.Contains(err.Error(), "ast.loaded") {
		t.Errorf("without its tables: %v", err)
	}
	w.whole()
}

// whole expects every file that is there to have all its rows.
func (w *world) whole() {
	w.Helper()
	clear(w.model)
	for _, row := range w.tables()["files"] {
		var id, repository, path string
		if _, err := fmt.Sscanf(row, "%s %q %q", &id, &repository, &path); err != nil {
			w.Fatal(err)
		}
		w.model[path] = goFile(path)
	}
	w.same()
}

// A connection that breaks in the middle of a load leaves whole batches only, and loading again goes on.
func TestBrokenConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var files []*SourceFile
	for i := range 40 {
		files = append(files, goFile(fmt.Sprintf("%d.go", i)))
	}
	killed := false
	o := Options{BatchFiles: 4, Progress: func(p Progress) {
		if p.Files >= 16 && !killed {
			killed = true
			_, _ = w.pool.Exec(background(t), "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
		}
	}}
	if _, err := Load(t.Context(), w.pool, these(files...), o); err == nil && !killed {
		t.Fatal("nothing was killed")
	}
	w.whole()
	r := w.loads(Options{}, files...)
	if r.Files.Total() != 40 || r.Files.Unchanged < 16 || r.Files.Updated > 0 {
		t.Errorf("%+v", r.Totals)
	}
}

// If a file comes twice, the later one wins, however the batches run.
func TestLaterFileWins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.02); return null; end $$;
	        create trigger slow after insert on ast.files for each statement execute function slow()`)
	var files []*SourceFile
	for i := range 12 {
		f := goFile("a.go")
		f.Bytes, f.Symbols[0].Doc = int64(i), fmt.Sprint(i)
		files = append(files, f, goFile(fmt.Sprintf("%d.go", i)))
	}
	w.loads(Options{BatchFiles: 3, Parallel: 4}, files...)
}

// Loads of the same files at the same time follow one another: each file is in the end as one of them says,
// with all its rows.
func TestLoadsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paths := []string{"a.go", "b.go", "c.go", "d.go", "e.go", "f.go"}
	version := func(path string, n int) *SourceFile {
		f := goFile(path)
		f.Bytes = int64(n)
		for i := range n {
			f.Symbols = append(f.Symbols, Symbol{Kind: "var", Name: "v", Qualified: fmt.Sprintf("p.v%d", i)})
		}
		return f
	}
	errs := make(chan error)
	for n := range 4 {
		go func() {
			var files []*SourceFile
			for i := range 30 {
				files = append(files, version(paths[(i*(n+1)+n)%len(paths)], n)) // each in another order
			}
			_, err := Load(t.Context(), w.pool, these(files...), Options{BatchFiles: 4, Recheck: n%2 == 0})
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	for _, path := range paths {
		w.model[path] = version(path, int(w.number("select bytes from ast.files where path = $1", path)))
	}
	w.same()
}

// A load of a file waits for another one of it that is under way, even if both change nothing but symbols:
// otherwise the rows of both would be there in the end.
func TestSameFileWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.loads(Options{}, goFile("a.go"))
	w.exec(`create function pause() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock_shared(1); return null; end $$;
	        create trigger pause after insert on ast.symbols for each statement execute function pause()`)
	gate, err := w.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gate.Exec(t.Context(), "select pg_advisory_xact_lock(1)"); err != nil {
		t.Fatal(err)
	}
	errs := make(chan error)
	for n := range 2 {
		go func() {
			f := goFile("a.go")
			f.Symbols = append(f.Symbols, Symbol{Kind: "var", Name: "v", Qualified: "p.v", Ordinal: n})
			_, err := Load(t.Context(), w.pool, these(f), Options{})
			errs <- err
		}()
		for waiting := int64(0); waiting <= int64(n); { // until this one waits, too
			waiting = w.number("select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
		}
	}
	if err := errors.Join(gate.Commit(t.Context()), <-errs, <-errs); err != nil {
		t.Fatal(err)
	}
	if n := w.number("select count(*) from ast.symbols where kind = 'var'"); n != 1 {
		t.Errorf("%d variables: the file has rows of both", n)
	}
}

// Transactions that get into each other's way are tried again, but not for ever.
func TestConflicts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create sequence tries;
	        create function stumble() returns trigger language plpgsql as $$ begin
	          if nextval('tries') <= 3 then raise exception 'stumbled' using errcode = 'serialization_failure'; end if;
	          return null; end $$;
	        create trigger stumble after insert on ast.symbols for each statement execute function stumble()`)
	var batches []Batch
	w.loads(Options{Progress: func(p Progress) { batches = append(batches, p.Batch) }}, goFile("a.go"))
	if len(batches) != 1 || batches[0].Retries != 3 {
		t.Errorf("%+v", batches)
	}
	w.exec("select setval('tries', 1); alter sequence tries increment by -1 minvalue -1000")
	_, err := Load(t.Context(), w.pool, these(goFile("b.go")), Options{})
	if !conflict(errors.Unwrap(err)) && !strings.Contains(fmt.Sprint(err), "stumbled") {
		t.Errorf("got %v", err)
	}
	if n := w.number("select 1 - last_value from tries"); n != attempts {
		t.Errorf("given up after %d attempts more", n)
	}
}

// The pause between attempts grows and is bounded.
func TestBackoff(t *testing.T) {
	t.Parallel()
	for retries := range attempts {
		if d := backoff(retries); d < 0 || d >= 10*time.Millisecond<<retries {
			t.Errorf("attempt %d: %v", retries, d)
		}
	}
}

// Sums of batches are sums.
func TestTotals(t *testing.T) {
	t.Parallel()
	a := Totals{Files: Counts{1, 2, 3, 4}, Symbols: Counts{5, 6, 7, 8}, Relations: Counts{9, 10, 11, 12}, Embeddings: Counts{13, 14, 15, 16}}
	b := a
	b.Add(a)
	want := Totals{Files: Counts{2, 4, 6, 8}, Symbols: Counts{10, 12, 14, 16}, Relations: Counts{18, 20, 22, 24}, Embeddings: Counts{26, 28, 30, 32}}
	if b != want || a.Files.Total() != 7 {
		t.Errorf("%+v", b)
	}
}
