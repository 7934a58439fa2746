package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write what the program says now into testdata/help")

// The help of the program and of every verb is what testdata/help has; go test -update writes it anew.
func TestHelp(t *testing.T) {
	t.Parallel()
	for _, verb := range append([]string{""}, verbNames((&app{}).verbs())...) {
		var out bytes.Buffer
		a := &app{out: &out, err: &out, env: func(string) (string, bool) { return "", false }}
		if got := a.run(t.Context(), append(strings.Fields(verb), "--help")); got != exitOK {
			t.Errorf("%s: exit status %d", verb, got)
		}
		path := filepath.Join("testdata", "help", "outflow-"+strings.ReplaceAll(verb, " ", "-")+".txt")
		if verb == "" {
			path = filepath.Join("testdata", "help", "outflow.txt")
		}
		if *update {
			if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), out.String()); diff != "" {
			t.Errorf("%s (-update writes it anew): %s", path, diff)
		}
	}
}

// Every verb has an example, says what its exit statuses mean, and fits a terminal of 96 columns.
func TestHelpIsWhole(t *testing.T) {
	t.Parallel()
	for _, verb := range (&app{}).verbs() {
		if verb.Example == "" || verb.Annotations["exit"] == "" || verb.Long == "" || verb.Args == nil {
			t.Errorf("%s lacks an example, a long text, its exit statuses or a check of its arguments", verb.Name())
		}
		for line := range strings.SplitSeq(verb.Long+"\n"+verb.Example, "\n") {
			if len(line) > 96 {
				t.Errorf("%s: %q has %d columns", verb.Name(), line, len(line))
			}
		}
	}
}

// verbNames lists verbs, and those below them as "parked list".
func verbNames(verbs []*cobra.Command) []string {
	var names []string
	for _, verb := range verbs {
		names = append(names, verb.Name())
		for _, below := range verbNames(verb.Commands()) {
			names = append(names, verb.Name()+" "+below)
		}
	}
	return names
}
