package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/outflow-db/outflow/internal/esserver"
	"github.com/outflow-db/outflow/internal/nebulatest"
	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/internal/qdranttest"
)

// Every verb does what its help says, as a process of its own, against a real PostgreSQL: the scripts in
// testdata/script say what that is.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"database":      scriptDatabase,
			"temporary":     scriptTemporary,
			"qdrant":        scriptQdrant,
			"elasticsearch": scriptElasticsearch,
			"nebula":        scriptNebula,
			"ngql":          scriptNGQL,
			"terminate":     scriptTerminate,
			"hangup":        scriptHangup,
			"answers":       scriptAnswers,
			"settled":       scriptSettled,
			"appears":       scriptAppears,
			"empty":         scriptEmpty,
			"exits":         scriptExits,
			"sql":           scriptSQL,
			"compressed":    scriptCompressed,
			"rows":          scriptRows,
			"json":          scriptJSON,
		},
		Setup: func(env *testscript.Env) error {
			env.Values[tbKey{}] = env.T()
			return nil
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// tbKey is where a script's testing.TB is kept.
type tbKey struct{}

// scriptDatabase makes a database for the script and names it in DATABASE_URL: `database`, or `database empty` for
// one without migrations.
func scriptDatabase(ts *testscript.TestScript, _ bool, args []string) {
	tb, ok := ts.Value(tbKey{}).(testing.TB)
	if !ok {
		ts.Fatalf("no testing.TB")
	}
	pool := pgtest.New
	if len(args) > 0 {
		pool = pgtest.Empty
	}
	ts.Setenv("DATABASE_URL", pgtest.URL(tb, pool(tb)))
}

// scriptQdrant starts a Qdrant for the script, and names its address in QDRANT and what the names of collections
// shall begin with in PREFIX.
func scriptQdrant(ts *testscript.TestScript, _ bool, _ []string) {
	tb, ok := ts.Value(tbKey{}).(testing.TB)
	if !ok {
		ts.Fatalf("no testing.TB")
	}
	ts.Setenv("QDRANT", qdranttest.Open(tb))
	ts.Setenv("QDRANT_KEY", qdranttest.APIKey())
	ts.Setenv("PREFIX", qdranttest.Prefix(tb))
}

// scriptNebula starts a NebulaGraph for the script, and names its address, who may log in, and a space that is dropped at
// the end, in NEBULA, NEBULA_USER, NEBULA_PASSWORD and NEBULA_SPACE.
func scriptNebula(ts *testscript.TestScript, _ bool, _ []string) {
	tb, ok := ts.Value(tbKey{}).(testing.TB)
	if !ok {
		ts.Fatalf("no testing.TB")
	}
	s := nebulatest.Open(tb)
	ts.Setenv("NEBULA", s.Addr)
	ts.Setenv("NEBULA_USER", s.User)
	ts.Setenv("NEBULA_PASSWORD", s.Password)
	ts.Setenv("NEBULA_SPACE", s.Space(tb))
}

// scriptNGQL runs a statement in the script's space: `ngql 'DELETE VERTEX "a"'`.
func scriptNGQL(ts *testscript.TestScript, _ bool, args []string) {
	c, err := nebulatest.Server{Addr: ts.Getenv("NEBULA"), User: ts.Getenv("NEBULA_USER"), Password: ts.Getenv("NEBULA_PASSWORD")}.Dial(context.Background())
	ts.Check(err)
	defer c.Close()
	r, err := c.Execute("USE `"+ts.Getenv("NEBULA_SPACE")+"`; "+args[0], nil)
	ts.Check(err)
	if code := r.GetErrorCode(); code != 0 {
		ts.Fatalf("%s: %s", args[0], r.GetErrorMsg())
	}
}

// scriptElasticsearch lets the script start an Elasticsearch: a script's own home has no distribution, and its own
// directory is closed to the user that the server runs as.
func scriptElasticsearch(ts *testscript.TestScript, _ bool, _ []string) {
	dist, err := esserver.Fetch(context.Background())
	ts.Check(err)
	ts.Setenv("OUTFLOW_ELASTICSEARCH_DIST", dist)
	ts.Setenv("TMPDIR", os.TempDir())
}

// scriptExits runs a program and wants an exit status: `exits 2 outflow migrate --foo`.
func scriptExits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // as Exec gives it
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// scriptSQL runs a statement in the script's database and prints the rows: `sql 'select 1'`, or `sql @file` for
// several statements.
func scriptSQL(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, ts.Getenv("DATABASE_URL"))
	ts.Check(err)
	defer conn.Close(ctx)
	text := strings.Join(args, " ")
	if file, ok := strings.CutPrefix(text, "@"); ok {
		_, err := conn.Exec(ctx, ts.ReadFile(file))
		ts.Check(err)
		return
	}
	rows, err := conn.Query(ctx, text)
	ts.Check(err)
	defer rows.Close()
	for rows.Next() {
		values, err := rows.Values()
		ts.Check(err)
		fmt.Fprintln(ts.Stdout(), strings.Trim(fmt.Sprint(values), "[]"))
	}
	ts.Check(rows.Err())
}

// scriptJSON reads the output of the command before as JSON and wants a value at a path: `json backends.0.name search`.
func scriptJSON(ts *testscript.TestScript, neg bool, args []string) {
	var v any
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &v); err != nil {
		ts.Fatalf("the output is no JSON: %v", err)
	}
	for step := range strings.SplitSeq(args[0], ".") {
		switch parent := v.(type) {
		case map[string]any:
			v = parent[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(parent) {
				ts.Fatalf("%s: no %s among %d elements", args[0], step, len(parent))
			}
			v = parent[i]
		default:
			ts.Fatalf("%s: nothing is at %s", args[0], step)
		}
	}
	text, err := json.Marshal(v)
	ts.Check(err)
	if got := strings.Trim(string(text), `"`); (got == args[1]) == neg {
		ts.Fatalf("%s is %s, want %s (negated: %v)", args[0], got, args[1], neg)
	}
}
