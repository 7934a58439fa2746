package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// How a sleeping reader stays reachable. The flag says "somebody sleeps until then"; it runs out by itself, so
// that nobody has to clear it while others sleep, and no crash leaves it set.
const (
	flagAhead   = 3 * time.Second        // the flag is set this far ahead
	flagMargin  = 500 * time.Millisecond // and counts as run out this much earlier
	flagRefresh = 1500 * time.Millisecond
	napLong     = time.Second           // between two looks when nothing can be missed: the net under the notifications
	napShort    = 50 * time.Millisecond // between two looks otherwise
	napBusy     = 2 * time.Millisecond  // between two looks while changes come fast
	gapBusy     = 10 * time.Millisecond // changes come fast when there are mostly more after a wait of less than this
	busyMost    = 40 * time.Millisecond // how long changes that came fast may stay away until the flag is set

	flagLock = 0x6f7574626f78 // "outbox": the advisory lock of those who set the flag
)

// Waker tells readers of one process that something was committed. A NOTIFY in every transaction would cut the
// writers' throughput to a fifth, so they notify only while the flag says that somebody sleeps.
//
// A writer inserts its row of the log first, which gives it a transaction id, and reads the flag after that. A
// sleeper sets the flag, takes a transaction id F in a second transaction, and looks once more: a writer that had
// read the flag too early has an id below F. When the oldest transaction running at that look is above F there is
// no such writer left, and the sleeper can rely on the notification; until then it keeps looking.
//
// While changes come fast the flag is not set, and runs out: a sleeper then looks every few milliseconds, and no writer
// pays for a notification.
type Waker struct {
	pool *pgxpool.Pool
	log  *slog.Logger

	mu       sync.Mutex
	listens  bool
	arrived  chan struct{} // closed and replaced at each notification, and by Wake
	woken    chan struct{} // closed and replaced by Wake
	setUntil time.Time     // the flag is set until then; zero: it is not
	fence    uint64        // no writer with an id from here on has missed the flag
	gap      time.Duration // how long sleepers wait until there is more, on average
}

// NewWaker makes a waker that polls until Listen runs.
func NewWaker(pool *pgxpool.Pool, log *slog.Logger) *Waker {
	return &Waker{pool: pool, log: log, arrived: make(chan struct{}), woken: make(chan struct{}), gap: napShort}
}

// Listen receives notifications until ctx ends. It connects again after a failure; in the meantime, and for whoever
// never runs it, Sleep polls. It needs a connection that is not pooled per transaction (PgBouncer): there LISTEN
// is accepted and nothing ever arrives.
func (w *Waker) Listen(ctx context.Context) {
	for ctx.Err() == nil {
		if err := w.listen(ctx); err != nil && ctx.Err() == nil {
			w.log.WarnContext(ctx, "listening for changes failed, polling until it works again", "error", err)
			pause(ctx, time.Second)
		}
	}
}

func (w *Waker) listen(ctx context.Context) error {
	pooled, err := w.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	conn := pooled.Hijack() // it must not go back to the pool while it listens
	defer func() {
		w.connected(false)
		_ = conn.Close(context.WithoutCancel(ctx)) // a connection that cannot be closed is gone as well
	}()
	if _, err := conn.Exec(ctx, `listen outbox_wake`); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	w.connected(true)
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return fmt.Errorf("waiting for a notification: %w", err)
		}
		w.notified()
	}
}

func (w *Waker) connected(yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listens, w.setUntil = yes, time.Time{}
}

func (w *Waker) notified() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.arrived)
	w.arrived = make(chan struct{})
}

// Wake ends all sleeps of this process.
func (w *Waker) Wake() {
	w.notified()
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.woken)
	w.woken = make(chan struct{})
}

// Woken is closed by the next Wake. Notifications do not close it.
func (w *Waker) Woken() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.woken
}

// Sleep waits until look finds something to do, ctx ends, or the time is over. look answers the snapshot that it
// looked in. It reports whether something was found. It looks at least once, and once more at the end.
func (w *Waker) Sleep(ctx context.Context, most time.Duration, look func(context.Context) (found bool, at Snapshot, err error)) (bool, error) {
	return w.sleep(ctx, most, look, Glance{}, false)
}

// Await is Sleep for who reads at once what there is: a notification counts as found without another look. last is the
// reader's own last look, by which Await spares its first; the zero Glance is none.
func (w *Waker) Await(ctx context.Context, most time.Duration, last Glance, look func(context.Context) (found bool, at Snapshot, err error)) (bool, error) {
	return w.sleep(ctx, most, look, last, true)
}

// Glance is a look at the log that a reader took, by reading all there was in a snapshot.
type Glance struct {
	before armed
	at     Snapshot
}

// Glance is called before the reader reads.
func (w *Waker) Glance() Glance { return Glance{before: w.held()} }

// Saw is the glance once all is read that is visible in the snapshot, which was taken after Glance was called.
func (g Glance) Saw(at Snapshot) Glance { return Glance{g.before, at} }

// tells says whether a look can be spared: something would have notified of what came after it.
func (g Glance) tells() bool { return g.before.fence != 0 && g.at.Xmin() > g.before.fence }

func (w *Waker) sleep(ctx context.Context, most time.Duration, look func(context.Context) (found bool, at Snapshot, err error), last Glance, trusting bool) (bool, error) {
	begun := time.Now()
	end := begun.Add(most)
	for {
		before, at := last.before, last.at
		if !last.tells() {
			before = w.held()
			var found bool
			var err error
			if found, at, err = look(ctx); found {
				w.waited(time.Since(begun))
			}
			if found || err != nil {
				return found, err
			}
		}
		last = Glance{}
		nap := napBusy
		if !w.busy() || time.Since(begun) > busyMost {
			a, err := w.arm(ctx)
			if err != nil {
				return false, err
			}
			if a.fence != before.fence {
				continue // the look did not see who missed the flag until now
			}
			nap = Nap(at, a.fence, time.Until(a.until))
		}
		if nap = min(nap, time.Until(end)); nap <= 0 {
			return false, nil
		}
		select {
		case <-before.arrived:
			if trusting {
				w.waited(time.Since(begun))
				return true, nil
			}
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(nap):
		}
	}
}

// Nap is how long a reader may sleep that found nothing in the snapshot, when no writer with an id from fence on
// can have missed the flag, and the flag is set for a while yet. A fence of zero means that there is no flag.
func Nap(at Snapshot, fence uint64, flag time.Duration) time.Duration {
	if fence != 0 && at.Xmin() > fence {
		return min(max(flag, napShort), napLong)
	}
	return napShort
}

// armed is what a sleeper can rely on.
type armed struct {
	arrived <-chan struct{} // closed by the next notification
	fence   uint64          // zero when polling
	until   time.Time       // the flag is set until then
}

// waited takes in how long a sleeper has waited until there was something to do.
func (w *Waker) waited(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gap = (3*w.gap + min(d, napShort)) / 4
}

// busy says whether changes come fast.
func (w *Waker) busy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gap < gapBusy
}

// held is what a sleeper can rely on without setting anything.
func (w *Waker) held() armed {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.listens || time.Until(w.setUntil) <= 0 {
		return armed{arrived: w.arrived}
	}
	return armed{w.arrived, w.fence, w.setUntil}
}

// arm sets the flag or prolongs it.
func (w *Waker) arm(ctx context.Context) (armed, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.listens {
		return armed{arrived: w.arrived}, nil
	}
	if left := time.Until(w.setUntil); left <= flagRefresh {
		begun := time.Now()
		if err := w.setFlag(ctx); err != nil {
			return armed{}, fmt.Errorf("setting the wake flag: %w", err)
		}
		if left <= 0 { // it had run out: writers may have missed it until now
			if err := w.setFence(ctx); err != nil {
				return armed{}, fmt.Errorf("fencing the wake flag: %w", err)
			}
		}
		w.setUntil = begun.Add(flagAhead - flagMargin)
	}
	return armed{w.arrived, w.fence, w.setUntil}, nil
}

// setFlag moves the flag. One process at a time does, so that it only moves forward. A crash that loses it ends
// Listen as well.
func (w *Waker) setFlag(ctx context.Context) error {
	var b pgx.Batch
	b.Queue(`select set_config('synchronous_commit', 'off', true), pg_advisory_xact_lock($1)`, flagLock)
	b.Queue(`select setval('outbox.idle', (extract(epoch from clock_timestamp()) * 1000)::bigint + $1)`, flagAhead.Milliseconds())
	return w.pool.SendBatch(ctx, &b).Close()
}

// setFence takes a transaction id after the flag was set, in a transaction of its own.
func (w *Waker) setFence(ctx context.Context) error {
	var text string
	if err := w.pool.QueryRow(ctx, `select pg_current_xact_id()::text`).Scan(&text); err != nil {
		return err
	}
	fence, err := parseXid(text)
	if err == nil {
		w.fence = fence
	}
	return err
}

// pause waits for d or for the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

const idleSQL = `select pg_current_snapshot()::text, outbox.pending($1::pg_snapshot, $2)`

// Look asks whether the tenure has anything to do behind pos. If not, the answer is the snapshot that it may take
// as its new position. It may say yes for rows that are not visible yet.
func (r *Reader) Look(ctx context.Context, pos Position) (found bool, at Snapshot, err error) {
	if !pos.Target.Zero() {
		return true, at, nil
	}
	var b pgx.Batch
	b.Queue(laneSQL, r.t.Backend, r.t.Lane, r.t.Epoch, r.t.mark)
	b.Queue(idleSQL, pos.At.String(), r.t.Backend)
	answers := r.pool.SendBatch(ctx, &b)
	defer func() {
		if cerr := answers.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("looking for changes: %w", cerr)
		}
	}()
	var l lane
	if err := l.scan(answers.QueryRow()); err != nil {
		return false, at, fmt.Errorf("looking for changes: %w", err)
	}
	if !l.held {
		return false, at, ErrLost
	}
	var snap string
	if err := answers.QueryRow().Scan(&snap, &found); err != nil {
		return false, at, fmt.Errorf("looking for changes: %w", err)
	}
	at, err = ParseSnapshot(snap)
	return found, at, err
}
