package backendtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/pgtest"
)

// A recorder is a test that may fail without failing the test that records it.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failed   []string
	cleanups []func()
}

func (r *recorder) note(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = append(r.failed, s)
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failed) > 0
}

func (r *recorder) Error(args ...any)                 { r.note(fmt.Sprint(args...)) }
func (r *recorder) Errorf(format string, args ...any) { r.note(fmt.Sprintf(format, args...)) }
func (r *recorder) Fail()                             { r.note("fail") }

func (r *recorder) FailNow() {
	r.note("fail")
	runtime.Goexit()
}

func (r *recorder) Fatal(args ...any) {
	r.note(fmt.Sprint(args...))
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.note(fmt.Sprintf(format, args...))
	runtime.Goexit()
}
func (r *recorder) Log(...any)          {}
func (r *recorder) Logf(string, ...any) {}
func (r *recorder) Skip(...any)         { r.TB.Fatal("the case was skipped") }
func (r *recorder) Cleanup(f func())    { r.cleanups = append(r.cleanups, f) }

func (r *recorder) clean() {
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
}

func shared(pool *pgxpool.Pool) func(testing.TB) *pgxpool.Pool {
	return func(testing.TB) *pgxpool.Pool { return pool }
}

// record runs a case and answers what it complained about.
func record(tb testing.TB, name string, s Suite) []string {
	tb.Helper()
	i := slices.IndexFunc(cases, func(c testcase) bool { return c.name == name })
	if i < 0 {
		tb.Fatalf("no case %q", name)
	}
	s = s.complete(tb)
	r := &recorder{TB: tb}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.clean()
		cases[i].run(r, s)
	}()
	<-done
	return r.failed
}

// broken is a Memory with something replaced.
type broken struct {
	*Memory
	write   func(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Result, error)
	scan    func(ctx context.Context, t backends.Target, fn func([]backends.Entry) error) error
	lookup  func(ctx context.Context, t backends.Target, keys []string) ([]backends.Entry, error)
	prepare func(ctx context.Context, targets []backends.Target) error
	plan    func(ctx context.Context, targets []backends.Target) ([]backends.Change, error)
	compare func(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Mismatch, error)
	count   func(ctx context.Context, t backends.Target) (int64, error)
	health  func() error
	close   func() error
}

func (b *broken) Features() backends.Features { return Everything() }

func (b *broken) Write(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Result, error) {
	if b.write != nil {
		return b.write(ctx, t, records)
	}
	return b.Memory.Write(ctx, t, records)
}

func (b *broken) Scan(ctx context.Context, t backends.Target, fn func([]backends.Entry) error) error {
	if b.scan != nil {
		return b.scan(ctx, t, fn)
	}
	return b.Memory.Scan(ctx, t, fn)
}

func (b *broken) Lookup(ctx context.Context, t backends.Target, keys []string) ([]backends.Entry, error) {
	if b.lookup != nil {
		return b.lookup(ctx, t, keys)
	}
	return b.Memory.Lookup(ctx, t, keys)
}

func (b *broken) Prepare(ctx context.Context, targets []backends.Target) error {
	if b.prepare != nil {
		return b.prepare(ctx, targets)
	}
	return b.Memory.Prepare(ctx, targets)
}

func (b *broken) Plan(ctx context.Context, targets []backends.Target) ([]backends.Change, error) {
	if b.plan != nil {
		return b.plan(ctx, targets)
	}
	return b.Memory.Plan(ctx, targets)
}

func (b *broken) Compare(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Mismatch, error) {
	if b.compare != nil {
		return b.compare(ctx, t, records)
	}
	return b.Memory.Compare(ctx, t, records)
}

func (b *broken) Count(ctx context.Context, t backends.Target) (int64, error) {
	if b.count != nil {
		return b.count(ctx, t)
	}
	return b.Memory.Count(ctx, t)
}

func (b *broken) Health(ctx context.Context) error {
	if b.health != nil {
		return b.health()
	}
	return b.Memory.Health(ctx)
}

func (b *broken) Close() error {
	if b.close != nil {
		return b.close()
	}
	return b.Memory.Close()
}

// changing breaks a Memory by changing the records on their way in.
func changing(change func(*backends.Record)) func(*broken) {
	return func(b *broken) {
		b.write = func(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Result, error) {
			records = slices.Clone(records)
			for i := range records {
				change(&records[i])
			}
			return b.Memory.Write(ctx, t, records)
		}
	}
}

func keys(change func(string) string) func(*broken) {
	return changing(func(r *backends.Record) { r.Key = change(r.Key) })
}

func docs(change func([]byte) []byte) func(*broken) {
	return changing(func(r *backends.Record) { r.Doc = change(r.Doc) })
}

// without lets a Memory promise what it then does not do.
func without(drop func(*backends.Features)) func(*broken) {
	return func(b *broken) {
		drop(&b.Promises)
	}
}

type breakage struct {
	name, fails string
	do          func(*broken)
}

// breakages are each a broken promise, and the case that must notice.
var breakages = []breakage{
	{"ignores updates", "update", func(b *broken) {
		seen := map[string]bool{}
		b.write = func(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Result, error) {
			fresh := slices.DeleteFunc(slices.Clone(records), func(r backends.Record) bool { return seen[r.Key] })
			for _, r := range records {
				seen[r.Key] = true
			}
			_, err := b.Memory.Write(ctx, t, fresh)
			return make([]backends.Result, len(records)), err
		}
	}},
	{"ignores deletes", "delete", changing(func(r *backends.Record) { r.Deleted = false })},
	{"answers in the order of keys", "order of answers", func(b *broken) {
		b.write = func(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Result, error) {
			records = slices.Clone(records)
			slices.SortFunc(records, func(a, b backends.Record) int { return strings.Compare(a.Key, b.Key) })
			return b.Memory.Write(ctx, t, records)
		}
	}},
	{"has no guard", "stale", without(func(f *backends.Features) { f.Guarded = false })},
	{"has no guard", "model", without(func(f *backends.Features) { f.Guarded = false })},
	{"has no guard", "permutations", without(func(f *backends.Features) { f.Guarded = false })},
	{"forgets deletes", "permutations", without(func(f *backends.Features) { f.Tombstones = false })},
	{"forgets deletes", "tombstones", without(func(f *backends.Features) { f.Tombstones = false })},
	{"forgets deletes", "model", without(func(f *backends.Features) { f.Tombstones = false })},
	{"loses one of a batch", "large batch", func(b *broken) {
		b.write = func(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Result, error) {
			_, err := b.Memory.Write(ctx, t, records[1:])
			return make([]backends.Result, len(records)), err
		}
	}},
	{"answers for too few", "large batch", func(b *broken) {
		b.write = func(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Result, error) {
			results, err := b.Memory.Write(ctx, t, records)
			return results[:min(len(results), 100)], err
		}
	}},
	{"takes poison", "poison", func(b *broken) { b.Refuse = nil }},
	{"refuses without a key", "poison", func(b *broken) {
		b.write = func(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Result, error) {
			results, err := b.Memory.Write(ctx, t, records)
			for _, r := range results {
				if r.Err != nil {
					r.Err.Key = ""
				}
			}
			return results, err
		}
	}},
	{"loses NaN", "types", docs(func(d []byte) []byte { return bytes.ReplaceAll(d, []byte(`"NaN"`), []byte("null")) })},
	{"loses controls", "types", docs(func(d []byte) []byte { return bytes.ReplaceAll(d, []byte(`\u0001`), nil) })},
	{"loses vectors", "vector", docs(func(d []byte) []byte { return bytes.ReplaceAll(d, []byte("1"), []byte("2")) })},
	{"loses edges", "edge", docs(func(d []byte) []byte { return bytes.ReplaceAll(d, []byte("calls"), nil) })},
	{"cuts large values", "sizes", docs(func(d []byte) []byte { return d[:min(len(d), 100_000)] })},
	{"folds keys", "keys", keys(strings.ToLower)},
	{"trims keys", "keys", keys(strings.TrimSpace)},
	{"cuts keys", "keys", keys(func(k string) string { return k[:min(len(k), 512)] })},
	{"prepares from scratch", "prepare again", func(b *broken) {
		b.prepare = func(ctx context.Context, targets []backends.Target) error {
			*b.Memory = Memory{Promises: b.Promises}
			return b.Memory.Prepare(ctx, targets)
		}
	}},
	{"prepares once", "prepare concurrently", func(b *broken) {
		var mu sync.Mutex
		prepared := false
		b.prepare = func(ctx context.Context, targets []backends.Target) error {
			mu.Lock()
			defer mu.Unlock()
			if prepared {
				return errors.New("it exists")
			}
			prepared = true
			return b.Memory.Prepare(ctx, targets)
		}
	}},
	{"loses what comes while it writes", "concurrent use", func(b *broken) {
		var mu sync.Mutex
		b.write = func(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Result, error) {
			if records[0].Version == 5 && strings.HasPrefix(records[0].Key, "writer 2") && mu.TryLock() {
				return make([]backends.Result, len(records)), nil
			}
			return b.Memory.Write(ctx, t, records)
		}
	}},
	{"lets the last win", "concurrent versions", func(b *broken) {
		b.write = func(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Result, error) {
			if records[0].Version == 8 {
				return make([]backends.Result, len(records)), nil
			}
			return b.Memory.Write(ctx, t, records)
		}
	}},
	{"ignores its context", "cancelled", func(b *broken) {
		b.write = func(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Result, error) {
			return b.Memory.Write(context.WithoutCancel(ctx), t, records)
		}
	}},
	{"scans a key twice", "replay", func(b *broken) {
		b.scan = func(ctx context.Context, t backends.Target, fn func([]backends.Entry) error) error {
			return b.Memory.Scan(ctx, t, func(page []backends.Entry) error { return fn(append(page, page[0])) })
		}
	}},
	{"scans only a page", "scan", func(b *broken) {
		b.scan = func(ctx context.Context, t backends.Target, fn func([]backends.Entry) error) error {
			pages := 0
			return b.Memory.Scan(ctx, t, func(page []backends.Entry) error {
				if pages++; pages > 1 {
					return nil
				}
				return fn(page)
			})
		}
	}},
	{"scans again from the start", "scan while writing", func(b *broken) {
		b.scan = func(ctx context.Context, t backends.Target, fn func([]backends.Entry) error) error {
			if err := b.Memory.Scan(ctx, t, fn); err != nil {
				return err
			}
			return b.Memory.Scan(ctx, t, fn)
		}
	}},
	{"scans all at once", "scan", func(b *broken) {
		b.scan = func(ctx context.Context, t backends.Target, fn func([]backends.Entry) error) error {
			return b.Memory.Scan(ctx, t, func(page []backends.Entry) error { return fn(slices.Repeat(page[:1], maxPage+1)) })
		}
	}},
	{"wraps the error of fn", "scan stops", func(b *broken) {
		b.scan = func(ctx context.Context, t backends.Target, fn func([]backends.Entry) error) error {
			return fmt.Errorf("scanning: %w", b.Memory.Scan(ctx, t, fn))
		}
	}},
	{"looks up what was deleted", "lookup", func(b *broken) {
		b.lookup = func(ctx context.Context, t backends.Target, keys []string) ([]backends.Entry, error) {
			entries, err := b.Memory.Lookup(ctx, t, keys)
			if slices.Contains(keys, "never") {
				entries = append(entries, backends.Entry{Key: "never"})
			}
			return entries, err
		}
	}},
	{"makes missing targets", "missing target", func(b *broken) {
		b.write = func(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Result, error) {
			_ = b.Memory.Prepare(ctx, []backends.Target{t})
			return b.Memory.Write(ctx, t, records)
		}
	}},
	{"plans by preparing", "plan", func(b *broken) {
		b.plan = func(ctx context.Context, targets []backends.Target) ([]backends.Change, error) {
			changes, err := b.Memory.Plan(ctx, targets)
			return changes, errors.Join(err, b.Memory.Prepare(ctx, targets))
		}
	}},
	{"cannot plan", "plan", func(b *broken) {
		b.plan = func(context.Context, []backends.Target) ([]backends.Change, error) { return nil, errors.New("no idea") }
	}},
	{"plans what is there", "plan nothing", func(b *broken) {
		b.plan = func(context.Context, []backends.Target) ([]backends.Change, error) {
			return []backends.Change{{Target: "another", What: backends.Create}}, nil
		}
	}},
	{"plans everything anew", "plan more", func(b *broken) {
		b.plan = func(_ context.Context, targets []backends.Target) (all []backends.Change, _ error) {
			for _, t := range targets {
				all = append(all, backends.Change{Target: t.Name, What: backends.Create})
			}
			return all, nil
		}
	}},
	{"is never healthy", "health", func(b *broken) { b.health = func() error { return errors.New("ill") } }},
	{"does not close", "closed", func(b *broken) { b.close = func() error { return nil } }},
	{"fails to close", "replay", func(b *broken) { b.close = func() error { return errors.New("stuck") } }},
}

// The suite notices each broken promise.
func TestBrokenPromises(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	for _, x := range slices.Concat(breakages, contentBreakages) {
		t.Run(x.name+": "+x.fails, func(t *testing.T) {
			t.Parallel()
			got := record(t, x.fails, Suite{
				Source: shared(pool), HugeValue: 1 << 20, PoisonShape: Plain,
				Poison: func(r backends.Record) backends.Record {
					r.Doc = []byte("spoiled")
					return r
				},
				Open: func(testing.TB) backends.Backend {
					b := &broken{Memory: &Memory{Promises: Everything(), Refuse: func(_ backends.Target, r backends.Record) error {
						if string(r.Doc) == "spoiled" {
							return errors.New("spoiled")
						}
						return nil
					}}}
					x.do(b)
					return b
				},
			})
			if len(got) == 0 {
				t.Error("nobody noticed")
			}
		})
	}
}

// Cut connections and lost answers are noticed when they are taken for something else.
func TestBrokenConnections(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	for name, c := range map[string]struct {
		fails []string
		lost  func(error) error
	}{
		"keeps every promise":           {nil, asItIs},
		"takes a lost answer for a yes": {[]string{"lost answer", "silent store", "cut connections"}, func(error) error { return nil }},
		"takes a lost answer for a no": {[]string{"lost answer", "silent store"}, func(err error) error {
			return &backends.Error{Op: "write", Backend: "b", Class: backends.Transient, Err: err}
		}},
		"takes a lost answer for the record's fault": {[]string{"lost answer", "silent store", "cut connections"}, func(err error) error {
			return &backends.Error{Op: "write", Backend: "b", Class: backends.Rejected, Err: err}
		}},
	} {
		for _, name2 := range []string{"lost answer", "silent store", "cut connections"} {
			t.Run(name+": "+name2, func(t *testing.T) {
				t.Parallel()
				got := record(t, name2, remoteSuite(t, shared(pool), c.lost))
				if (len(got) > 0) != slices.Contains(c.fails, name2) {
					t.Errorf("complaints: %q", got)
				}
			})
		}
	}
}

// A store that cannot be used must say so with the right class.
func TestBrokenRefusals(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	failing := func(class backends.Class) func(testing.TB) backends.Backend {
		return func(testing.TB) backends.Backend {
			return &Memory{Before: func(_ context.Context, op string, _ backends.Target, _ []backends.Record) error {
				return &backends.Error{Op: op, Backend: "memory", Class: class, Err: errors.New("no")}
			}}
		}
	}
	for _, c := range []struct {
		name  string
		s     Suite
		fails bool
	}{
		{"denied", Suite{Denied: failing(backends.Denied)}, false},
		{"denied", Suite{Denied: failing(backends.Transient)}, true},
		{"unreachable", Suite{Unreachable: failing(backends.Transient)}, false},
		{"unreachable", Suite{Unreachable: failing(backends.Schema)}, true},
	} {
		c.s.Source = shared(pool)
		if got := record(t, c.name, c.s); (len(got) > 0) != c.fails {
			t.Errorf("%s: complaints: %q", c.name, got)
		}
	}
}

// A store that trusts the digest it keeps does not notice what was done behind its back.
func TestBrokenDigests(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	for _, trusts := range []bool{false, true} {
		m := &Memory{Promises: Everything()}
		s := Suite{Source: shared(pool), Open: func(testing.TB) backends.Backend { return m }}
		s.Tamper = func(_ testing.TB, _ backends.Backend, target backends.Target, key string) {
			held := m.Store.targets[target.Name]
			r := held[key]
			if !trusts {
				r.doc = []byte("{}")
			}
			held[key] = r
		}
		if got := record(t, "tampered", s); (len(got) > 0) != trusts {
			t.Errorf("complaints: %q", got)
		}
	}
}
