package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/outflow-db/outflow/internal/benches/lab"
)

// The test binary is also the program that the runner starts for each benchmark.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// Chosen benchmarks run, each in a process of its own, and the table, the file of rows and the file of the
// environment tell the same story. How fast anything is does not matter here.
func TestRun(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "rows.json")
	var out, messages bytes.Buffer
	if code := run(t.Context(), []string{"-quick", "-run", "^(reach|drain|latency|qdrant|nebula)$", "-out", file}, &out, &messages); code != 0 {
		t.Fatalf("exit status %d\n%s", code, &messages)
	}
	var rows []lab.Row
	readJSON(t, file, &rows)
	began := map[string]bool{}
	for _, r := range rows {
		name, _, _ := strings.Cut(r.Name, ":")
		began[name] = true
		ticks := strings.Contains(r.Name, "CPU") // the kernel counts it in steps that a short run can fall below
		if r.Value <= 0 && !ticks || r.Goal == "" && !r.OK {
			t.Errorf("row %+v: want a value above zero, and OK without a goal", r)
		}
		if !strings.Contains(out.String(), r.Name) {
			t.Errorf("the table lacks row %q:\n%s", r.Name, &out)
		}
	}
	if diff := cmp.Diff(map[string]bool{"reach": true, "drain": true, "latency": true, "qdrant": true, "nebula": true}, began); diff != "" {
		t.Errorf("rows of other benchmarks (-want +got):\n%s", diff)
	}
	var about environment
	readJSON(t, strings.TrimSuffix(file, ".json")+".env.json", &about)
	if about.PostgreSQL == "" || about.Date == "" || about.Cores == 0 {
		t.Errorf("the environment is incomplete: %+v", about)
	}
}

// A row has the five fields that were promised, and a note only if there is something to note.
func TestForm(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "rows.json")
	rows := []lab.Row{lab.AtMost("a: b", 0.5, "x", 1.25), lab.Fact("c: d", 3, "MB").With("noted")}
	if err := write(file, rows, environment{}); err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	readJSON(t, file, &got)
	want := []map[string]any{
		{"name": "a: b", "value": 0.5, "unit": "x", "goal": "<= 1.25", "ok": true},
		{"name": "c: d", "value": 3.0, "unit": "MB", "goal": "", "ok": true, "note": "noted"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A missed goal stands out in the table.
func TestTable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	table(&out, []lab.Row{lab.AtMost("a: met", 1, "x", 2), lab.AtLeast("a: missed", 1, "x", 2), lab.Fact("a: fact", 1, "x")})
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := []string{"NAME VALUE UNIT GOAL OK NOTE", "a: met 1 x <= 2 yes", "a: missed 1 x >= 2 NO", "a: fact 1 x"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Only a run of everything, in full size, replaces the committed file by itself.
func TestDefaultFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "bench/latest.json"},
		{[]string{"-quick"}, ""},
		{[]string{"-run", "drain"}, ""},
		{[]string{"-run", "drain", "-out", "here.json"}, "here.json"},
	} {
		o, err := parse(c.args, &bytes.Buffer{})
		if err != nil || o.out != c.want {
			t.Errorf("%v: file %q, %v: want %q", c.args, o.out, err, c.want)
		}
	}
}

// What cannot be run is said, with an exit status of its own, and nothing is written.
func TestMisuse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"-run", "("}, 2, "-run"},
		{[]string{"-what"}, 2, "-what"},
		{[]string{"more"}, 2, `unknown argument "more"`},
		{[]string{"-run", "nothing like it"}, 1, "no benchmark matches"},
		{[]string{"-help"}, 0, "-quick"},
	} {
		var messages bytes.Buffer
		if code := run(t.Context(), c.args, &bytes.Buffer{}, &messages); code != c.code || !strings.Contains(messages.String(), c.says) {
			t.Errorf("%v: exit status %d, said %q: want %d and %q", c.args, code, &messages, c.code, c.says)
		}
	}
}

func readJSON(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}
