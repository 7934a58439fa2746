package outbox

import (
	"context"
	"log/slog"
	"testing"
	"time"
)

// listening is a waker that hears notifications.
func (w world) listening() *Waker {
	w.Helper()
	k := NewWaker(w.pool, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(w.Context())
	done := make(chan struct{})
	go func() { defer close(done); k.Listen(ctx) }()
	w.Cleanup(func() { stop(); <-done })
	for {
		k.mu.Lock()
		listens := k.listens
		k.mu.Unlock()
		if listens {
			return k
		}
		pause(ctx, time.Millisecond)
	}
}

const flagged = `select last_value > extract(epoch from clock_timestamp()) * 1000 from outbox.idle`

// Who always finds something sets no flag, so that writers notify nobody; who has to wait sets it before it relies on
// being notified, also if changes came fast until then.
func TestFlagIsSetForSleepAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	k := w.listening()
	for range 20 {
		found, err := k.Sleep(t.Context(), time.Minute, func(context.Context) (bool, Snapshot, error) { return true, Snapshot{}, nil })
		if err != nil || !found {
			t.Fatalf("found: %v, %v", found, err)
		}
	}
	w.want("0", `select last_value from outbox.idle`)
	looks := 0
	found, err := k.Sleep(t.Context(), time.Minute, func(ctx context.Context) (bool, Snapshot, error) {
		looks++
		at, err := Now(ctx, w.pool)
		return w.text(flagged) == "true", at, err
	})
	if err != nil || !found || looks < 2 {
		t.Errorf("the flag was set: %v, %v, after %d looks", found, err, looks)
	}
}

// After the flag was set anew, a sleeper looks once more before it sleeps: a writer may have read the flag just before.
func TestLookAfterFlag(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	k := w.listening()
	var after int // looks since the flag was set
	found, err := k.Sleep(t.Context(), 0, func(ctx context.Context) (bool, Snapshot, error) {
		if w.text(`select last_value from outbox.idle`) != "0" {
			after++
		}
		at, err := Now(ctx, w.pool)
		return false, at, err
	})
	if err != nil || found || after == 0 {
		t.Errorf("found: %v, %v, %d looks after the flag was set", found, err, after)
	}
}

// Changes come fast when waits are mostly short, and do not when waits get longer again.
func TestBusy(t *testing.T) {
	t.Parallel()
	k := NewWaker(nil, nil)
	if k.busy() {
		t.Error("busy before anything happened")
	}
	for range 20 {
		k.waited(3 * time.Millisecond)
	}
	if !k.busy() {
		t.Error("not busy while something comes every 3 ms")
	}
	k.waited(time.Minute)
	k.waited(time.Minute)
	if k.busy() {
		t.Error("still busy after nothing came for a minute, twice")
	}
}

// Wake reaches those who wait for nothing but it; a notification does not.
func TestWoken(t *testing.T) {
	t.Parallel()
	k := NewWaker(nil, nil)
	woken, arrived := k.Woken(), k.held().arrived
	k.notified()
	select {
	case <-woken:
		t.Error("woken by a notification")
	case <-arrived:
	}
	arrived = k.held().arrived
	k.Wake()
	<-woken
	<-arrived
	if k.Woken() == woken {
		t.Error("the next Wake would not be noticed")
	}
}
