package jobs_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// hanging makes a call block until its context ends, and says when it does.
func hanging() (hangs chan struct{}, hang func(context.Context) error) {
	hangs = make(chan struct{})
	var once sync.Once
	return hangs, func(ctx context.Context) error {
		once.Do(func() { close(hangs) })
		<-ctx.Done()
		return ctx.Err()
	}
}

// left checks that a stop left nothing behind: the lanes are free and the process has said goodbye.
func (w *world) left() {
	w.t.Helper()
	if n := value[int](w, `select count(*) from outbox.lanes where owner is not null`); n != 0 {
		w.t.Errorf("%d lanes are held", n)
	}
	if n := value[int](w, `select count(*) from outbox.owners where gone_at is null`); n != 0 {
		w.t.Errorf("%d processes have not left", n)
	}
}

// A store that hangs does not keep a process that shall end: the request is cut after the grace, and its records are
// suspect.
func TestStopCutsRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.Grace, w.c.Settings.Request = 50*time.Millisecond, time.Hour
	hangs, hang := hanging()
	w.store.onWrite = func(ctx context.Context, _ int, _ []backends.Record) error { return hang(ctx) }
	_, stop := w.start()
	w.exec(rows(3))
	<-hangs
	stop()
	w.left()
	if got := value[int](w, `select coalesce(sum(cardinality(keys)), 0) from outbox.suspects`); got != 3 {
		t.Errorf("%d keys are suspect, want 3", got)
	}
	w.store.onWrite = nil
	w.run()
	w.applied(`insert into item values (9, 'nine')`)
	w.agrees()
}

// A store whose preparation hangs does not keep a process either, nor one whose scan does.
func TestStopCutsOtherCalls(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*fake, func(context.Context) error){
		"prepare": func(f *fake, hang func(context.Context) error) {
			f.onPrepare = func(ctx context.Context, _ int) error { return hang(ctx) }
		},
		"scan": func(f *fake, hang func(context.Context) error) {
			f.targets["items"] = map[string]backends.Record{"77": {Key: "77"}}
			f.onScan = func(ctx context.Context, _ int) error { return hang(ctx) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.c.Settings.Grace, w.c.Settings.Request = 50*time.Millisecond, time.Hour
			hangs, hang := hanging()
			set(w.store, hang)
			w.exec(rows(3))
			_, stop := w.start()
			<-hangs
			stop()
			w.left()
		})
	}
}

// A verify under way does not keep a process: it ends at once, and another attempt goes on.
func TestStopEndsVerify(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.Request = time.Hour
	_, stop := w.start()
	w.applied(rows(3))
	w.drained()
	hangs, hang := hanging()
	w.store.set(func(f *fake) { f.onScan = func(ctx context.Context, _ int) error { return hang(ctx) } })
	w.enqueue(jobs.VerifyArgs{Backend: "main"}, "main")
	<-hangs
	stop()
	w.left()
	if got := value[string](w, `select state || ' ' || attempt from river.river_job where kind = 'verify'`); got != "available 0" {
		t.Errorf("the verify is %s", got)
	}
	w.store.set(func(f *fake) { f.onScan = nil })
	w.run()
	eventually(t, "the verify is done", func() bool {
		return value[string](w, `select state::text from river.river_job where kind = 'verify'`) == "completed"
	})
}

// An operator who cancels a job in River UI ends that job, not the work: the keeper inserts another.
func TestCancelledJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.Request = time.Hour
	hangs, hang := hanging()
	w.store.onWrite = func(ctx context.Context, n int, _ []backends.Record) error {
		if n == 1 {
			return hang(ctx)
		}
		return nil
	}
	w.start()
	token := w.write(rows(3))
	<-hangs
	id := value[int64](w, `select id from river.river_job where kind = 'project' and state = 'running'`)
	if _, err := w.river().JobCancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	w.wait(token)
	w.agrees()
	eventually(t, "the job is cancelled", func() bool {
		return value[string](w, `select state::text from river.river_job where id = $1`, id) == "cancelled"
	})
	if n := value[int](w, `select coalesce(sum(cardinality(keys)), 0) from outbox.suspects`); n != 3 {
		t.Errorf("%d keys of the request that was cut are suspect, want 3", n)
	}
}

// A backend that is taken out while its job runs gets no more, and what it had in hand is done or suspect.
func TestRemoveWhileItWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hangs, free := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.store.onWrite = func(context.Context, int, []backends.Record) error {
		once.Do(func() { close(hangs) })
		<-free
		return nil
	}
	e, _ := w.start()
	w.exec(rows(3))
	<-hangs
	removed := make(chan error, 1)
	go func() { removed <- e.Remove(context.WithoutCancel(t.Context()), "main") }()
	eventually(t, "it is out", func() bool { return !e.Runs("main") })
	if err := e.Remove(t.Context(), "main"); err == nil {
		t.Error("it was taken out twice")
	}
	close(free)
	if err := <-removed; err != nil {
		t.Fatal(err)
	}
	if n := value[int](w, `select count(*) from outbox.lanes where owner is not null`); n != 0 {
		t.Errorf("%d lanes are held", n)
	}
	before := w.store.sent
	w.exec(`update item set v = 'later'`)
	if err := e.Add(t.Context(), w.c.Backends[0], jobs.Limits{}, w.c.Projections); err != nil {
		t.Fatal(err)
	}
	w.applied(`update item set v = 'last'`)
	w.agrees()
	if w.store.sent == before {
		t.Error("nothing was sent after it came back")
	}
}

// An engine that is told to end before it began ends well, one that was never run is closed, and a database without
// the tables is refused.
func TestRunThatDoesNotBegin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := jobs.Setup(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	e, err := jobs.New(t.Context(), w.c)
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Run(over); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if e, err = jobs.New(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if e, err = jobs.New(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	w.exec(`drop schema outbox cascade`)
	if err := e.Run(t.Context()); err == nil || errors.Is(err, outbox.ErrLost) {
		t.Errorf("a database without tables: %v", err)
	}
}
