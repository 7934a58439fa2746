package nebula

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/nebulaserver"
	"github.com/outflow-db/outflow/internal/nebulatest"
)

// plan are the changes that Plan tells, as texts.
func (b *backend) plan(tb testing.TB, targets ...backends.Target) []string {
	tb.Helper()
	changes, err := b.Plan(tb.Context(), targets)
	if err != nil {
		tb.Fatal(err)
	}
	list := make([]string, len(changes))
	for i, c := range changes {
		list[i] = c.String()
	}
	return list
}

func wantPlan(tb testing.TB, b *backend, want []string, targets ...backends.Target) {
	tb.Helper()
	if got := b.plan(tb, targets...); !slices.Equal(got, want) {
		tb.Errorf("the plan is %q, want %q", got, want)
	}
}

// A column more, and an index more, are put in place, with the rows that were there; Plan tells of each.
func TestGrow(t *testing.T) {
	t.Parallel()
	b := opened(t, nebulatest.Open(t), nil)
	to := symbols()
	wantPlan(t, b, []string{"create space: " + b.options.space + ", vid FIXED_STRING(64)", "create symbol: tag symbol"}, to)
	b.mustPrepare(t, to)
	wantPlan(t, b, []string{}, to)
	b.mustWrite(t, to, symbol("a", 1))
	to.Columns = append(to.Columns, text4("doc"))
	to.Settings = dict{"indexes": dict{"by_name": []any{"name(16)", "line"}}}
	wantPlan(t, b, []string{"alter symbol.properties.doc: STRING", "alter symbol.indexes.symbol_by_name: `name`(16),`line`"}, to)
	b.mustPrepare(t, to)
	wantPlan(t, b, []string{}, to)
	b.mustWrite(t, to, record("b", 2, `{"name": "other", "doc": "d"}`))
	if got := b.ask(t, "LOOKUP ON symbol WHERE symbol.name == \"name of a\" YIELD symbol.line"); !slices.Equal(got, []string{"1"}) {
		t.Errorf("the index finds %q", got)
	}
	if got := b.all(t, to); !slices.Equal(got, []string{"a 1", "b 2"}) {
		t.Errorf("stored are %v", got)
	}
}

// What cannot be changed in place is told all at once, by Plan and by Prepare, with what to do; nothing is changed.
func TestImpossible(t *testing.T) {
	t.Parallel()
	b := opened(t, nebulatest.Open(t), nil)
	b.mustPrepare(t, calls())
	b.ask(t, "CREATE TAG symbol(outflow_key STRING, outflow_version INT64, outflow_digest FIXED_STRING(16), outflow_slot INT64, name STRING, line INT32, must STRING NOT NULL, may INT8 NOT NULL DEFAULT 1)")
	b.ask(t, "CREATE TAG INDEX symbol_i ON symbol(line)")
	b.ask(t, "CREATE TAG INDEX symbol_outflow ON symbol(outflow_slot)")
	to := symbols()
	to.Columns[1].Base = "bigint"
	to.Settings = dict{"indexes": dict{"i": []any{"line", "name(9)"}}}
	wantPlan(t, b, []string{
		"rebuild symbol.properties.line: INT32 becomes INT64",
		"rebuild symbol.properties.must: STRING NOT NULL goes",
		"rebuild symbol.indexes.symbol_i: `line` becomes `line`,`name`(9)",
	}, to)
	err := b.Prepare(t.Context(), []backends.Target{to, calls()})
	if backends.ClassOf(err) != backends.Schema || !strings.Contains(err.Error(), "properties.line") || !strings.Contains(err.Error(), "symbol_i") || !strings.Contains(err.Error(), "outflow rebuild graph") {
		t.Errorf("got %v", err)
	}
	if got := b.ask(t, "SHOW EDGES"); !slices.Equal(got, []string{"calls", "uses"}) {
		t.Errorf("the other target was not prepared: %v", got)
	}
}

// A space that was made otherwise is told.
func TestOtherSpace(t *testing.T) {
	t.Parallel()
	s := nebulatest.Open(t)
	b := opened(t, s, nil)
	b.mustPrepare(t, symbols())
	other := opened(t, s, dict{"space": b.options.space, "vid": "INT64", "partitions": 9, "replicas": 3})
	want := []string{"rebuild vid: FIXED_STRING(64) becomes INT64", "rebuild partitions: 5 becomes 9", "rebuild replicas: 1 becomes 3"}
	wantPlan(t, other, want, symbols())
	if err := other.Prepare(t.Context(), []backends.Target{symbols()}); backends.ClassOf(err) != backends.Schema {
		t.Errorf("got %v", err)
	}
	wrong := opened(t, s, dict{"space": b.options.space, "vid": "FIXED_STRING(200)"})
	_, err := wrong.Write(t.Context(), symbols(), []backends.Record{symbol(strings.Repeat("k", 100), 1)})
	if backends.ClassOf(err) != backends.Schema || !strings.Contains(err.Error(), "set vid") {
		t.Errorf("got %v", err)
	}
}

// Prepare waits until the servers know of what it made; after it, no write meets a server that does not.
func TestHeartbeats(t *testing.T) {
	t.Parallel()
	_, at := server(t, nebulaserver.Config{Delay: 300 * time.Millisecond})
	b := opened(t, at, nil)
	to := symbols()
	b.mustPrepare(t, to, calls())
	b.mustWrite(t, to, symbol("a", 1))
	b.mustWrite(t, calls(), call("a", "calls", "b"))
	to.Columns = append(to.Columns, text4("doc"))
	b.mustPrepare(t, to)
	b.mustWrite(t, to, record("b", 2, `{"doc": "d"}`))
	if got := b.all(t, to); len(got) != 2 {
		t.Errorf("stored are %v", got)
	}
}

// A graphd that does not know yet what another one was told is no reason to pause: soon it will.
func TestSettling(t *testing.T) {
	t.Parallel()
	b, s, to := faulty(t, nil)
	fault := nebulaserver.Fault{Match: inserts, Code: nebula.ErrorCode_E_SEMANTIC_ERROR, Text: "SemanticError: No schema found for `symbol'"}
	for class, defined := range map[backends.Class]time.Time{backends.Transient: time.Now(), backends.Schema: {}} {
		b.defined = defined
		s.Inject(fault)
		if _, err := b.Write(t.Context(), to, []backends.Record{symbol("a", 2)}); backends.ClassOf(err) != class {
			t.Errorf("got %v, want %s", err, class)
		}
	}
}

// A job that fails, or servers that never learn, end Prepare with an error.
func TestNeverReady(t *testing.T) {
	t.Parallel()
	s, at := server(t, nebulaserver.Config{})
	b := opened(t, at, nil)
	to := symbols()
	b.mustPrepare(t, to)
	to.Settings = dict{"indexes": dict{"i": "line"}}
	s.Inject(nebulaserver.Fault{Match: func(r string) bool { return strings.HasPrefix(r, "REBUILD") }, Text: "Invalid param!"})
	if err := b.Prepare(t.Context(), []backends.Target{to}); err == nil || !strings.Contains(err.Error(), "Invalid param") {
		t.Errorf("got %v", err)
	}
	err := b.await(deadline(t, 50*time.Millisecond), func() error { return errPending })
	if class, _ := judge(err); class != backends.Transient {
		t.Errorf("got %v", err)
	}
	s.Inject(nebulaserver.Fault{Match: func(r string) bool { return strings.HasPrefix(r, "DESCRIBE") }, Code: nebula.ErrorCode_E_BAD_PERMISSION, Text: "no"})
	if _, err := b.Plan(t.Context(), []backends.Target{to}); backends.ClassOf(err) != backends.Denied {
		t.Errorf("got %v", err)
	}
	if err := b.Prepare(t.Context(), []backends.Target{{Name: "a.b"}}); backends.ClassOf(err) != backends.Rejected {
		t.Errorf("got %v", err)
	}
}

// A space that is dropped and made anew is another one for the sessions that used it; they find that out by themselves.
func TestSpaceAnew(t *testing.T) {
	t.Parallel()
	b := opened(t, nebulatest.Open(t), nil)
	for range 2 {
		b.mustPrepare(t, symbols())
		b.mustWrite(t, symbols(), symbol("a", 1))
		b.ask(t, "DROP SPACE `"+b.options.space+"`")
		if _, err := b.Lookup(t.Context(), symbols(), []string{"a"}); err == nil {
			t.Error("there is a space")
		}
	}
}

// A tag cannot be called like an edge type; that this is so does not pass by itself.
func TestNameTaken(t *testing.T) {
	t.Parallel()
	b := opened(t, nebulatest.Open(t), nil)
	b.mustPrepare(t, calls())
	b.defined = time.Time{}
	to := symbols()
	to.Name = "calls"
	for range 2 {
		if err := b.Prepare(t.Context(), []backends.Target{to}); backends.ClassOf(err) != backends.Schema || !strings.Contains(err.Error(), "another target") {
			t.Errorf("got %v", err)
		}
	}
}

// Once everything is prepared, a user who may write data is enough; one who may not is told what is missing.
func TestRights(t *testing.T) {
	t.Parallel()
	_, at := server(t, nebulaserver.Config{})
	root := opened(t, at, nil)
	root.mustPrepare(t, symbols())
	root.ask(t, `CREATE USER writer WITH PASSWORD "p"`)
	root.ask(t, "GRANT ROLE USER ON `"+root.options.space+"` TO writer")
	b := plainly(t, dict{"addresses": at.Addr, "space": root.options.space, "user": "writer", "password": "p"})
	b.mustPrepare(t, symbols())
	b.mustWrite(t, symbols(), symbol("a", 1))
	if got := b.all(t, symbols()); len(got) != 1 || b.Health(t.Context()) != nil {
		t.Errorf("stored are %v", got)
	}
	wantPlan(t, b, []string{}, symbols())
	err := b.Prepare(t.Context(), []backends.Target{calls()})
	if backends.ClassOf(err) != backends.Denied || !strings.Contains(err.Error(), "docs/nebula.md") {
		t.Errorf("got %v", err)
	}
}
