package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outflow-db/outflow/ast"
)

// The command writes a line for each file that parses, and tells of the others.
func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"a.go": "package p\nfunc F() {}", "b.go": "package"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out, messages bytes.Buffer
	if code := run(t.Context(), []string{"-repository", "r", "-no-embeddings", dir}, &out, &messages); code != 1 {
		t.Errorf("exit status %d", code)
	}
	n := 0
	for f, err := range ast.ReadNDJSON(&out) {
		if err != nil || f.Path != "a.go" || f.Repository != "r" || len(f.Symbols) != 2 || len(f.Symbols[0].Embeddings) != 0 {
			t.Errorf("%+v, %v", f, err)
		}
		n++
	}
	if n != 1 || !strings.Contains(messages.String(), `"r b.go"`) {
		t.Errorf("%d files, and %q", n, messages.String())
	}
	if code := run(t.Context(), []string{"-max", "1", dir}, &out, &messages); code != 0 {
		t.Errorf("exit status %d: %s", code, messages.String())
	}
}

// Wrong arguments and files that nobody takes end it with a message.
func TestRunFails(t *testing.T) {
	t.Parallel()
	for code, args := range map[int][]string{2: {}, 1: {"nowhere"}} {
		var messages bytes.Buffer
		if got := run(t.Context(), args, &bytes.Buffer{}, &messages); got != code || messages.Len() == 0 {
			t.Errorf("%v: exit status %d, %q", args, got, messages.String())
		}
	}
	if got := run(context.Background(), []string{"-nonsense"}, &bytes.Buffer{}, &bytes.Buffer{}); got != 2 {
		t.Errorf("exit status %d", got)
	}
	if got := run(t.Context(), []string{"."}, full{}, &bytes.Buffer{}); got != 1 {
		t.Errorf("exit status %d", got)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }
