package jobs_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
)

// After many failures a store is not flooded: one small request at a time, then twice as large ones.
func TestRampUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.Patience = time.Minute
	var mu sync.Mutex
	var sizes []int
	under, most := 0, 0
	w.store.onWrite = func(_ context.Context, n int, rs []backends.Record) error {
		mu.Lock()
		under++
		if n > 6 && len(sizes) < 3 {
			most = max(most, under)
		}
		mu.Unlock()
		defer func() { mu.Lock(); under--; mu.Unlock() }()
		if n <= 6 {
			return fails(backends.Transient)
		}
		mu.Lock()
		sizes = append(sizes, len(rs))
		mu.Unlock()
		return nil
	}
	w.start()
	w.applied(rows(3000))
	w.agrees()
	mu.Lock()
	defer mu.Unlock()
	if sizes[0] > 32 || sizes[1] > 64 || most > 1 {
		t.Errorf("after the failures requests have %v records, %d at once", sizes[:3], most)
	}
}

// A backend is written no faster than its rate allows, however many lanes it has.
func TestRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Limits = map[string]jobs.Limits{"main": {Rate: 100, Lanes: 3}}
	var begun time.Time
	var once sync.Once
	w.store.onWrite = func(context.Context, int, []backends.Record) error {
		once.Do(func() { begun = time.Now() })
		return nil
	}
	w.start()
	w.applied(rows(350))
	if took := time.Since(begun); took < 2*time.Second {
		t.Errorf("350 records took %s at a rate of 100 a second", took)
	}
	if n := w.store.biggest(); n > 100 {
		t.Errorf("a request has %d records", n)
	}
	w.agrees()
}
