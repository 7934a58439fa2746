package main

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/outflow-db/outflow/migrations"
)

// committed is the migrations as they are in the repository, by name.
func committed(t *testing.T) map[string]string {
	t.Helper()
	names, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, name := range names {
		body, err := migrations.FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(body)
	}
	return files
}

// versions is what the River that this module requires has.
func versions(t *testing.T) []rivermigrate.Migration {
	t.Helper()
	m, err := rivermigrate.New(riverpgxv5.New(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	return m.AllVersions()
}

// The committed files are those of the River that is required. If this fails, run go generate ./migrations.
func TestCurrent(t *testing.T) {
	t.Parallel()
	have := committed(t)
	for name, want := range generate(slices.Collect(maps.Keys(have)), versions(t)) {
		if diff := cmp.Diff(want, have[name]); diff != "" {
			t.Errorf("%s is out of date: run go generate ./migrations (-want +have)\n%s", name, diff)
		}
	}
}

// A new version of River gets the next free number, and no file is renamed.
func TestNewVersion(t *testing.T) {
	t.Parallel()
	have := slices.Collect(maps.Keys(committed(t)))
	all := versions(t)
	next := rivermigrate.Migration{Version: len(all) + 1, Name: "Brand-new things", SQLUp: "SELECT 1;", SQLDown: "SELECT 2;"}
	files := generate(have, append(all, next))
	var added []string
	for name := range files {
		if !slices.Contains(have, name) {
			added = append(added, name)
		}
	}
	last, _ := survey(have)
	want := []string{fmt.Sprintf("%05d_river_%03d_brand_new_things.sql", last+1, next.Version)}
	if diff := cmp.Diff(want, added); diff != "" {
		t.Fatal(diff)
	}
	if body := files[want[0]]; !strings.Contains(body, fmt.Sprintf("values ('main', %d)", next.Version)) {
		t.Errorf("the version is not recorded:\n%s", body)
	}
}

// Numbers are unique: goose refuses two files of one number.
func TestNumbers(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for name := range committed(t) {
		number, _, _ := strings.Cut(name, "_")
		if other, twice := seen[number]; twice {
			t.Errorf("%s and %s have the same number", name, other)
		}
		seen[number] = name
	}
}

// Written to a directory twice, the files are the same, and no marker of River's is left in them.
func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var first map[string]string
	for range 2 {
		if err := run(dir); err != nil {
			t.Fatal(err)
		}
		files := read(t, dir)
		if first == nil {
			first = files
		}
		if diff := cmp.Diff(first, files); diff != "" {
			t.Fatal(diff)
		}
	}
	for name, body := range first {
		if strings.Contains(body, "TEMPLATE") {
			t.Errorf("%s: a marker is left:\n%s", name, body)
		}
	}
	if want := len(versions(t)); len(first) != want {
		t.Errorf("got %d files, want %d", len(first), want)
	}
}

// A directory that cannot be read or written is an error.
func TestRunFails(t *testing.T) {
	t.Parallel()
	if err := run(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing directory was accepted")
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "00001_river_001_taken.sql"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := run(dir); err == nil {
		t.Error("a file that cannot be written was accepted")
	}
}

func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		body, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(body)
	}
	return files
}
