package jobs

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// puppet is a backend that does the same whatever is asked of it.
type puppet struct {
	backends.Backend
	do func(ctx context.Context) error
}

func (p puppet) Features() backends.Features                            { return backends.Features{} }
func (p puppet) Health(ctx context.Context) error                       { return p.do(ctx) }
func (p puppet) Prepare(ctx context.Context, _ []backends.Target) error { return p.do(ctx) }
func (p puppet) Lookup(ctx context.Context, _ backends.Target, _ []string) ([]backends.Entry, error) {
	return nil, p.do(ctx)
}

func (p puppet) Scan(ctx context.Context, _ backends.Target, fn func([]backends.Entry) error) error {
	if err := fn(nil); err != nil {
		return err
	}
	return p.do(ctx)
}

func (p puppet) Write(ctx context.Context, _ backends.Target, rs []backends.Record) ([]backends.Result, error) {
	return []backends.Result{{Outcome: backends.Failed}}, p.do(ctx)
}

// calls is everything that the engine asks of a store.
func calls(b backends.Backend) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"health":  b.Health,
		"prepare": func(ctx context.Context) error { return b.Prepare(ctx, nil) },
		"lookup":  func(ctx context.Context) error { _, err := b.Lookup(ctx, backends.Target{}, nil); return err },
		"scan": func(ctx context.Context) error {
			return b.Scan(ctx, backends.Target{}, func([]backends.Entry) error { return nil })
		},
		"write": func(ctx context.Context) error { _, err := b.Write(ctx, backends.Target{}, nil); return err },
	}
}

// A backend that panics fails, with a class, and takes nobody with it.
func TestPanicsStayInside(t *testing.T) {
	t.Parallel()
	b := shell{puppet{do: func(context.Context) error { panic("oh") }}, "main", time.Second, slog.New(slog.DiscardHandler)}
	for name, call := range calls(b) {
		err := call(t.Context())
		if backends.ClassOf(err) != backends.Unknown || !strings.Contains(err.Error(), name+" backend main: unknown: the backend panicked: oh") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A store that does not answer is given up.
func TestNoCallLastsForEver(t *testing.T) {
	t.Parallel()
	hang := func(ctx context.Context) error {
		if end, ok := ctx.Deadline(); ok && time.Until(end) > time.Second {
			return errors.New("ends later") // as Prepare may
		}
		<-ctx.Done()
		return ctx.Err()
	}
	b := shell{puppet{do: hang}, "main", time.Millisecond, slog.New(slog.DiscardHandler)}
	for name, call := range calls(b) {
		if err := call(t.Context()); err == nil || name == "prepare" && err.Error() != "ends later" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A record that failed without a reason is not taken for written.
func TestFailureWithoutReason(t *testing.T) {
	t.Parallel()
	b := shell{puppet{do: func(context.Context) error { return nil }}, "main", time.Minute, slog.New(slog.DiscardHandler)}
	results, err := b.Write(t.Context(), backends.Target{}, make([]backends.Record, 1))
	if err != nil || results[0].Err == nil || results[0].Err.Class != backends.Unknown {
		t.Errorf("%+v, %v", results, err)
	}
}

// Nothing is sent once the lease may be over, in the middle of a bisection neither.
func TestNothingIsSentWithoutLease(t *testing.T) {
	t.Parallel()
	b := leased{puppet{do: func(context.Context) error { t.Error("it was sent"); return nil }}, &outbox.Tenure{}}
	_, err := backends.WriteBisected(t.Context(), b, backends.Target{}, make([]backends.Record, 2))
	if !errors.Is(err, outbox.ErrLost) {
		t.Errorf("got %v", err)
	}
}

// A job's work outlives River's time for it, ends with an operator's cancel and with the engine, and leaves nothing
// behind with the engine when it is over.
func TestWithin(t *testing.T) {
	t.Parallel()
	engine := func() *Engine {
		e := &Engine{}
		e.hard, e.drop = context.WithCancel(t.Context())
		return e
	}
	e := engine()
	job, cancel := context.WithCancelCause(t.Context())
	ctx, release := e.within(job)
	cancel(context.DeadlineExceeded)
	if release(); !errors.Is(context.Cause(ctx), context.Canceled) {
		t.Errorf("after the end: %v", context.Cause(ctx))
	}
	e.drop()
	if !errors.Is(context.Cause(ctx), context.Canceled) {
		t.Error("the engine still knew a job that had ended")
	}
	job, cancel = context.WithCancelCause(t.Context())
	ctx, release = engine().within(job)
	defer release()
	cancel(river.ErrJobCancelledRemotely)
	if <-ctx.Done(); !errors.Is(context.Cause(ctx), river.ErrJobCancelledRemotely) {
		t.Errorf("after a cancel: %v", context.Cause(ctx))
	}
	e = engine()
	ctx, release = e.within(t.Context())
	defer release()
	e.drop()
	<-ctx.Done()
}

// When the reserve of versions is used up, the job ends well, so that its end saves.
func TestVersionsUsedUp(t *testing.T) {
	t.Parallel()
	f := feed{t: &outbox.Tenure{}}
	if err := f.page(t.Context()); !errors.Is(err, errEnough) {
		t.Errorf("got %v", err)
	}
}

// Every problem of a configuration is reported at once, with what and where.
func TestConfigProblems(t *testing.T) {
	t.Parallel()
	c := Config{
		Kinds:    []outbox.Kind{{Name: "item"}, {Name: "item"}},
		Backends: []backends.Config{{Name: "a"}, {Name: "a"}, {Name: "B!"}, {Name: maintenance}},
		Projections: []Projection{
			{Kind: "item", Backend: "a", Target: "x", Query: "q"},
			{Kind: "other", Backend: "a", Target: "x", Query: "q"},
			{Kind: "item", Backend: "nowhere", Target: "x", Query: "q"},
			{Backend: "a"},
		},
		Settings: Settings{
			PageKeys: -1, PortionBytes: 1, BatchRecords: -1, BatchBytes: 1, Lease: 1, Slice: -1, Linger: -1, Patience: -1, Request: -1,
			Grace: -1, SaveEvery: time.Hour, Retention: -1, Zombie: -1, Late: -1, Lanes: 257,
		},
	}
	_, err := c.checked()
	if err == nil {
		t.Fatal("no problem was found")
	}
	for _, want := range []string{
		"pool is missing", "kind item is configured twice", "backend a is configured twice", `backend "B!": a name has`,
		"backend maintenance: the name is taken", "projection 2: target x of backend a is that of kind item already",
		`projection 3 of kind item: no backend "nowhere"`, "projection 4 into backend a: kind, target and query must not be empty",
		"page keys is -1, must be 1 to 100000", "portion bytes is 1,", "batch records is -1,", "batch bytes is 1,", "lease is 1ns,",
		"slice is -1ns,", "linger is -1ns,", "patience is -1ns,", "request is -1ns,", "grace is -1ns,", "save every is 1h0m0s,",
		"retention is -1ns,", "zombie is -1ns,", "late is -1ns,", "lanes is 257, must be 1 to 256",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not reported: %s\nin: %v", want, err)
		}
	}
}

// The defaults are within the bounds.
func TestDefaults(t *testing.T) {
	t.Parallel()
	if errs := (Settings{}).withDefaults().problems(); len(errs) > 0 {
		t.Error(errs)
	}
	if set := (Settings{PageKeys: 7, Grace: time.Second}).withDefaults(); set.PageKeys != 7 || set.Grace != time.Second {
		t.Errorf("what was set was changed: %+v", set)
	}
}

// A pool that has too few connections is refused, and the message says how many it needs.
func TestRoomy(t *testing.T) {
	t.Parallel()
	for conns, ok := range map[int32]bool{15: false, 16: true} {
		cfg, err := pgxpool.ParseConfig("postgres://localhost:1/none")
		if err != nil {
			t.Fatal(err)
		}
		cfg.MaxConns = conns
		pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		err = roomy(Config{Pool: pool, Settings: Settings{Lanes: 9}, Backends: []backends.Config{{Name: "a"}, {Name: "b"}}, Limits: map[string]Limits{"a": {Lanes: 2}, "b": {Lanes: 4}}})
		if ok != (err == nil) || err != nil && !strings.Contains(err.Error(), "need 16") {
			t.Errorf("%d connections: %v", conns, err)
		}
	}
}
