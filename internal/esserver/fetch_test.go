package esserver

import (
	"archive/zip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// archive is a zip with these files, in a new directory.
func archive(t *testing.T, files ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for _, name := range files {
		w, err := z.Create(name)
		if err == nil && !strings.HasSuffix(name, "/") {
			_, err = w.Write([]byte(name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// An archive's only directory is taken away from its paths, and other users can read what is in it.
func TestUnpack(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "dist")
	if err := unpack(archive(t, "es-1/", "es-1/logs/", "es-1/bin/run", "es-1/README"), dir); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"bin/run": "es-1/bin/run", "README": "es-1/README"} {
		got, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "bin", "run")); err != nil || info.Mode().Perm()&0o444 != 0o444 {
		t.Errorf("%v, %v", info, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "logs")); err != nil || !info.IsDir() {
		t.Errorf("an empty directory: %v", err)
	}
}

// An archive that would write elsewhere, has a file twice or is none is refused.
func TestUnpackRefuses(t *testing.T) {
	t.Parallel()
	for want, path := range map[string]string{
		`path "es/../../x"`: archive(t, "es/../../x"),
		"file exists":       archive(t, "es/x", "es/x"),
		"not a valid zip":   os.Args[0],
		"no such file":      filepath.Join(t.TempDir(), "lost.zip"),
	} {
		if err := unpack(path, filepath.Join(t.TempDir(), "dist")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// What Maven brings is checked, and what it says is told. A fetch that failed leaves nothing behind.
func TestFetchFails(t *testing.T) {
	bin := t.TempDir()
	maven := func(script string) {
		if err := os.WriteFile(filepath.Join(bin, "mvn"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := os.Getenv("PATH")
	t.Setenv("PATH", bin+string(os.PathListSeparator)+path)
	for script, want := range map[string]string{
		`for a in "$@"; do case $a in -DoutputDirectory=*) echo no > "${a#*=}/elasticsearch-` + version + `.zip";; esac; done`: "the archive is another one",
		"echo no network; exit 1": "no network",
		"exit 0":                  "no such file",
	} {
		maven(script)
		cache := t.TempDir()
		if err := fetch(t.Context(), cache, filepath.Join(cache, version)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
		if left, err := filepath.Glob(filepath.Join(cache, "fetch-*")); err != nil || len(left) > 0 {
			t.Errorf("%v was left, %v", left, err)
		}
	}
	t.Setenv("PATH", t.TempDir())
	cache := t.TempDir()
	if err := fetch(t.Context(), cache, filepath.Join(cache, version)); err == nil || !strings.Contains(err.Error(), "install Maven") {
		t.Errorf("without Maven: %v", err)
	}
}
