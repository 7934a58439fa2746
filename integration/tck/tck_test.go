package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Scenarios of our own pass, and those that cannot be run are counted with their reasons.
func TestOwnScenarios(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	failed, err := runAll(t.Context(), &out, "testdata", "", true)
	if err != nil || failed > 0 {
		t.Fatalf("%d failed, %v:\n%s", failed, err, out.String())
	}
	want := [][]string{
		{"file", "passed", "supported", "skipped", "reasons"},
		{"own/loading.feature", "4", "4", "0"},
		{"own/writing.feature", "6", "6", "2", "FIND", "(1),", "tagged", "@skip", "(1)"},
		{"all", "10", "10", "2"},
	}
	var got [][]string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Fields(line))
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the table (-want +got):\n%s", d)
	}
}

// With the kit's own scenarios at hand, all that are supported pass: OUTFLOW_NEBULA_TCK names their directory.
func TestKit(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("OUTFLOW_NEBULA_TCK")
	if dir == "" {
		t.Skip("OUTFLOW_NEBULA_TCK is not set")
	}
	var out bytes.Buffer
	failed, err := runAll(t.Context(), &out, dir, "", true)
	t.Log(out.String())
	if err != nil || failed > 0 {
		t.Fatalf("%d failed, %v", failed, err)
	}
}

// What is wrong with a server's answer is told: the runner does not pass what it should not.
func TestFailuresAreSeen(t *testing.T) {
	t.Parallel()
	for then, want := range map[string]string{
		"the result should be, in any order:\n|a|\n|2|":                                                "no row [2]",
		"the result should be, in any order:\n|a|":                                                     "too many rows: [1]",
		"the result should be, in any order:\n|b|\n|1|":                                                `got columns ["a"], want ["b"]`,
		"the result should be, in order:\n|a|\n|2|":                                                    "got row [1], want [2]",
		"the result should be, in order:\n|a|\n|1|\n|1|":                                               "got 1 rows, want 2",
		"the result should contain:\n|a|\n|2|":                                                         "no row [2]",
		"the result should not contain:\n|a|\n|1|":                                                     "there is a row [1]",
		"a SyntaxError should be raised at runtime: x":                                                 "it is successful",
		"the result should be, in any order:\n|a|\n|<(1)>|":                                            "skipped: a path is not compared: <(1)>",
		"the result should be, in any order:\n|a|\n|1 2|":                                              "skipped: a cell that goes on after its value: 1 2",
		"the moon should be full":                                                                      "skipped: step: the moon should be full",
		"the execution plan should be:\n|a|":                                                           "skipped: plans of execution",
		"executing query:\n\"\"\"\nYIELD x\n\"\"\"\nThen the execution should be successful":           "SemanticError: Invalid label identifiers: x (-1009)",
		"executing query:\n\"\"\"\nYIELD x\n\"\"\"\nThen a SyntaxError should be raised at runtime: x": `got "SemanticError: Invalid label identifiers: x", want "SyntaxError: x"`,
		"executing query:\n\"\"\"\nUSE x\n\"\"\"\nThen a SyntaxError should be raised at runtime: x":   "got an ExecutionError: SpaceNotFound: SpaceName `x`",
		"load \"nba\" csv data to a new space":                                                         "skipped: no data to load",
		"parameters: {":                                                                                "reading parameters: unexpected EOF",
		"wait some seconds":                                                                            "skipped: step: wait some seconds",
		"having executed:\n\"\"\"\nNO\n\"\"\"":                                                         "SyntaxError: syntax error near `NO'",
		"create a space with following options:\n|vid_type|bool|":                                      "SemanticError: Only support FIXED_STRING or INT64 vid type, but was bool",
	} {
		dir := t.TempDir()
		text := "Feature: f\n  Scenario: s\n    When executing query:\n    \"\"\"\n    YIELD 1 AS a\n    \"\"\"\n    Then " + then + "\n"
		if err := os.WriteFile(filepath.Join(dir, "a.feature"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := outcome(t, dir); !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", then, got, want)
		}
	}
}

// outcome is what became of the one scenario of a directory.
func outcome(t *testing.T, dir string) string {
	t.Helper()
	fs, err := readAll(dir)
	if err != nil {
		t.Fatal(err)
	}
	target, stop, err := open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	err = target.run(t.Context(), fs[0].scenarios[0])
	if sk, ok := errors.AsType[skip](err); ok {
		return "skipped: " + sk.reason
	}
	if err == nil {
		return "passed"
	}
	return err.Error()
}

// Cells are read as parser/nebula.feature of the kit says.
func TestCells(t *testing.T) {
	t.Parallel()
	for cell, want := range map[string]string{
		"EMPTY": "EMPTY", "NULL": "NULL", "NaN": "fVal", "Inf": "fVal", "BAD_TYPE": "BAD_TYPE", "-12": "iVal", "-3.5": "fVal", "1e3": "fVal",
		"True": "bVal", "'a\"b'": "sVal", `"a\"b"`: "sVal", "[]": "lVal", "[1, [:e]]": "lVal", "{1, 2}": "uVal", "{}": "mVal",
		"{k: 1, 'l': true}": "mVal", "()": "vVal", "('v':t{p: 1}:u)": "vVal", "[:e]": "eVal", "[@-1]": "eVal", "['1'->'2']": "eVal",
		"[:e 1<-2 @0 {a: 1}]": "eVal", "[1->2{}]": "eVal",
	} {
		v, err := parseCell(cell)
		if err != nil || cellType(v) != want {
			t.Errorf("%s: got %v, %v, want a %s", cell, v, err, want)
		}
	}
	for _, bad := range []string{"", "'a", "[1", "{1", "(1", "[:e", "<()>", "what", "[:e @'x']", "{a 1}", "/(/", "[:e 1 2]"} {
		if v, err := parseCell(bad); err == nil {
			t.Errorf("%q is read as %v", bad, v)
		}
	}
}

// A vertex and an edge are the same only if all of them is, but relaxed in what is written.
func TestComparison(t *testing.T) {
	t.Parallel()
	v := &value.Vertex{ID: "a", Tags: []value.Tag{{Name: "t", Props: value.Map{"x": int64(1)}}}}
	e := &value.Edge{Src: "b", Dst: "a", Type: -1, Name: "e", Rank: 2, Props: value.Map{"x": int64(1)}}
	for _, c := range []struct {
		cell            string
		got             any
		strict, relaxed bool
	}{
		{`("a":t{x:1})`, v, true, true},
		{`("a")`, v, false, true},
		{`("b")`, v, false, false},
		{`("a":t)`, v, false, true},
		{`("a":u)`, v, false, false},
		{`("a":t{x:2})`, v, false, false},
		{`[:e "a"->"b" @2 {x:1}]`, e, true, true},
		{`[:e "b"<-"a" @2 {x:1}]`, e, true, true},
		{`[:e]`, e, false, true},
		{`[:e @3]`, e, false, false},
		{`[:f]`, e, false, false},
		{`[:e "b"->"a" @2 {x:1}]`, e, false, false},
		{"1", int64(1), true, true},
		{"1", 1.0, false, false},
		{"1.0", 1.0, true, true},
		{"nan", value.NaN, false, false},
		{"EMPTY", nil, true, true},
		{"NULL", nil, false, false},
		{"NULL", value.NULL, true, true},
		{"[1, 2]", value.List{int64(1)}, false, false},
		{"{1, 2}", value.Set{int64(2), int64(1)}, true, true},
		{"{k:1}", value.Map{"k": int64(1), "l": true}, false, true},
		{"/a+/", "aaa", true, true},
		{"/b/", "aaa", false, false},
		{`"1"`, int64(1), false, false},
	} {
		want, err := parseCell(c.cell)
		if err != nil {
			t.Fatal(err)
		}
		if got := []bool{matches(want, c.got, false), matches(want, c.got, true)}; !cmp.Equal(got, []bool{c.strict, c.relaxed}) {
			t.Errorf("%s and %s: got %v, want %v, %v", c.cell, value.Text(c.got), got, c.strict, c.relaxed)
		}
	}
}

// A file that is no Gherkin, or a directory that is none, is an error.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.feature"), []byte("Feature: f\nnonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, filepath.Join(dir, "none")} {
		if _, err := runAll(t.Context(), &bytes.Buffer{}, d, "", false); err == nil {
			t.Errorf("%s is read", d)
		}
	}
}
