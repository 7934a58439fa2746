package child_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outflow-db/outflow/internal/child"
)

// Root gets the first account that exists; nobody else needs one.
func TestLookup(t *testing.T) {
	t.Parallel()
	a, err := child.Lookup("no-such-user", "nobody")
	switch {
	case err != nil:
		t.Fatal(err)
	case os.Geteuid() != 0 && a != nil:
		t.Errorf("an ordinary user got %+v", a)
	case os.Geteuid() == 0 && (a == nil || a.Name != "nobody"):
		t.Errorf("root got %+v", a)
	}
	if _, err := child.Lookup("no-such-user"); os.Geteuid() == 0 && err == nil {
		t.Error("a user that does not exist was found")
	}
}

// A directory is made where it is missing, and belongs to the account; one that the account could not reach is refused,
// and then what is fetched is kept where it can.
func TestDirectories(t *testing.T) {
	a, err := child.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	open, err := os.MkdirTemp("", "child-") //nolint:usetesting // that one is closed to other users
	if err == nil {
		err = os.Chmod(open, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(open) })
	dir, err := a.Directory(filepath.Join(open, "new"), "")
	if err != nil || dir != filepath.Join(open, "new") {
		t.Errorf("%q, %v", dir, err)
	}
	temp, err := a.Directory("", "child-")
	if err != nil || !strings.HasPrefix(filepath.Base(temp), "child-") {
		t.Errorf("%q, %v", temp, err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(temp) })
	t.Setenv("XDG_CACHE_HOME", open)
	if got, err := a.Cache("x"); err != nil || got != filepath.Join(open, "outflow", "x") {
		t.Errorf("%q, %v", got, err)
	}
	if a == nil {
		return
	}
	closed := t.TempDir()
	if _, err := a.Directory(filepath.Join(closed, "d"), ""); err == nil || !strings.Contains(err.Error(), "closed to other users") {
		t.Errorf("a closed directory: %v", err)
	}
	t.Setenv("XDG_CACHE_HOME", closed)
	if got, err := a.Cache("postgres"); err != nil || got != "/var/cache/outflow/postgres" {
		t.Errorf("%q, %v", got, err)
	}
}
