package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"
)

// longSleep stops the worker that writes to the backend with one lane and one request at a time, in the middle of a
// page, for longer than anybody suspects it. Meanwhile others change all that it has in hand. Then it goes on, and must
// not write to that backend any more: if it does it is killed, so that it cannot say what it has done.
//
// Where several requests are under way, one of them can always be between the look at the lease and the send: that is
// what suspects are for, for as long as they last. Here there is one, and it is stopped when it was answered.
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
	var wrote atomic.Bool
	t.store.onArrival(func(pid int, in writeRequest) {
		if pid == p.cmd.Process.Pid && in.Backend == single {
			wrote.Store(true)
			t.count("workers killed because they wrote after a long sleep", 1)
			t.fleet.signal(p, syscall.SIGKILL)
			<-p.done
		}
	})
	err = t.fleet.resume(p)
	t.store.onArrival(nil)
	if err != nil && !wrote.Load() {
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

// catch stops a worker that has just got an answer from the backend single, in the middle of a page. It answers nil if
// there was none.
func (t *torture) catch(ctx context.Context) *process {
	caught := make(chan *process, 1)
	t.store.onHold(func(pid int) {
		if p := t.fleet.find(pid); p != nil && t.fleet.stop(p, true) {
			caught <- p
		}
	})
	defer t.store.onHold(nil)
	for range 5 {
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
	for end := time.Now().Add(patience); ; {
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
			return fmt.Errorf("%v after a worker was stopped it still owns %d lanes and %d rows of suspects: %s", patience, owns, suspects, t.state(ctx))
		}
		pause(ctx, 100*time.Millisecond)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}
