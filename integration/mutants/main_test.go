package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a mutant takes away is still in the source: a guard that was written otherwise since takes its mutant along.
func TestMutantsFitTheSource(t *testing.T) {
	t.Parallel()
	for _, m := range append(mutants, pitfalls...) {
		for _, e := range m.edits {
			text, err := os.ReadFile(filepath.Join("../..", e.file))
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(text), e.old); n != 1 {
				t.Errorf("mutant %s: %s has %q %d times, want once", m.name, e.file, e.old, n)
			}
		}
	}
}
