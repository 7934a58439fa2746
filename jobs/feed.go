package jobs

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// feed reads the log behind a tenure's position, page by page, and hands out portions. It runs one portion ahead of
// the writer.
type feed struct {
	e       *Engine
	s       *store
	t       *outbox.Tenure
	reader  *outbox.Reader
	pos     outbox.Position // what has been handed out
	began   time.Time       // when the last page began to be read
	moved   bool            // pos has gone on since the last portion
	collect collector
	along   []*plan       // that the page before asked for, if it was short
	last    outbox.Glance // that page, if it was the end of what there was
	keys    int           // of a page, about
	rows    int           // limit of rows for the next page
	portion chan *portion
	ledger  *ledger   // of what was handed out
	until   time.Time // no new page is begun after this

	target outbox.Snapshot // of the delta under way, as of the last page
	peeked outbox.Snapshot // what is visible in it was peeked at, or is the pages'
	glance time.Time       // when the last peek began
}

// keysPerRow is how many keys a row of the log has at most. The first page of a job is read as if all had.
const keysPerRow = 500

// errEnough ends a feed that has nothing more to do.
var errEnough = errors.New("enough for this slice")

// run hands out portions until the slice is over, nothing comes for the time of a linger, or ctx ends. It closes
// the channel of portions and answers why it ended; nil means that all is well.
func (f *feed) run(ctx context.Context) error {
	defer close(f.portion)
	for {
		err := f.await(ctx)
		if err == nil {
			err = f.page(ctx)
		}
		if err == nil {
			err = f.peek(ctx)
		}
		switch {
		case err == nil:
		case !errors.Is(err, errEnough):
			return err
		case f.moved:
			return f.hand(ctx, &outbox.Page{Next: f.pos}, &portion{}, nil)
		default:
			return nil
		}
	}
}

// await returns when there is something to read, and moves over what concerns others.
func (f *feed) await(ctx context.Context) error {
	if f.stop() {
		return errEnough
	}
	found, err := f.e.waker.Await(ctx, min(f.e.c.Settings.Linger, time.Until(f.until)), f.last, func(ctx context.Context) (bool, outbox.Snapshot, error) {
		if f.stop() {
			return false, outbox.Snapshot{}, errEnough
		}
		found, at, err := f.reader.Look(ctx, f.pos)
		if err == nil && !found {
			f.pos, f.moved = outbox.Position{At: at}, true
		}
		return found, at, err
	})
	if err == nil && !found {
		err = errEnough
	}
	return err
}

// stop says whether the job should make room.
func (f *feed) stop() bool {
	return f.t.Hold() || f.e.stopping(f.s) || time.Now().After(f.until)
}

// page reads one page and hands it out in portions.
func (f *feed) page(ctx context.Context) error {
	version, err := f.t.Version()
	if errors.Is(err, outbox.ErrSave) {
		return errEnough // the end of the job saves
	}
	if err != nil {
		return err
	}
	if err := f.room(ctx, nil); err != nil {
		return err
	}
	if f.stop() { // waiting for room can take long
		return errEnough
	}
	f.began, f.collect.version, f.collect.most = time.Now(), version, 0
	first := &portion{}
	var rest []ask
	ahead, glance := false, f.e.waker.Glance()
	state := func(ctx context.Context, conn *pgx.Conn, page *outbox.Page) (err error) {
		rest, err = f.collect.read(ctx, conn, f.s.asks(page), first)
		ahead = err == nil && len(rest) == 0 && page.Durable && f.offer(page, first)
		return err
	}
	page, err := f.reader.Page(ctx, f.pos, f.rows, f.collect.questions(f.along), state)
	if errors.Is(err, outbox.ErrAsked) { // what was answered before the failure is of an older snapshot
		page, err = f.reader.Page(ctx, f.pos, f.rows, f.collect.questions(nil), state)
	}
	if refused(err) { // some key makes the query fail: the page without its records, and then those by themselves
		first = &portion{}
		page, err = f.reader.Page(ctx, f.pos, f.rows, nil, func(_ context.Context, _ *pgx.Conn, page *outbox.Page) error {
			rest, f.collect.most = f.s.asks(page), chunkFirst
			return nil
		})
	}
	f.collect.answers = nil
	if err != nil {
		return err
	}
	if f.last = (outbox.Glance{}); !page.More {
		f.last = glance.Saw(page.Next.At)
	}
	if !page.Empty() {
		f.along = f.s.along(page)
	}
	f.rows = nextRows(f.rows, page.Rows, page.Count(), f.keys)
	if f.pos = page.Next; ahead {
		f.moved = false
		return nil
	}
	return f.hand(ctx, page, first, rest)
}

// offer passes a whole page on if the writer waits for it, so that it does not wait for the end of the transaction
// that read the page as well. It must be on disk what that saw.
func (f *feed) offer(page *outbox.Page, all *portion) bool {
	all.page, all.began, all.last = page, f.began, true
	f.ledger.hold(all)
	select {
	case f.portion <- all:
		runtime.Gosched() // the writer's request comes before the end of the transaction
		return true
	default:
		all.leave()
		return false
	}
}

// hand passes the first portion on, and then reads and passes on what is left of the page.
func (f *feed) hand(ctx context.Context, page *outbox.Page, next *portion, rest []ask) error {
	for {
		next.page, next.began, next.last = page, f.began, len(rest) == 0
		f.ledger.hold(next)
		select {
		case f.portion <- next:
			f.moved = false
		case <-ctx.Done():
			return ctx.Err()
		}
		if len(rest) == 0 {
			return nil
		}
		next = &portion{}
		err := f.room(ctx, rest[0].plan)
		if err != nil {
			return err
		}
		if rest, err = f.more(ctx, rest, next); err != nil {
			return err
		}
	}
}

// more reads a portion in a transaction of its own, and answers what is left. Where PostgreSQL cannot make some
// key's record, it asks for ever fewer keys until it knows which, and refuses that one.
func (f *feed) more(ctx context.Context, rest []ask, into *portion) ([]ask, error) {
	for {
		var left []ask
		err := f.reader.State(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
			left, err = f.collect.read(ctx, conn, slices.Clone(rest), into)
			return err
		})
		switch {
		case err == nil:
			f.collect.most = min(f.collect.most*2, chunkMost)
			return left, nil
		case !refused(err):
			return nil, err
		case f.collect.most == 1:
			return f.collect.refuse(rest, backends.AsError("project", f.s.name, err), into), nil
		}
		*into = portion{}
		f.collect.most = max(f.collect.chunk(rest[0].plan)/2, 1)
	}
}

func refused(err error) bool { return err != nil && backends.ClassOf(err) == backends.Rejected }

// room waits until the lane may hold another portion, of records of the projection or, with nil, of any, and bounds it.
func (f *feed) room(ctx context.Context, of *plan) (err error) {
	set, mean := f.e.c.Settings, f.collect.sizes[of]
	if of == nil {
		mean = largest(f.collect.sizes)
	}
	f.collect.bound, err = f.ledger.await(ctx, func(held int) int {
		lanes := int(f.e.atWork.Load())
		return roomFor(set.share(lanes), held, set.portionBytes(lanes), mean)
	})
	return err
}

// nextRows is the limit of rows for the next page, after one of rows with keys, so that it has about as many keys
// as wanted. It grows by at most four times, because rows differ.
func nextRows(limit, rows, keys, want int) int {
	if rows == 0 {
		return limit
	}
	perRow := max(float64(keys)/float64(rows), 0.25)
	next := min(int(float64(want)/perRow), limit*4)
	return min(max(next, 1), want)
}
