package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// filled starts an engine, and returns when the fill is over: what a test writes then is written once.
func (w *world) filled() (stop func()) {
	w.t.Helper()
	_, stop = w.start()
	w.applied(rows(1))
	w.drained()
	return stop
}

// mapping is a conflict in a store: records whose document has "bad" are refused until it is mended.
type mapping struct {
	mended  atomic.Bool
	refused atomic.Int64 // records
	writes  atomic.Int64 // requests with such a record
}

// conflicts makes the store refuse bad records, and tries what is parked again soon.
func (w *world) conflicts() *mapping {
	m := &mapping{}
	w.c.Settings.RetryFirst, w.c.Settings.RetryMost = 50*time.Millisecond, 200*time.Millisecond
	w.c.Settings.Poll = true // River then looks every second for jobs that come back
	bad := func(r backends.Record) bool { return bytesHave(r.Doc, "bad") }
	w.store.refuse = func(r backends.Record) *backends.Error {
		if !bad(r) || m.mended.Load() {
			return nil
		}
		m.refused.Add(1)
		return &backends.Error{Op: "write", Class: backends.Rejected, Err: fmt.Errorf("failed to parse field [v] of type [long] in document with id '%s'. Preview of field's value: 'bad %s'", r.Key, r.Key)}
	}
	w.store.onWrite = func(_ context.Context, _ int, rs []backends.Record) error {
		if slices.ContainsFunc(rs, bad) {
			m.writes.Add(1)
		}
		return nil
	}
	return m
}

func (w *world) parked() int {
	w.t.Helper()
	return value[int](w, `select count(*) from outbox.parked`)
}

// rounds waits until the group has been tried again so often in a row that nothing was taken, and answers how often each
// of its records was refused, all together, at a moment between two rounds.
func (w *world) rounds(n int) (tries, attempts int) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("%d rounds are over", n), func() bool {
		return w.pool.QueryRow(w.t.Context(), `
select r.tries, (select sum(attempts) from outbox.parked)::int from outbox.retries r where r.tries >= $1 and token is null`, n).Scan(&tries, &attempts) == nil
	})
	return tries, attempts
}

const liveRetries = `select count(*) from river.river_job where kind = 'retry' and state in ('available', 'scheduled', 'running', 'retryable')`

// A group of refused records arrives by itself after the cause was mended in the store, without a write and without a
// hand. Its job says what it did, and so does an event; nothing is left of it.
func TestParkedComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.conflicts()
	w.start()
	w.applied(rows(800), `update item set v = 'bad ' || id where id <= 700`)
	if n := w.parked(); n != 700 {
		t.Fatalf("%d records are parked", n)
	}
	eventually(t, "a retry sees to them", func() bool { return value[int](w, liveRetries) == 1 })
	w.rounds(1)
	m.mended.Store(true)
	eventually(t, "nothing is parked", func() bool { return w.parked() == 0 })
	w.agrees()
	eventually(t, "the job is done", func() bool {
		return value[int](w, `select count(*) from river.river_job where kind = 'retry' and state = 'completed' and metadata->'output'->>'phase' = 'done'`) == 1
	})
	eventually(t, "nothing is left of the group", func() bool {
		return value[int](w, `select count(*) from outbox.retries`)+value[int](w, liveRetries) == 0
	})
	if got := value[string](w, `select format('%s %s %s %s', who, backend, kind, sum((details->>'taken')::int)) from outbox.events where what = 'retried' group by who, backend, kind`); got != "engine main item 700" {
		t.Errorf("events say %s", got)
	}
}

// While the cause holds, a round is one request with a sample, whatever the size of the group, and each round takes other
// records.
func TestRetryIsNoStorm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.conflicts()
	w.filled()
	w.applied(`insert into item select g, 'bad ' || g from generate_series(1000, 1299) g`)
	first := m.writes.Load()
	tries, attempts := w.rounds(4)
	if attempts != 300+5*tries {
		t.Errorf("after %d rounds 300 records were refused %d times", tries, attempts)
	}
	if n := value[int](w, `select max(attempts) from outbox.parked`); n > 2 && tries < 60 {
		t.Errorf("a record was refused %d times before others were tried", n)
	}
	if writes := m.writes.Load() - first; writes > int64(tries)+2 { // others may have been under way since
		t.Errorf("%d rounds were %d requests", tries, writes)
	}
}

// What River shows of a retry says what it is, without the content of records in its arguments: what is tried when, and
// what became of it.
func TestRetryShows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conflicts()
	w.c.Settings.RetryFirst, w.c.Settings.RetryMost = 5*time.Hour, 6*time.Hour
	w.start()
	w.applied(`insert into item select g, 'bad ' || g from generate_series(1000, 1099) g`)
	eventually(t, "a retry waits", func() bool { return value[int](w, liveRetries) == 1 })
	if got := value[string](w, `select metadata->'output'->>'phase' || ' ' || (metadata->'output'->>'records') || ' ' || (metadata->'output' ? 'next_at') from river.river_job where kind = 'retry'`); got != "waiting 100 true" {
		t.Errorf("a new job shows %s", got)
	}
	if _, err := w.river().JobRetry(t.Context(), value[int64](w, `select id from river.river_job where kind = 'retry'`)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the job waits for its next round", func() bool {
		return value[int](w, liveRetries+` and (metadata->'output'->>'tries')::int > 0 and metadata->'output'->>'next_at' is not null`) == 1
	})
	var args jobs.RetryArgs
	var shown jobs.Retried
	raw, queue := value[string](w, `select args::text from river.river_job where kind = 'retry'`), value[string](w, `select queue from river.river_job where kind = 'retry'`)
	if err := errors.Join(json.Unmarshal([]byte(raw), &args), json.Unmarshal([]byte(value[string](w, `select metadata->>'output' from river.river_job where kind = 'retry'`)), &shown)); err != nil {
		t.Fatal(err)
	}
	want := jobs.RetryArgs{
		Backend: "main", Records: "item", Target: "items", Class: "rejected", Group: value[string](w, `select min(group_id) from outbox.parked`),
		Error: "failed to parse field [v] of type [long] in document with id '…'. Preview of field's value: '…'",
	}
	if args != want || queue != "main" || strings.Contains(raw, "bad") {
		t.Errorf("in queue %s: %s", queue, raw)
	}
	if shown.Phase != "waiting" || shown.Records != 100 || shown.Tried != 5 || shown.Taken != 0 || len(shown.Samples) != 3 || shown.Next == nil ||
		!strings.Contains(shown.Samples[0].Error, "id '"+shown.Samples[0].Key+"'") {
		t.Errorf("it shows %+v", shown)
	}
}

// A retry whose job was deleted, cancelled or lost with its process comes again.
func TestRetryJobIsLost(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]string{
		"deleted":   `delete from river.river_job where kind = 'retry'`,
		"cancelled": `update river.river_job set state = 'cancelled', finalized_at = now() where kind = 'retry'`,
		"lost":      `update river.river_job set state = 'running', attempted_at = now() - interval '3 minutes', attempt = 1 where kind = 'retry'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			m := w.conflicts()
			w.c.Settings.RetryFirst, w.c.Settings.RetryMost = time.Hour, time.Hour
			_, stop := w.start()
			w.applied(`insert into item values (1, 'bad'), (2, 'good')`)
			eventually(t, "a retry sees to it", func() bool { return value[int](w, liveRetries) == 1 })
			stop()
			w.exec(lose)
			w.exec(`update outbox.retries set next_at = now()`)
			m.mended.Store(true)
			w.run()
			eventually(t, "nothing is parked", func() bool { return w.parked() == 0 })
			w.agrees()
		})
	}
}

// Two processes that look after the same group do not try it twice as often.
func TestRetryByTwoProcesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conflicts()
	w.filled()
	w.run()
	w.applied(`insert into item select g, 'bad ' || g from generate_series(1001, 1100) g`)
	tries, attempts := w.rounds(3)
	if attempts != 100+5*tries {
		t.Errorf("after %d rounds 100 records were refused %d times", tries, attempts)
	}
	if n := value[int](w, `select count(*) from river.river_job where kind = 'retry'`); n != 1 {
		t.Errorf("there are %d jobs", n)
	}
}

// A job that is there twice, as after a process that seemed to be dead, gives way to the later one.
func TestRetryGivesWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conflicts()
	w.c.Settings.RetryFirst, w.c.Settings.RetryMost = time.Hour, time.Hour
	w.start()
	w.applied(`insert into item values (1, 'bad')`)
	eventually(t, "a retry sees to it", func() bool { return value[int](w, liveRetries) == 1 })
	w.exec(`insert into river.river_job (state, kind, queue, args, max_attempts, scheduled_at, metadata) select state, kind, queue, args, max_attempts, scheduled_at, metadata from river.river_job where kind = 'retry'`)
	if _, err := w.river().JobRetry(t.Context(), value[int64](w, `select min(id) from river.river_job where kind = 'retry'`)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first one ends", func() bool {
		return value[int](w, `select count(*) from river.river_job where kind = 'retry' and state = 'completed' and metadata->'output'->>'held' = 'true'`) == 1
	})
	if n := value[int](w, liveRetries); n != 1 {
		t.Errorf("%d jobs are left", n)
	}
}

// An operator who retries the job in River UI has a round begun at once, whenever the next one would be.
func TestRetryNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.conflicts()
	w.c.Settings.RetryFirst, w.c.Settings.RetryMost = 5*time.Hour, 6*time.Hour
	w.filled()
	w.applied(`insert into item select g, 'bad ' || g from generate_series(1001, 1040) g`)
	eventually(t, "a retry waits", func() bool { return value[int](w, liveRetries+` and scheduled_at > now() + interval '3 hours'`) == 1 })
	id := value[int64](w, `select id from river.river_job where kind = 'retry'`)
	retry := func() {
		t.Helper()
		if _, err := w.river().JobRetry(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	retry()
	tries, attempts := w.rounds(1)
	if tries != 1 || attempts != 45 {
		t.Errorf("after %d rounds 40 records were refused %d times", tries, attempts)
	}
	m.mended.Store(true)
	eventually(t, "the job waits again", func() bool {
		return value[int](w, liveRetries+` and state = 'scheduled' and scheduled_at > now() + interval '4 hours'`) == 1
	})
	retry()
	eventually(t, "nothing is parked", func() bool { return w.parked() == 0 })
	w.agrees()
}

// A group that a write of its records has emptied has its job ended at once, not when the next round would be.
func TestRetryOfNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conflicts()
	w.c.Settings.RetryFirst, w.c.Settings.RetryMost = 5*time.Hour, 6*time.Hour
	w.start()
	w.applied(`insert into item values (1, 'bad')`)
	eventually(t, "a retry waits", func() bool { return value[int](w, liveRetries) == 1 })
	w.applied(`update item set v = 'good'`)
	eventually(t, "it has ended", func() bool {
		return value[int](w, `select count(*) from outbox.retries`)+value[int](w, liveRetries) == 0
	})
	if got := value[string](w, `select state || ' ' || (metadata->'output'->>'phase') from river.river_job where kind = 'retry'`); got != "completed done" {
		t.Errorf("the job is %s", got)
	}
}

// Where some of a group are taken and others not, all that are taken arrive, round by round.
func TestRetryOfSome(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.conflicts()
	all := w.store.refuse
	var some atomic.Bool
	w.store.refuse = func(r backends.Record) *backends.Error {
		if some.Load() && !strings.HasSuffix(r.Key, "7") {
			return nil
		}
		return all(r)
	}
	w.start()
	w.applied(`insert into item select g, 'bad ' || g from generate_series(1, 500) g`)
	some.Store(true)
	eventually(t, "those that are taken arrive", func() bool { return w.parked() == 50 })
	m.mended.Store(true)
	eventually(t, "the others follow", func() bool { return w.parked() == 0 })
	w.agrees()
}

// While the backend is paused nothing is tried again.
func TestRetryHoldsWithItsBackend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.conflicts()
	w.start()
	w.applied(`insert into item values (1, 'bad')`)
	w.rounds(1)
	if err := outbox.Pause(t.Context(), w.pool, "main", "operator", "new disks"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the queue shows it, and nobody works", func() bool {
		return w.queue() == "paused by us" && value[int](w, `select count(*) from river.river_job where state = 'running'`) == 0 &&
			value[int](w, `select count(*) from outbox.lanes where owner is not null`) == 0
	})
	before := m.refused.Load()
	w.passes(time.Second)
	if n := m.refused.Load() - before; n > 0 {
		t.Errorf("%d records were sent", n)
	}
	m.mended.Store(true)
	if err := outbox.Resume(t.Context(), w.pool, "main"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing is parked", func() bool { return w.parked() == 0 })
}

// Dependants that could not be found are found by a retry once their query works.
func TestRetryOfDependants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conflicts()
	w.exec(`create table shelf (id int primary key, room int)`)
	w.exec(`alter table item add shelf int`)
	w.exec(`create function rooms() returns int language plpgsql as $$ begin return 1 / 0; end $$`)
	w.c.Kinds = append(w.c.Kinds, outbox.Kind{Name: "shelf", Table: "shelf", Dependants: map[string]string{
		"item": `select id::text from item where shelf = any($1::text[]::int[]) and rooms() > 0`,
	}})
	w.c.Projections[0].Query = `select i.id as key, s.room as v from item i join shelf s on s.id = i.shelf where i.id = any($1::text[]::int[])`
	w.start()
	w.applied(`insert into shelf values (1, 1)`, `insert into item values (1, '', 1)`)
	w.applied(`update shelf set room = 2`)
	if got := value[string](w, `select target || ' ' || key from outbox.parked`); got != "(dependants) 1" {
		t.Fatalf("parked: %s", got)
	}
	w.exec(`create or replace function rooms() returns int language sql as $$ select 1 $$`)
	eventually(t, "nothing is parked", func() bool { return w.parked() == 0 })
	eventually(t, "the dependant is written", func() bool { return w.store.holds("items")["1"] == `{"v": 2}` })
}

// A failure of the database while a group is tried is one of the job, which comes back.
func TestRetryFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.conflicts()
	w.start()
	w.applied(`insert into item values (1, 'bad')`)
	w.rounds(1)
	w.exec(`alter table outbox.retries rename column taken to took`)
	eventually(t, "the job says so", func() bool {
		return value[int](w, `select count(*) from river.river_job where kind = 'retry' and errors::text like '%trying group % of backend main again%'`) == 1
	})
	w.exec(`alter table outbox.retries rename column took to taken`)
	m.mended.Store(true)
	eventually(t, "nothing is parked", func() bool { return w.parked() == 0 })
}

// A job for a backend that this process does not have waits for one that has it.
func TestRetryOfUnknownBackend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.enqueue(jobs.RetryArgs{Backend: "other", Group: "x"}, "main")
	eventually(t, "it waits", func() bool {
		return value[int](w, `select count(*) from river.river_job where kind = 'retry' and metadata->>'snoozes' is not null`) == 1
	})
}
