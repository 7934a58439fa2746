package ast

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// Pruning makes a repository what the load has, and leaves others alone; what goes is counted and logged under the
// load's id.
func TestPrune(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.watch()
	other := goFile("a.go")
	other.Repository = "q"
	w.loads(Options{}, goFile("a.go"), goFile("b.go"), goFile("c.go"))
	if _, err := Load(t.Context(), w.pool, these(other), Options{}); err != nil {
		t.Fatal(err)
	}
	w.logged()
	r, err := Load(t.Context(), w.pool, these(goFile("b.go")), Options{Prune: true, ID: "pruning", Headers: map[string]string{"by": "test"}})
	if err != nil {
		t.Fatal(err)
	}
	want := Totals{Files: Counts{Deleted: 2, Unchanged: 1}, Symbols: Counts{0, 0, 8, 4}, Relations: Counts{0, 0, 8, 4}, Embeddings: Counts{0, 0, 2, 1}}
	if diff := cmp.Diff(want, r.Totals); diff != "" || r.Unpruned != nil {
		t.Errorf("%v %s", r.Unpruned, diff)
	}
	if n := w.number(`select count(*) from outbox.log where headers = '{"load": "pruning", "by": "test"}'`); n == 0 {
		t.Error("the log does not name the load")
	}
	if n := w.number(`select count(*) from outbox.log where headers is null`); n != 0 {
		t.Errorf("%d rows of the log do not name the load", n)
	}
	if n := w.number("select count(*) from ast.files where repository = 'q'"); n != 1 {
		t.Errorf("%d files in the other repository", n)
	}
}

// A repository of which a file was refused is not pruned, none is after a line that could not be read, and none after
// a load that failed.
func TestPruneCarefully(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]error{
		"a bad file":     &BadFile{Repository: "r", Path: "c.go"},
		"a bad line":     &BadFile{Line: 7},
		"a broken input": errors.New("broken"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.loads(Options{}, goFile("a.go"), goFile("b.go"))
			r, err := Load(t.Context(), w.pool, func(yield func(*SourceFile, error) bool) {
				_ = yield(goFile("a.go"), nil) && yield(nil, bad)
			}, Options{Prune: true})
			_, refused := errors.AsType[*BadFile](bad)
			if refused != (err == nil) || refused && !cmp.Equal(r.Unpruned, []string{"r"}) {
				t.Errorf("%v %v", err, r.Unpruned)
			}
			if n := w.number("select count(*) from ast.files"); n != 2 {
				t.Errorf("%d files are left", n)
			}
		})
	}
}

// A file that another load has had meanwhile is not pruned.
func TestPruneLeavesOtherLoads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.loads(Options{}, goFile("old.go"))
	source := func(yield func(*SourceFile, error) bool) {
		if !yield(goFile("a.go"), nil) {
			return
		}
		if _, err := Load(t.Context(), w.pool, these(goFile("b.go")), Options{}); err != nil {
			t.Error(err)
		}
	}
	if _, err := Load(t.Context(), w.pool, source, Options{Prune: true}); err != nil {
		t.Fatal(err)
	}
	delete(w.model, "old.go")
	w.model["a.go"], w.model["b.go"] = goFile("a.go"), goFile("b.go")
	w.same()
}

// What does not arrive as it was sent is rolled back and told as a bad file; the others are loaded. What others left
// where a new file's rows belong is mended.
func TestIntegrity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := FileID("r", "b.go")
	if _, err := w.pool.Exec(t.Context(), "insert into ast.relations (source, type, target) values ($1, 'left', $1)", id); err != nil {
		t.Fatal(err)
	}
	w.exec(`create function alter_row() returns trigger language plpgsql as $$ begin new.doc := 'other'; return new; end $$;
	        create trigger alter_row before insert or update on ast.symbols for each row when (new.doc = 'altered') execute function alter_row()`)
	altered := goFile("a.go")
	altered.Symbols[0].Doc = "altered"
	r, err := Load(t.Context(), w.pool, these(altered, goFile("b.go"), goFile("c.go")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Bad) != 1 || r.Bad[0].Path != "a.go" || !strings.Contains(r.Bad[0].Error(), "ast.symbols has 4 rows with the digest") {
		t.Errorf("%v", r.Bad)
	}
	w.model["b.go"], w.model["c.go"] = goFile("b.go"), goFile("c.go")
	w.same()
}

// A batch is written when nothing comes for a moment, though the source has not ended.
func TestIdleSource(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	written := make(chan Batch)
	source := func(yield func(*SourceFile, error) bool) {
		for _, path := range []string{"a.go", "b.go"} {
			if !yield(goFile(path), nil) {
				return
			}
			if b := <-written; b.Files.Inserted != 1 || b.Transaction == "" || b.Digests.Symbols.Rows != 4 {
				t.Errorf("%+v", b)
			}
		}
	}
	if _, err := Load(t.Context(), w.pool, source, Options{Idle: 1, Progress: func(p Progress) { written <- p.Batch }}); err != nil {
		t.Fatal(err)
	}
}

// Inputs are known by their first bytes; what is cut off or broken is an error.
func TestDecompress(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("a line\n", 1000)
	var gz bytes.Buffer
	g := gzip.NewWriter(&gz)
	if _, err := io.WriteString(g, text); err != nil || g.Close() != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	zs := string(z.EncodeAll([]byte(text), nil))
	for in, want := range map[string]string{
		text: text, gz.String(): text, zs: text, "": "", "a": "a",
		gz.String()[:12]: "error", zs[:len(zs)-4]: "error", "\x1f\x8b\x00\x00": "error",
	} {
		got := "error"
		if r, err := Decompress(strings.NewReader(in)); err == nil {
			if all, err := io.ReadAll(r); err == nil && r.Close() == nil {
				got = string(all)
			}
		}
		if got != want {
			t.Errorf("%.10q: got %.20q", in, got)
		}
	}
	if _, err := Decompress(io.LimitReader(brokenReader{}, 1)); err == nil {
		t.Error("a broken input can be read")
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("broken") }
