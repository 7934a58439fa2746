package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/outbox"
)

// Peeks.
const (
	peekEvery = 100 * time.Millisecond // between two peeks at least
	peekShare = 4                      // a peek takes a quarter as many keys of each kind as a page
)

// peek writes, while the lane is far behind and the backend's limits do not forbid it, what has changed just now before its turn comes: between two pages, with a
// version of its own, and without moving the position. The pages write it again. docs/decisions/0016 says why that is
// exact.
func (f *feed) peek(ctx context.Context) error {
	if f.s.limits.InTurn || f.pos.Target.Zero() || f.stop() { // the next page is the end of what there is
		return nil
	}
	if !f.target.Equal(f.pos.Target) { // another delta: all that is visible in its target is the pages'
		f.target, f.peeked = f.pos.Target, f.pos.Target
		return nil // the lane is far behind only if this page is not the last but one
	}
	if time.Since(f.glance) < peekEvery {
		return nil
	}
	version, err := f.t.Version()
	if errors.Is(err, outbox.ErrSave) {
		return nil // the next page sees to it
	}
	if err != nil {
		return err
	}
	if err := f.room(ctx, nil); err != nil {
		return err
	}
	f.glance, f.collect.version, f.collect.most = time.Now(), version, 0
	first := &portion{}
	var rest []ask
	page, now, err := f.reader.Peek(ctx, f.peeked, max(f.keys/peekShare, 1), func(ctx context.Context, conn *pgx.Conn, page *outbox.Page) (err error) {
		rest, err = f.collect.read(ctx, conn, f.s.asks(page), first)
		return err
	})
	if refused(err) {
		f.peeked = f.pos.Target
		return nil // the pages find out which key it is
	}
	if err != nil {
		return err
	}
	if f.peeked = now; page.Empty() {
		return nil
	}
	f.began = f.glance
	return f.hand(ctx, page, first, rest)
}

// early says that the flight is a peek's.
func (f *flight) early() bool { return f.page.Next.At.Zero() }

// glanced notes that every record of a peek is acknowledged or parked. What it sent is confessed if the lane turns out to
// be lost, until a save says that it was not.
func (w *writer) glanced(f *flight) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done.Early += f.page.Count()
	for kind, keys := range f.sent {
		w.behind[kind] = append(w.behind[kind], keys...)
	}
}
