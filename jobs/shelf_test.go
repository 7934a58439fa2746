package jobs_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
)

// shelf is a fake whose targets have generations, one of which readers see.
type shelf struct {
	*fake
	mu       sync.Mutex
	serves   map[string]int // what readers see, by target
	lost     []string       // writes to what is not there any more
	onFinish func(ctx context.Context, t backends.Target) error
	onServe  func(ctx context.Context, t backends.Target) error
	onDrop   func(ctx context.Context, t backends.Target) error
	onSend   func(t backends.Target, records []backends.Record) // before anything is applied
	refuses  func(t backends.Target, r backends.Record) bool
}

// newShelf is a world whose store is a shelf.
func newShelf(t *testing.T) (*world, *shelf) {
	t.Helper()
	w := newWorld(t)
	s := &shelf{fake: w.store, serves: map[string]int{}}
	fakes.Store(w.c.Backends[0].Settings["id"], s)
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.lost) > 0 {
			t.Errorf("written to what was dropped: %v", s.lost)
		}
	})
	return w, s
}

// in is the target as the fake has it: one for each generation.
func in(t backends.Target) backends.Target {
	t.Name += "@" + strconv.Itoa(t.Generation)
	return t
}

func (s *shelf) Prepare(ctx context.Context, targets []backends.Target) error {
	all := make([]backends.Target, len(targets))
	for i, t := range targets {
		all[i] = in(t)
	}
	if err := s.fake.Prepare(ctx, all); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range targets {
		if _, there := s.serves[t.Name]; !there && !t.Building {
			s.serves[t.Name] = t.Generation
		}
	}
	return nil
}

func (s *shelf) Write(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Result, error) {
	if !s.has(in(t).Name) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lost = append(s.lost, in(t).Name)
		return nil, fails(backends.Schema)
	}
	s.mu.Lock()
	send := s.onSend
	s.mu.Unlock()
	if send != nil {
		send(t, records)
	}
	results, err := s.fake.Write(ctx, in(t), records)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range results {
		if s.refuses != nil && s.refuses(t, records[i]) {
			results[i] = backends.Result{Outcome: backends.Failed, Err: fails(backends.Rejected)}
		}
	}
	return results, err
}

func (s *shelf) has(name string) bool {
	s.fake.mu.Lock()
	defer s.fake.mu.Unlock()
	return s.targets[name] != nil
}

func (s *shelf) Scan(ctx context.Context, t backends.Target, fn func([]backends.Entry) error) error {
	return s.fake.Scan(ctx, in(t), fn)
}

func (s *shelf) Lookup(ctx context.Context, t backends.Target, keys []string) ([]backends.Entry, error) {
	return s.fake.Lookup(ctx, in(t), keys)
}

func (s *shelf) Finish(ctx context.Context, t backends.Target) error {
	return s.call(ctx, s.onFinish, t)
}

func (s *shelf) Serve(ctx context.Context, t backends.Target) error {
	if err := s.call(ctx, s.onServe, t); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serves[t.Name] = t.Generation
	return nil
}

func (s *shelf) Drop(ctx context.Context, t backends.Target) error {
	if err := s.call(ctx, s.onDrop, t); err != nil {
		return err
	}
	s.mu.Lock()
	serves := s.serves[t.Name]
	s.mu.Unlock()
	if serves == t.Generation {
		return fmt.Errorf("readers see generation %d of %s", serves, t.Name)
	}
	s.set(func(f *fake) { delete(f.targets, in(t).Name) })
	return nil
}

// call calls a hook that the test may have set.
func (s *shelf) call(ctx context.Context, hook func(context.Context, backends.Target) error, t backends.Target) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if hook == nil {
		return nil
	}
	s.mu.Unlock()
	defer s.mu.Lock()
	return hook(ctx, t)
}

// seen is what readers of target items see.
func (s *shelf) seen() map[string]string {
	s.mu.Lock()
	n := s.serves["items"]
	s.mu.Unlock()
	return s.holds("items@" + strconv.Itoa(n))
}

// generations lists the generations that the store has.
func (s *shelf) generations() string {
	s.fake.mu.Lock()
	defer s.fake.mu.Unlock()
	var list []string
	for n := range 10 {
		if s.targets["items@"+strconv.Itoa(n)] != nil {
			list = append(list, strconv.Itoa(n))
		}
	}
	return strings.Join(list, " ")
}

// state is what is known of target items.
func (w *world) state() jobs.TargetState {
	w.t.Helper()
	all, err := jobs.Targets(context.WithoutCancel(w.t.Context()), w.pool, "main")
	if err != nil || len(all) != 1 {
		w.t.Fatalf("%+v, %v", all, err)
	}
	return all[0]
}

// begin begins a rebuild with the world's configuration.
func (w *world) begin() {
	w.t.Helper()
	if err := jobs.BeginRebuild(w.t.Context(), w.c, "main"); err != nil {
		w.t.Fatal(err)
	}
}

// rebuilt waits until no rebuild goes on.
func (w *world) rebuilt() {
	w.t.Helper()
	defer func() {
		if w.t.Failed() {
			w.t.Logf("%+v", w.state())
		}
	}()
	eventually(w.t, "the rebuild ends", func() bool { return !w.state().Rebuilding() })
}

// busy has writers at work until stop is called: items 1 to 20 count upwards, others come and go. watching checks what
// readers see meanwhile: those 20 are there, and never an older one.
func (w *world) busy(s *shelf) (stop func()) {
	w.t.Helper()
	w.applied(`insert into item select g, 'n' || 0 from generate_series(1, 20) g`)
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for n := 1; ctx.Err() == nil; n++ {
			_, err := w.pool.Exec(ctx, `
with a as (update item set v = 'n' || $1::int where id <= 20 and id % 5 = $1 % 5),
     b as (delete from item where id between 21 and 60 and id % 3 = $1 % 3 or id between 100 and 300 and id % 7 = $1 % 7)
insert into item select 100 + g % 200, 'x' from generate_series($1, 2 + $1) g on conflict do nothing`, n)
			if err == nil && n%10 == 0 {
				_, err = w.pool.Exec(ctx, `insert into item select g, 'y' from generate_series(21, 60) g on conflict (id) do update set v = 'z'`)
			}
			if err != nil && ctx.Err() == nil {
				w.t.Errorf("writing: %v", err)
				return
			}
			time.Sleep(3 * time.Millisecond)
		}
	})
	tasks.Go(func() { s.watch(ctx, w.t) })
	return sync.OnceFunc(func() { cancel(); tasks.Wait() })
}

// watch is a reader.
func (s *shelf) watch(ctx context.Context, t *testing.T) {
	t.Helper()
	last := map[string]int{}
	for ; ctx.Err() == nil; time.Sleep(3 * time.Millisecond) {
		seen := s.seen()
		for id := range 20 {
			key := strconv.Itoa(id + 1)
			doc, there := seen[key]
			digits := strings.TrimRight(strings.TrimLeft(doc, `{"v: nN`), `"}`)
			n, err := strconv.Atoi(digits)
			if !there || err != nil || n < last[key] {
				t.Errorf("readers see item %s as %q (%v), after %d", key, doc, err, last[key])
				return
			}
			last[key] = n
		}
	}
}
