package outbox

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// wakes does what every writer does after its row of the log is in.
func (t transaction) wakes() {
	t.Helper()
	_, err := t.conn.Exec(t.Context(), "select outbox.wake()")
	t.ok(err)
}

// arms sets the flag as a sleeper does.
func (w world) arms(k *Waker) armed {
	w.Helper()
	a, err := k.arm(w.Context())
	w.ok(err)
	return a
}

// naps is how long a reader may sleep that looks now.
func (w world) naps(a armed) time.Duration {
	w.Helper()
	at, err := Now(w.Context(), w.pool)
	w.ok(err)
	return Nap(at, a.fence, time.Until(a.until))
}

// A writer that read the flag before it was set notifies nobody. Until it has ended, the reader keeps looking; then
// the row is there to be found.
func TestB9WriterBeforeTheFlagIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	k := w.listening()
	writer := w.begin()
	writer.logs("a")
	writer.wakes()
	a := w.arms(k)
	if nap := w.naps(a); nap != napShort {
		t.Errorf("with a writer that missed the flag the reader sleeps for %v", nap)
	}
	writer.commit()
	a.until = time.Now().Add(time.Hour)
	for w.naps(a) == napShort { // until whoever else of this server began before the fence has ended
		pause(t.Context(), time.Millisecond)
	}
	select {
	case <-a.arrived:
		t.Error("the writer has notified: this test proves nothing")
	default:
	}
}

// The fence is taken after the flag is set: a writer that gets its id while the flag is being set has not seen it.
func TestB9WriterDuringTheFlagIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	k := w.listening()
	other := w.begin() // another process that sets the flag
	_, err := other.conn.Exec(t.Context(), "select pg_advisory_xact_lock($1)", flagLock)
	w.ok(err)
	got := make(chan armed, 1)
	go func() { got <- w.arms(k) }()
	w.blocked()
	w.want("0", "select last_value from outbox.idle")
	writer := w.begin()
	writer.logs("a")
	writer.wakes()
	other.end("commit")
	a := <-got
	if id := writer.id(); a.fence <= id {
		t.Errorf("the fence %d does not wait for writer %d", a.fence, id)
	}
	if nap := w.naps(a); nap != napShort {
		t.Errorf("the reader sleeps for %v", nap)
	}
}

// A writer that comes after the flag was set wakes the reader, also one whose snapshot is older than the flag.
func TestB9WriterAfterTheFlagNotifies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	k := w.listening()
	old := w.begin()
	_, err := old.conn.Exec(t.Context(), "commit; begin isolation level repeatable read; select 1", pgx.QueryExecModeSimpleProtocol)
	w.ok(err)
	for _, writer := range []transaction{w.begin(), old} {
		a := w.arms(k)
		writer.logs("a")
		writer.wakes()
		writer.commit()
		<-a.arrived
	}
}

// A sleeping reader is woken by a commit; one that is never found something ends when its time is over.
func TestSleepIsWokenByACommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	k, tenure := w.listening(), w.take("b", "p")
	r, pos := NewReader(w.pool, tenure, nil), tenure.Start
	look := func(ctx context.Context) (bool, Snapshot, error) {
		found, at, err := r.Look(ctx, pos)
		if err == nil && !found {
			pos = Position{At: at}
		}
		return found, at, err
	}
	for range 10 {
		found := make(chan bool, 1)
		go func() {
			got, err := k.Sleep(t.Context(), time.Minute, look)
			found <- got && err == nil
		}()
		w.eventually(flagged)
		writer := w.begin()
		writer.logs("a")
		writer.wakes()
		writer.commit()
		if !<-found {
			t.Fatal("it slept on")
		}
		_, p := w.page(r, pos, 10)
		pos = p.Next
	}
	if found, err := k.Sleep(t.Context(), time.Millisecond, look); found || err != nil {
		t.Errorf("with nothing to do: %v, %v", found, err)
	}
}

// Writers notify nobody while nobody sleeps, nor when the last sleeper's flag has run out.
func TestWritersAreSilentWhileNobodySleeps(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	ear := w.connect()
	_, err := ear.Exec(t.Context(), "listen outbox_wake")
	w.ok(err)
	write := func() {
		writer := w.begin()
		writer.logs("a")
		writer.wakes()
		writer.commit()
	}
	write()
	w.exec("select setval('outbox.idle', (extract(epoch from clock_timestamp()) * 1000)::bigint - 1)")
	write()
	w.exec("notify outbox_wake, 'mark'")
	got, err := ear.WaitForNotification(t.Context())
	if err != nil || got.Payload != "mark" {
		t.Errorf("heard %+v: %v", got, err)
	}
	w.arms(w.listening())
	write()
	if got, err = ear.WaitForNotification(t.Context()); err != nil || got.Payload != "" {
		t.Errorf("heard %+v: %v", got, err)
	}
}

// A reader that does not listen finds what was committed by looking, and never sets the flag: writers notify nobody
// and can prepare their transactions.
func TestPollingSetsNoFlag(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	k, looks := NewWaker(w.pool, slog.New(slog.DiscardHandler)), 0
	tenure := w.take("b", "p")
	found, err := k.Sleep(t.Context(), time.Minute, func(ctx context.Context) (bool, Snapshot, error) {
		if looks++; looks == 2 {
			writer := w.begin()
			writer.logs("a")
			writer.wakes()
			writer.end("prepare transaction '" + w.pool.Config().ConnConfig.Database + "'")
			w.exec("commit prepared '" + w.pool.Config().ConnConfig.Database + "'")
		}
		return NewReader(w.pool, tenure, nil).Look(ctx, tenure.Start)
	})
	if !found || err != nil || looks != 2 {
		t.Errorf("%v, %v after %d looks", found, err, looks)
	}
	w.want("0", "select last_value from outbox.idle")
}

// Listening begins again when its connection is lost; until then readers poll, and afterwards they wait for a new
// flag and fence.
func TestListenConnectsAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	k := w.listening()
	before := w.arms(k)
	pid := w.text("select pid from pg_stat_activity where datname = current_database() and query = 'listen outbox_wake'")
	w.exec("select pg_terminate_backend(" + pid + ")")
	w.eventually("select exists (select from pg_stat_activity where datname = current_database() and query = 'listen outbox_wake' and pid <> $1::text::int)", pid)
	for {
		if a := w.arms(k); a.fence != 0 && a.fence != before.fence {
			writer := w.begin()
			writer.logs("a")
			writer.wakes()
			writer.commit()
			<-a.arrived
			return
		}
		pause(t.Context(), time.Millisecond)
	}
}

// While the connection to listen on is lost, nothing is relied upon.
func TestLostListenerPolls(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	k := NewWaker(w.pool, slog.New(slog.DiscardHandler))
	k.connected(true)
	if a := w.arms(k); a.fence == 0 {
		t.Error("no fence")
	}
	k.connected(false)
	if a := w.arms(k); a.fence != 0 || w.naps(a) != napShort {
		t.Errorf("the reader relies on fence %d", a.fence)
	}
}

// The flag is prolonged before it runs out, with the same fence; once it has run out, writers may have missed it, and
// the fence is a new one.
func TestFlagIsProlonged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	k := NewWaker(w.pool, slog.New(slog.DiscardHandler))
	k.connected(true)
	first := w.arms(k)
	flag := w.text("select last_value from outbox.idle")
	k.setUntil = time.Now().Add(flagRefresh + 10*time.Second)
	w.arms(k)
	w.want(flag, "select last_value from outbox.idle")
	k.setUntil = time.Now().Add(flagRefresh)
	if a := w.arms(k); a.fence != first.fence || !a.until.After(first.until) {
		t.Errorf("prolonged to %v from %v, fence %d from %d", a.until, first.until, a.fence, first.fence)
	}
	w.want("true", "select last_value > $1::text::bigint from outbox.idle", flag)
	k.setUntil = time.Now()
	if a := w.arms(k); a.fence <= first.fence {
		t.Errorf("the fence is still %d", a.fence)
	}
	// However far ahead an earlier clock had set it, it is what a sleeper needs now.
	w.exec("select setval('outbox.idle', 99999999999999)")
	k.setUntil = time.Now()
	w.arms(k)
	w.want("true", "select last_value < extract(epoch from clock_timestamp()) * 1000 + 10000 from outbox.idle")
}

// Long sleep needs a fence that has been passed and a flag that outlasts it.
func TestNap(t *testing.T) {
	t.Parallel()
	at := Snapshot{xmin: 10, xmax: 12}
	for _, c := range []struct {
		fence uint64
		flag  time.Duration
		want  time.Duration
	}{
		{0, time.Hour, napShort},
		{10, time.Hour, napShort},
		{11, time.Hour, napShort},
		{9, time.Hour, napLong},
		{9, 300 * time.Millisecond, 300 * time.Millisecond},
		{9, -time.Hour, napShort},
	} {
		if got := Nap(at, c.fence, c.flag); got != c.want {
			t.Errorf("fence %d, flag for %v: sleeps for %v, want %v", c.fence, c.flag, got, c.want)
		}
	}
	if flagAhead-flagMargin-flagRefresh <= 0 || flagRefresh < napLong || napLong <= napShort {
		t.Error("the flag runs out during a long sleep")
	}
}

// A sleep ends with what stops it.
func TestSleepErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	k, boom := w.listening(), errors.New("boom")
	if _, err := k.Sleep(t.Context(), time.Minute, func(context.Context) (bool, Snapshot, error) { return false, Snapshot{}, boom }); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := k.Sleep(ctx, time.Minute, func(context.Context) (bool, Snapshot, error) {
		at, err := Now(t.Context(), w.pool)
		if at.Xmin() > 0 && k.held().fence != 0 {
			cancel()
		}
		return false, at, err
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), w.pool.Config())
	w.ok(err)
	pool.Close()
	k = NewWaker(pool, slog.New(slog.DiscardHandler))
	k.connected(true)
	_, err = k.Sleep(t.Context(), time.Minute, func(context.Context) (bool, Snapshot, error) { return false, Snapshot{}, nil })
	if !contains(err, "setting the wake flag") || k.setFence(t.Context()) == nil {
		t.Errorf("got %v", err)
	}
	k.Listen(within(t, time.Millisecond)) // fails, says so, and ends with ctx
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// In the middle of a delta there is always something to do; at its end only what comes after it.
func TestLook(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b", "other")
	tenure := w.take("b", "p")
	r := NewReader(w.pool, tenure, nil)
	look := func(pos Position, want bool) Snapshot {
		t.Helper()
		found, at, err := r.Look(t.Context(), pos)
		if err != nil || found != want {
			t.Errorf("found %v: %v", found, err)
		}
		return at
	}
	at := look(tenure.Start, false)
	look(Position{At: at, Target: at, After: Place{1, 1}}, true)
	open := w.begin()
	open.logs("late")
	w.ok(Relog(t.Context(), w.pool, "other", "k", []string{"x"}, Cause{}))
	at = look(tenure.Start, false)
	if at.Visible(open.id()) {
		t.Error("the position covers what is open")
	}
	open.commit()
	look(Position{At: at}, true)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := r.Look(over, Position{At: at}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A reader that has just read all there was sleeps without another look, and misses nothing that comes after its glance.
func TestGlanceSparesALook(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	k := w.listening()
	write := func() {
		writer := w.begin()
		writer.logs("a")
		writer.wakes()
		writer.commit()
	}
	looks := 0
	look := func(ctx context.Context) (bool, Snapshot, error) {
		looks++
		at, err := Now(ctx, w.pool)
		return false, at, err
	}
	passed := func() Glance { // all that ran before the fence has ended
		for a := w.arms(k); ; {
			if g := k.Glance(); w.naps(a) != napShort {
				at, err := Now(t.Context(), w.pool)
				w.ok(err)
				return g.Saw(at)
			}
			w.arms(k)
		}
	}
	g := passed()
	write() // between the glance and the sleep
	if found, err := k.Await(t.Context(), time.Minute, g, look); !found || err != nil || looks != 0 {
		t.Errorf("after %d looks: found %v, %v", looks, found, err)
	}
	g = passed()
	go func() { pause(t.Context(), 20*time.Millisecond); write() }()
	if found, err := k.Await(t.Context(), time.Minute, g, look); !found || err != nil || looks != 0 {
		t.Errorf("after %d looks: found %v, %v", looks, found, err)
	}
	for name, g := range map[string]Glance{
		"no glance":                         {},
		"no snapshot":                       k.Glance(),
		"a writer that may have missed it":  {before: armed{fence: 1 << 60}, at: passed().at},
		"the flag has run out in between":   {before: armed{arrived: make(chan struct{}), fence: 1}, at: passed().at},
		"a reader that polled when it read": {before: armed{arrived: make(chan struct{})}, at: passed().at},
	} {
		looks = 0
		if found, err := k.Await(t.Context(), time.Millisecond, g, look); found || err != nil || looks == 0 {
			t.Errorf("%s: %d looks, found %v, %v", name, looks, found, err)
		}
	}
}
