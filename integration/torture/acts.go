package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// longSleep stops a worker with its hands full for longer than anybody suspects it, changes what it has in hand, and
// lets it go on: it must not write any more, or say so.
func (t *torture) longSleep(ctx context.Context) {
	p := t.catch(ctx)
	if p == nil {
		t.count("long sleeps that did not come about", 1)
		return
	}
	err := t.forgotten(ctx, p)
	if err == nil {
		err = t.touch(ctx)
	}
	if err != nil && ctx.Err() == nil {
		t.fail("a long sleep: %v", err)
	}
	t.count("long sleeps", 1)
	if err := t.fleet.resume(p); err != nil {
		t.fail("after a long sleep: %v", err)
	}
}

// touch changes all rows of t that the writers use.
func (t *torture) touch(ctx context.Context) error {
	for range 100 {
		_, err := t.pool.Exec(ctx, `update app.t set a = a + 1 where id < 100000`)
		if err == nil || ctx.Err() != nil {
			return err
		}
		pause(ctx, 50*time.Millisecond) // a deadlock with a writer
	}
	return errors.New("the rows could not be changed")
}

// catch stops a worker whose request, the first of several of a page, has just come. It answers nil if none came.
func (t *torture) catch(ctx context.Context) *process {
	caught := make(chan *process, 1)
	t.store.onArrival(func(pid int, in writeRequest) {
		if in.Kind != "t" || len(in.Records) < batchRecords {
			return
		}
		if p := t.fleet.find(pid); p != nil && len(caught) == 0 && t.fleet.stop(p, true) {
			caught <- p
			t.store.onArrival(nil)
		}
	})
	defer t.store.onArrival(nil)
	for range 3 {
		if t.touch(ctx) != nil {
			return nil
		}
		select {
		case p := <-caught:
			return p
		case <-time.After(3 * time.Second):
		}
	}
	return nil
}

// forgotten returns when others have the lanes of the process, and nothing is suspect because of it.
func (t *torture) forgotten(ctx context.Context, p *process) error {
	for end := time.Now().Add(40 * time.Second); ; {
		var owns, suspects int
		err := t.pool.QueryRow(ctx, `
select (select count(*) from outbox.lanes l where l.owner = o.owner), (select count(*) from outbox.suspects s where s.owner = o.owner)
  from outbox.owners o where o.pid = $1 order by o.seen_at desc limit 1`, p.cmd.Process.Pid).Scan(&owns, &suspects)
		if err != nil {
			return err
		}
		if owns+suspects == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("40 seconds after a worker was stopped it still owns %d lanes and %d rows of suspects: %s", owns, suspects, t.state(ctx))
		}
		pause(ctx, 100*time.Millisecond)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}
