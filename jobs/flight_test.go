package jobs_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/outflow-db/outflow/backends"
)

// stuck makes writes of a key wait until it is let go of. It counts the writes of the key that are under way.
type stuck struct {
	key   string
	free  chan struct{}
	hangs chan struct{} // closed when the first waits

	mu            sync.Mutex
	once          sync.Once
	running, most int
}

func sticks(w *world, key string) *stuck {
	h := &stuck{key: key, free: make(chan struct{}), hangs: make(chan struct{})}
	w.store.onWrite = func(ctx context.Context, _ int, rs []backends.Record) error {
		if !holding(rs, h.key) {
			return nil
		}
		h.count(1)
		defer h.count(-1)
		h.once.Do(func() { close(h.hangs) })
		select {
		case <-h.free:
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	return h
}

func (h *stuck) count(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running += n
	h.most = max(h.most, h.running)
}

// A page sets out while the last request of the one before is under way. The position does not pass the one before, and
// passes both when it has ended.
func TestPagesOverlap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.SaveEvery, w.c.Settings.Slice, w.c.Settings.Linger = 10*time.Millisecond, time.Minute, time.Minute
	h := sticks(w, "100")
	w.start()
	w.applied(rows(1))
	w.exec(`insert into item values (100, 'slow')`)
	<-h.hangs
	later := w.write(`insert into item values (200, 'fast')`)
	w.has("200", "fast")
	if value[bool](w, `select outbox.reached($1::text::xid8, 'main')`, later) {
		t.Error("the position has passed a page that is under way")
	}
	close(h.free)
	w.wait(later)
	w.has("100", "slow")
	w.agrees()
}

// A key never has two writes under way: a page that shares one with a page under way waits, and so does one that has
// two others before it.
func TestPagesThatShareAKeyDoNotOverlap(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]string{"next to each other": "", "with another between": `insert into item values (200, 'fast')`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.patient()
			h := sticks(w, "100")
			w.start()
			w.applied(rows(1))
			w.exec(`insert into item values (100, 'first')`)
			<-h.hangs
			if between != "" {
				w.exec(between)
				w.has("200", "fast")
			}
			w.exec(`update item set v = 'second' where id = 100`)
			time.Sleep(200 * time.Millisecond) // time for a second write that there must not be
			close(h.free)
			w.has("100", "second")
			if h.mu.Lock(); h.most != 1 {
				t.Errorf("the key had %d writes under way", h.most)
			}
			h.mu.Unlock()
		})
	}
}
