package jobs_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// queue is what River shows of the queue of backend main.
func (w *world) queue() string {
	w.t.Helper()
	return value[string](w, `select coalesce(max(case when paused_at is null then 'runs' else 'paused' end || case when metadata ? 'outflow_paused' then ' by us' else '' end), 'not there')
 from river.river_queue where name = 'main'`)
}

// A queue that an operator paused in River UI stays paused, collects one job a lane and no more, and goes on when it
// is resumed.
func TestQueuePausedByOperator(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.Linger = 10 * time.Millisecond
	w.start()
	w.applied(rows(3))
	if err := w.river().QueuePause(t.Context(), "main", nil); err != nil {
		t.Fatal(err)
	}
	waiting := `select count(*) from river.river_job where kind = 'project' and state not in ('completed', 'cancelled')`
	eventually(t, "no job is under way", func() bool { return value[int](w, waiting) == 0 })
	token := w.write(`update item set v = 'later'`)
	eventually(t, "a job waits", func() bool { return value[int](w, waiting) == 1 })
	e, err := jobs.New(t.Context(), w.c) // another process that looks after the same lane
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	w.passes(3 * jobs.CallAgain)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := value[int](w, waiting); n != 1 {
		t.Errorf("%d jobs wait", n)
	}
	if got := w.queue(); got != "paused" {
		t.Errorf("the queue is %s", got)
	}
	if err := w.river().QueueResume(t.Context(), "main", nil); err != nil {
		t.Fatal(err)
	}
	w.wait(token)
	w.agrees()
}

// A backend that was resumed while no process ran, or whose process ended between the two steps, is worked again: its
// queue does not stay paused.
func TestResumedWhileNobodyRan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, stop := w.start()
	w.applied(rows(3))
	if err := outbox.Pause(t.Context(), w.pool, "main", "operator", "maintenance"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the queue shows it", func() bool { return w.queue() == "paused by us" })
	stop()
	if err := outbox.Resume(t.Context(), w.pool, "main"); err != nil {
		t.Fatal(err)
	}
	w.run()
	w.applied(`update item set v = 'x'`)
	w.agrees()
	eventually(t, "the mark is gone", func() bool { return w.queue() == "runs" })
}

// A queue that an operator resumed in River UI although its backend is paused is paused again: the backend decides.
func TestQueueResumedByOperator(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, stop := w.start()
	if err := outbox.Pause(t.Context(), w.pool, "main", "operator", "maintenance"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the queue shows it", func() bool { return w.queue() == "paused by us" })
	if err := w.river().QueueResume(t.Context(), "main", nil); err != nil {
		t.Fatal(err)
	}
	stop()
	w.run()
	eventually(t, "the queue shows it again", func() bool { return w.queue() == "paused by us" })
}

// A backend that the engine paused is tried now and then, and goes on when its store is healthy and prepared.
func TestProbe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var denied atomic.Bool
	denied.Store(true)
	var probes atomic.Int64
	w.store.onWrite = func(context.Context, int, []backends.Record) error {
		if denied.Load() {
			return fails(backends.Denied)
		}
		return nil
	}
	w.store.onHealth = func() error {
		if probes.Add(1); denied.Load() {
			return fails(backends.Denied)
		}
		return nil
	}
	_, stop := w.start()
	token := w.write(rows(3))
	eventually(t, "it is paused", func() bool { return value[bool](w, `select paused is not null from outbox.backends`) })
	before := probes.Load()
	eventually(t, "it was tried", func() bool { return probes.Load() > before })
	if got := value[string](w, `select paused from outbox.backends`); containsAll(got, "denied", "as commanded") != nil {
		t.Errorf("the reason is %s", got)
	}
	stop()
	denied.Store(false)
	w.run() // another process tries at once
	w.wait(token)
	w.agrees()
}

// A job for a lane that somebody holds does nothing and says so.
func TestJobForHeldLane(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hangs, hang := hanging()
	w.c.Settings.Grace = 50 * time.Millisecond
	w.store.onWrite = func(ctx context.Context, _ int, _ []backends.Record) error { return hang(ctx) }
	w.start()
	w.exec(rows(3))
	<-hangs
	w.enqueue(jobs.ProjectArgs{Backend: "main"}, "main")
	eventually(t, "it says so", func() bool {
		return value[int](w, `select count(*) from river.river_job where kind = 'project' and state = 'completed' and metadata->'output'->>'held' = 'true'`) == 1
	})
}

// A job of a backend that this process does not have is cancelled with a reason.
func TestJobOfUnknownBackend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.enqueue(jobs.ProjectArgs{Backend: "other"}, "main")
	eventually(t, "it is cancelled", func() bool {
		return value[int](w, `select count(*) from river.river_job where state = 'cancelled' and errors::text like '%backend other is not configured%'`) == 1
	})
}

// Two processes share the lanes; when one ends the other goes on. What a job is about can be filtered in River UI.
func TestTwoEngines(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.Lanes = 2
	_, stop := w.start()
	w.run()
	w.exec(rows(500))
	w.applied(`update item set v = v || '!'`)
	w.agrees()
	stop()
	w.applied(`update item set v = v || '?'`)
	w.agrees()
	var job struct{ Queue, Tags string }
	if err := w.pool.QueryRow(t.Context(), `select queue, tags::text from river.river_job where kind = 'project' and args = '{"lane": 1, "backend": "main"}' limit 1`).Scan(&job.Queue, &job.Tags); err != nil {
		t.Fatal(err)
	}
	if job.Queue != "main" || job.Tags != "{backend-main,lane-1}" {
		t.Errorf("queue %s, tags %s", job.Queue, job.Tags)
	}
	if n := value[int](w, `select max(octet_length((metadata->'output')::text)) from river.river_job where kind = 'project'`); n > 2500 {
		t.Errorf("an output has %d bytes", n)
	}
}

// Without notifications, everything works all the same.
func TestPoll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.Poll = true
	w.start()
	w.applied(rows(10))
	w.drained()
	w.applied(`update item set v = 'x'`)
	w.agrees()
	if n := value[int](w, `select last_value from outbox.idle`); n != 0 {
		t.Error("somebody wants to be notified")
	}
	if n := value[int](w, `select count(*) from pg_stat_activity where datname = current_database() and query ilike 'listen%'`); n != 0 {
		t.Errorf("%d connections listen", n)
	}
}

// With as few connections as an engine accepts, and more lanes than that was counted for, nobody waits for a
// connection that another holds: not even when all lanes log what follows from a change, through several kinds.
func TestFewConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table shelf (id int primary key, room int)`)
	w.exec(`create table room (id int primary key, name text)`)
	w.exec(`alter table item add shelf int`)
	w.c.Kinds = append(w.c.Kinds,
		outbox.Kind{Name: "shelf", Table: "shelf", Dependants: map[string]string{"item": `select id::text from item where shelf = any($1::text[]::int[])`}},
		outbox.Kind{Name: "room", Table: "room", Dependants: map[string]string{"shelf": `select id::text from shelf where room = any($1::text[]::int[])`}})
	w.c.Projections[0].Query = `select i.id as key, r.name as v from item i join shelf s on s.id = i.shelf join room r on r.id = s.room where i.id = any($1::text[]::int[])`
	if err := jobs.Setup(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	if err := outbox.Split(t.Context(), w.pool, "main", 0, 16); err != nil {
		t.Fatal(err)
	}
	c := w.c
	cfg, err := pgxpool.ParseConfig(pgtest.URL(t, w.pool))
	if err != nil {
		t.Fatal(err)
	}
	cfg.MaxConns = 6
	if c.Pool, err = pgxpool.NewWithConfig(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	w.exec(`insert into room select g, 'r' || g from generate_series(1, 50) g`)
	w.exec(`insert into shelf select g, g % 50 + 1 from generate_series(1, 500) g`)
	w.exec(`insert into item select g, '', g % 500 + 1 from generate_series(1, 2000) g`)
	e, err := jobs.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		c.Pool.Close()
	})
	w.applied(`update room set name = 'x' || id`)
	if got := w.store.holds("items")["2000"]; got != `{"v": "x2"}` {
		t.Errorf("item 2000 is %s", got)
	}
}

// Rows that all backends have applied are pruned by a job of its own, which says how many.
func TestPruneJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.Retention = time.Millisecond
	w.start()
	w.applied(rows(10))
	w.drained()
	eventually(t, "the log is empty", func() bool {
		if value[int](w, `select count(*) from river.river_job where kind = 'prune' and state in ('available', 'running')`) == 0 {
			w.enqueue(jobs.PruneArgs{}, "maintenance")
		}
		return value[int](w, `select count(*) from outbox.log`) == 0
	})
	eventually(t, "a job says how many rows", func() bool {
		return value[int](w, `select coalesce(sum((metadata->'output'->>'rows')::int), 0) from river.river_job where kind = 'prune' and state = 'completed'`) > 0
	})
	eventually(t, "one comes by itself, in its queue and with its tag", func() bool {
		return value[int](w, `select count(*) from river.river_job where kind = 'prune' and queue = 'maintenance' and tags = '{maintenance}'`) > 0
	})
}

// passes lets time go by for something that must not happen. How long it really is decides about the test's power,
// never about its outcome.
func (w *world) passes(d time.Duration) {
	w.t.Helper()
	select {
	case <-time.After(d):
	case <-w.t.Context().Done():
	}
}

// Every lane that is called for has its job taken at once: River is told of it when it is there. River tells of one job in
// a while only, and a job that it does not tell of waits for its poll.
func TestEveryCallIsHeard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Settings.Lanes = 8
	if err := jobs.Setup(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	e, err := jobs.New(t.Context(), w.c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	ear, err := pgx.ConnectConfig(t.Context(), w.pool.Config().ConnConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ear.Close(t.Context()) }()
	if _, err := ear.Exec(t.Context(), `listen "river.river_insert"`); err != nil {
		t.Fatal(err)
	}
	lane := 0
	for _, n := range []int{1, 3, 2, 2} {
		var due []jobs.ProjectArgs
		for range n {
			due, lane = append(due, jobs.ProjectArgs{Backend: "main", Lane: lane}), lane+1
		}
		if err := errors.Join(e.Call(t.Context(), due...), e.Call(t.Context(), due...)); err != nil { // who calls again finds it waiting
			t.Fatal(err)
		}
		if _, err := ear.WaitForNotification(t.Context()); err != nil {
			t.Fatal(err)
		}
		if there := value[int](w, `select count(*)::int from river.river_job where kind = 'project'`); there != lane {
			t.Errorf("when River is told there are %d jobs, want %d", there, lane)
		}
	}
}
