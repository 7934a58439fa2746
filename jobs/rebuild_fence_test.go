package jobs_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
)

// A tenure that writes both generations may be in the middle of a page when the switch begins: the new generation has got
// a record as it was when the page's first portion was read, the former one as it was when a later portion was, after
// another commit. The switch waits until such tenures have ended, so that its readers do not go back. Without the fence in
// rebuild.turn they do: this test finds it then.
func TestSwitchWaitsForTenuresOfBothGenerations(t *testing.T) {
	t.Parallel()
	w, s := newShelf(t)
	set := &w.c.Settings
	set.PortionBytes, set.Linger, set.Slice = 1<<10, time.Minute, time.Minute // a record a portion, and a tenure that lasts
	w.start()
	w.items("a")
	first, second, serving, served := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
	goOn, turn := make(chan struct{}), make(chan struct{})
	s.onServe = func(ctx context.Context, _ backends.Target) error {
		close(serving)
		return await(ctx, turn)
	}
	w.beginElsewhere()
	<-serving // all that was written before has been applied
	var freeze, repeat sync.Once
	var frozen string
	s.mu.Lock()
	s.onSend = func(to backends.Target, records []backends.Record) {
		key, letter := records[0].Key, strings.TrimPrefix(string(records[0].Doc), `{"v": "`)[:1]
		if to.Generation == 2 && letter == "b" {
			freeze.Do(func() { frozen = key; close(first); _ = await(t.Context(), goOn) })
		}
		if to.Generation == 2 && letter == "c" && key == frozen {
			repeat.Do(func() { close(second); _ = await(t.Context(), served) })
		}
	}
	s.mu.Unlock()
	w.items("b")
	<-first // the first record of two is on its way into the new generation: the page's other portions are still to be read
	w.items("c")
	close(goOn)
	<-second // the page is complete, and the next one is to bring both generations up to date
	before := s.letter(frozen)
	close(turn)
	eventually(t, "readers see the new generation", func() bool { return s.sees() == 2 })
	if after := s.letter(frozen); after < before {
		t.Errorf("readers of item %s saw %s, and then %s", frozen, before, after)
	}
	close(served)
	w.rebuilt()
	w.exact(s)
}

// beginElsewhere begins a rebuild that is seen to by a process that works no lanes: those of others are not told of it by
// the rebuild's own steps.
func (w *world) beginElsewhere() {
	w.t.Helper()
	e, err := jobs.New(w.t.Context(), w.c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.exec(`update outbox.projections set rebuilder = 'elsewhere', rebuilder_until = 'infinity'`)
	w.begin()
	ctx, stop := context.WithCancel(context.WithoutCancel(w.t.Context()))
	ended := make(chan error, 1)
	go func() {
		ended <- e.SeeTo(ctx, "elsewhere", jobs.RebuildArgs{Backend: "main", Records: "item", Target: "items"})
	}()
	w.t.Cleanup(func() {
		defer stop()
		if w.t.Failed() {
			stop()
		}
		if err := <-ended; err != nil && !w.t.Failed() {
			w.t.Errorf("the rebuild ended with: %v", err)
		}
	})
}

// items gives two items, each larger than a portion, values that begin with a letter.
func (w *world) items(letter string) {
	w.t.Helper()
	w.exec(`insert into item select g, $1 from generate_series(1, 2) g on conflict (id) do update set v = excluded.v`, strings.Repeat(letter, 2<<10))
}

// letter is what the value begins with that readers see of an item.
func (s *shelf) letter(key string) string {
	return fmt.Sprintf("%.1s", strings.TrimPrefix(s.seen()[key], `{"v": "`))
}

// sees is the generation of target items that readers see.
func (s *shelf) sees() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.serves["items"]
}

func await(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
