package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// newBacklog is a world with two kinds, item and note, in which the log holds many small transactions of items. Its
// store takes its time, and at the fifth write news commits: a note, and an item. on is called for each write after
// that, with what it writes.
func newBacklog(t *testing.T, on func(n int, rs []backends.Record) error) *world {
	t.Helper()
	w := newWorld(t)
	w.exec(`create table note (id text primary key, v text)`)
	w.c.Kinds = append(w.c.Kinds, outbox.Kind{Name: "note", Table: "note"})
	w.c.Projections = append(w.c.Projections, jobs.Projection{Kind: "note", Backend: "main", Target: "notes", Query: `select id as key, v from note where id = any($1)`})
	w.c.Settings.PageKeys, w.c.Settings.Slice = 50, time.Minute
	if err := jobs.Setup(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	for i := range backlog {
		w.exec(`insert into item select g, 'v' from generate_series($1::int * 50 + 1, $1 * 50 + 50) g`, i)
	}
	ctx := context.WithoutCancel(t.Context())
	w.store.onWrite = func(_ context.Context, n int, rs []backends.Record) error {
		time.Sleep(20 * time.Millisecond)
		if n < 5 {
			return nil
		}
		if n == 5 {
			_, one := w.pool.Exec(ctx, `insert into note values ('news', 'x')`)
			_, two := w.pool.Exec(ctx, `insert into item values (1000000, 'news')`)
			return errors.Join(one, two)
		}
		return on(n, rs)
	}
	return w
}

// backlog is how many transactions of 50 items the log holds.
const backlog = 60

// What changes while a lane is far behind, of another kind or of the same, is written long before its turn comes, and
// nothing differs in the end. Nobody is told that it was applied before the position says so.
func TestFreshChangesDoNotWait(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	first := map[string]int{} // the number of the write that brought a key first
	w := newBacklog(t, func(n int, rs []backends.Record) error {
		mu.Lock()
		defer mu.Unlock()
		for _, r := range rs {
			if _, known := first[r.Key]; !known {
				first[r.Key] = n
			}
		}
		return nil
	})
	w.run()
	w.drained()
	w.agrees()
	if got := fmt.Sprint(w.store.holds("notes")); got != `map[news:{"v": "x"}]` {
		t.Errorf("notes are %s", got)
	}
	mu.Lock()
	defer mu.Unlock()
	last := first[fmt.Sprint(backlog*50)] // of the backlog
	for _, key := range []string{"news", "1000000"} {
		if n := first[key]; n == 0 || n > last/2 {
			t.Errorf("%s came with write %d, the backlog's last with %d", key, n, last)
		}
	}
	eventually(t, "the job tells of it", func() bool {
		return value[int](w, `select coalesce(sum((metadata->'output'->>'early')::int), 0) from river.river_job where kind = 'project'`) >= 2
	})
}

// A lane that is lost in the middle of a peek logs what the peek wrote again, because the next owner may have written a
// newer state before.
func TestLostInAPeek(t *testing.T) {
	t.Parallel()
	lost := make(chan struct{})
	var once sync.Once
	var w *world
	w = newBacklog(t, func(_ int, rs []backends.Record) (err error) {
		if slices.ContainsFunc(rs, func(r backends.Record) bool { return r.Key == "news" }) {
			once.Do(func() {
				_, err = w.pool.Exec(context.WithoutCancel(w.t.Context()),
					`update outbox.lanes set epoch = version + 1, version = version + 1, owner = 'somebody', expires = clock_timestamp()`)
				close(lost)
			})
		}
		return err
	})
	w.run()
	<-lost
	eventually(t, "the key of the peek is logged again", func() bool {
		return value[bool](w, `select exists (select from outbox.log where kind = 'note' and backend = 'main' and 'news' = any(keys) and headers->>'why' = 'lost')`)
	})
	w.drained()
	w.agrees()
}
