package stores

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/outflow-db/outflow/ast"
	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/nebula"
	"github.com/outflow-db/outflow/examples/gosource/gosource"
	"github.com/outflow-db/outflow/internal/benches/lab"
	"github.com/outflow-db/outflow/internal/nebulaserver"
	"github.com/outflow-db/outflow/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// newGraph has some packages of the Go tree in PostgreSQL, and an empty graph.
func newGraph(t *testing.T) *graph {
	t.Helper()
	server, err := nebulaserver.Start(nebulaserver.Config{Forget: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	tree, err := lab.GoTree(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l := &lab.Lab{Source: filepath.Join(tree, "go"), Log: io.Discard}
	g := &graph{Lab: l, pool: pgtest.New(t), server: server, gauge: &lab.Gauge{
		Behind: backends.Config{Type: nebula.Type, Settings: map[string]any{"addresses": server.Addr(), "space": space}},
	}}
	if _, err := ast.Load(t.Context(), g.pool, l.Files(t.Context(), 60, gosource.Options{NoEmbeddings: true}), ast.Options{}); err != nil {
		t.Fatal(err)
	}
	return g
}

// The relations of source code become edges, all of them, and who calls a symbol, two steps out, has the same answer in the
// graph as a recursive query has in PostgreSQL. Another answer is noticed.
func TestWhoCallsThis(t *testing.T) {
	t.Parallel()
	g := newGraph(t)
	if err := g.Fill(t.Context(), g.config(relations())); err != nil {
		t.Fatal(err)
	}
	if _, err := g.agrees(t.Context()); err != nil {
		t.Error(err)
	}
	a, err := g.ask(t.Context())
	if err != nil || len(a.graph) != asked || a.callers < asked {
		t.Errorf("%d questions, %d callers: %v", len(a.graph), a.callers, err)
	}
	if _, err := g.pool.Exec(t.Context(), `delete from ast.relations where type = 'calls' and ctid in (select min(ctid) from ast.relations where type = 'calls' group by target)`); err != nil {
		t.Fatal(err)
	}
	if _, err := g.ask(t.Context()); err == nil || !strings.Contains(err.Error(), "or others") {
		t.Errorf("relations that are gone from PostgreSQL alone: %v", err)
	}
	if _, err := g.agrees(t.Context()); err == nil {
		t.Error("verify did not notice them")
	}
}

// Statements are built without a server, of as many rows as there are records.
func TestStatements(t *testing.T) {
	t.Parallel()
	g := newGraph(t)
	g.Quick = true
	rows, err := g.statements(t.Context())
	if err != nil || len(rows) != 4 {
		t.Fatalf("%+v, %v", rows, err)
	}
	for _, r := range rows {
		if r.Value < 1000 || !strings.HasPrefix(r.Name, "graph: ") {
			t.Errorf("%+v", r)
		}
	}
}

// A sample belongs to the innermost code that is known, and to the stand-in if its goroutine is one of the stand-in's.
func TestWhose(t *testing.T) {
	t.Parallel()
	const module = "github.com/outflow-db/outflow/"
	for want, stack := range map[string][]string{
		own:      {"runtime.mallocgc", "github.com/tidwall/gjson.Parse", module + "backends/nebula.(*model).row", module + "internal/benches/lab.(*gauged).Write", module + "jobs.(*writer).run", "runtime.goexit"},
		client:   {"syscall.Write", "github.com/vesoft-inc/fbthrift/thrift.x", module + "backends/nebula.(*pool).write", "runtime.goexit"},
		database: {"github.com/jackc/pgx/v5.(*Conn).Query", module + "outbox.(*Reader).Page"},
		standIn:  {"github.com/vesoft-inc/fbthrift/thrift.x", module + "internal/nebulaserver.(*Server).serve", "runtime.goexit"},
		rest:     {"runtime.gcDrain", "runtime.gcBgMarkWorker"},
	} {
		if got := whose(stack); got != want {
			t.Errorf("%v is %s, want %s", stack, got, want)
		}
	}
}

// A profile of this process is read: what a function of this package does is found in it.
func TestProfile(t *testing.T) {
	t.Parallel()
	p := startProfile()
	if p.none != nil {
		t.Skip("another profile is under way: ", p.none)
	}
	s := shares{}
	for s[rest]+s[own] == 0 {
		if p.none != nil {
			t.Fatal(p.none)
		}
		list := make([]int, 1<<20)
		for i := range list {
			list[i] = (i * 7919) % len(list)
		}
		slices.Sort(list)
		var err error
		if s, err = p.stop(); err != nil {
			t.Fatal(err)
		}
		if s[rest]+s[own] == 0 {
			p = startProfile()
		}
	}
	if rows := s.rows("x"); len(rows) != 2 || !rows[0].OK {
		t.Errorf("%+v", rows)
	}
	if rows := (shares{}).rows("x"); rows[0].OK {
		t.Errorf("nothing was measured: %+v", rows)
	}
}
