// Package filelock makes processes wait for each other: a lock on a file is given back when its holder
// ends, however that ends.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/outflow-db/outflow/internal/child"
)

// Lock waits for the lock on the file at path, which is made if it is missing, as its only holder, and
// holds it until the file is closed or this process ends. Each call is a holder of its own, in one process
// too. It waits no longer than ctx.
func Lock(ctx context.Context, path string) (*os.File, error) {
	return wait(ctx, path, syscall.LOCK_EX)
}

// Share is Lock for holders that do not mind each other.
func Share(ctx context.Context, path string) (*os.File, error) {
	return wait(ctx, path, syscall.LOCK_SH)
}

// Try is Lock that does not wait: the file is nil if another has the lock.
func Try(path string) (*os.File, error) { return take(path, syscall.LOCK_EX) }

func wait(ctx context.Context, path string, how int) (*os.File, error) {
	for {
		if f, err := take(path, how); f != nil || err != nil {
			return f, err
		}
		if err := child.Pause(ctx); err != nil {
			return nil, fmt.Errorf("waiting for %s: %w", path, err)
		}
	}
}

func take(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, syscall.EWOULDBLOCK), errors.Is(err, syscall.EINTR):
		return nil, f.Close()
	default:
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), f.Close())
	}
}
