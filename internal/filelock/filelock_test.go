package filelock_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outflow-db/outflow/internal/filelock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// One holder keeps others out, those who share do not mind each other, and whoever waits gets it in the end.
func TestHolders(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	first, err := filelock.Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if f, err := filelock.Try(path); f != nil || err != nil {
		t.Errorf("a second holder: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := filelock.Share(short, path); err == nil {
		t.Error("it was shared while it was held")
	}
	got := make(chan error, 1)
	go func() {
		f, err := filelock.Share(t.Context(), path)
		if err == nil {
			err = f.Close()
		}
		got <- err
	}()
	first.Close()
	if err := <-got; err != nil {
		t.Error(err)
	}
	for range 2 {
		f, err := filelock.Share(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	if f, err := filelock.Try(path); f != nil || err != nil {
		t.Errorf("a holder beside those who share: %v", err)
	}
}

// A file that cannot be made is an error at once.
func TestNoFile(t *testing.T) {
	t.Parallel()
	if _, err := filelock.Lock(t.Context(), filepath.Join(t.TempDir(), "no", "lock")); err == nil {
		t.Error("locked")
	}
}
