package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outflow-db/outflow/backends"
)

// fake is a store in memory whose faults a test commands. It guards versions and keeps no tombstones, unless told otherwise.
type fake struct {
	mu        sync.Mutex
	targets   map[string]map[string]backends.Record
	prepared  int
	sent      int // records sent
	most      int // bytes of the largest write
	widest    int // records of the largest write
	features  backends.Features
	layout    *backends.Layout                                             // of every target; nil: all in the document
	onWrite   func(ctx context.Context, n int, rs []backends.Record) error // before anything is applied; n counts writes from 1
	afterward func(n int) error                                            // after everything was applied: the answer is lost
	refuse    func(r backends.Record) *backends.Error                      // for one record
	onPrepare func(ctx context.Context, n int) error
	onHealth  func() error
	writes    int
	stored    map[string]int64                       // versions that the store claims for keys, whatever it holds
	silent    bool                                   // does not say which version is newer
	claim     func(backends.Record) int64            // a version that the store claims for a record; 0: none
	forgets   bool                                   // keeps nothing, answers as if it did
	onScan    func(ctx context.Context, n int) error // before page n of a scan, from 1
}

// fakes finds the fake of a backend by its name, which is unique among tests.
var fakes sync.Map

func init() {
	backends.Register("fake", func(_ context.Context, cfg backends.Config) (backends.Backend, error) {
		f, ok := fakes.Load(cfg.Settings["id"])
		if !ok {
			return nil, errors.New("no such fake")
		}
		return f.(backends.Backend), nil
	})
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{targets: map[string]map[string]backends.Record{}, features: backends.Features{Guarded: true}, stored: map[string]int64{}}
	fakes.Store(t.Name()+fmt.Sprintf("%p", f), f)
	return f
}

// config is how a backend with this fake is configured.
func (f *fake) config(t *testing.T, name string) backends.Config {
	t.Helper()
	return backends.Config{Name: name, Type: "fake", Settings: map[string]any{"id": t.Name() + fmt.Sprintf("%p", f)}}
}

func (f *fake) Features() backends.Features { return f.features }
func (f *fake) Close() error                { return nil }

func (f *fake) Layout(t backends.Target) (backends.Layout, error) {
	if t.Settings["wrong"] != nil {
		return backends.Layout{}, &backends.Error{Op: "layout", Class: backends.Rejected, Err: errors.New("setting wrong is wrong")}
	}
	if f.layout != nil {
		return *f.layout, nil
	}
	return backends.DocLayout(t), nil
}

func (f *fake) Prepare(ctx context.Context, targets []backends.Target) error {
	f.mu.Lock()
	f.prepared++
	n, before := f.prepared, f.onPrepare
	f.mu.Unlock()
	if before != nil {
		if err := before(ctx, n); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range targets {
		if f.targets[t.Name] == nil {
			f.targets[t.Name] = map[string]backends.Record{}
		}
	}
	return nil
}

func (f *fake) Write(ctx context.Context, target backends.Target, records []backends.Record) ([]backends.Result, error) {
	f.mu.Lock()
	f.writes++
	n, before := f.writes, f.onWrite
	f.mu.Unlock()
	if before != nil {
		if err := before(ctx, n, records); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	bytes, results := 0, make([]backends.Result, len(records))
	for i, r := range records {
		bytes += r.Size()
		results[i] = f.apply(target.Name, r)
	}
	f.sent += len(records)
	f.most, f.widest = max(f.most, bytes), max(f.widest, len(records))
	if f.afterward != nil {
		if err := f.afterward(n); err != nil {
			return nil, err
		}
	}
	return results, nil
}

func (f *fake) apply(target string, r backends.Record) backends.Result {
	if f.refuse != nil {
		if err := f.refuse(r); err != nil {
			return backends.Result{Outcome: backends.Failed, Err: err}
		}
	}
	held, there := f.targets[target][r.Key]
	if v, claimed := f.stored[r.Key]; claimed && r.Version < v {
		return backends.Result{Outcome: backends.Stale, Stored: v}
	}
	if f.claim != nil && f.claim(r) > 0 {
		return backends.Result{Outcome: backends.Stale, Stored: f.claim(r)}
	}
	switch {
	case f.forgets:
	case there && f.features.Guarded && held.Version > r.Version && f.silent:
		return backends.Result{Outcome: backends.Stale}
	case there && f.features.Guarded && held.Version > r.Version:
		return backends.Result{Outcome: backends.Stale, Stored: held.Version}
	case r.Deleted:
		delete(f.targets[target], r.Key)
	default:
		f.targets[target][r.Key] = r
	}
	return backends.Result{}
}

func (f *fake) entries(target string, want func(string) bool) []backends.Entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []backends.Entry
	for k, r := range f.targets[target] {
		if want(k) {
			list = append(list, backends.Entry{Key: k, Version: r.Version, Digest: r.Digest})
		}
	}
	return list
}

func (f *fake) Scan(ctx context.Context, t backends.Target, fn func([]backends.Entry) error) error {
	n := 0
	for page := range slices.Chunk(f.entries(t.Name, func(string) bool { return true }), 100) {
		f.mu.Lock()
		before := f.onScan
		f.mu.Unlock()
		if n++; before != nil {
			if err := before(ctx, n); err != nil {
				return err
			}
		}
		if err := fn(page); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) Lookup(_ context.Context, t backends.Target, keys []string) ([]backends.Entry, error) {
	return f.entries(t.Name, func(k string) bool { return slices.Contains(keys, k) }), nil
}

func (f *fake) Health(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.onHealth != nil {
		return f.onHealth()
	}
	return nil
}

// set changes the fake's behaviour while it runs.
func (f *fake) set(change func(*fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// held is a record that a target holds.
func (f *fake) held(target, key string) backends.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.targets[target][key]
}

// holds is what a target holds: documents by key.
func (f *fake) holds(target string) map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := map[string]string{}
	for k, r := range maps.All(f.targets[target]) {
		all[k] = string(r.Doc)
	}
	return all
}

// fails is an error of a class.
func fails(class backends.Class) *backends.Error {
	return &backends.Error{Op: "write", Class: class, Err: errors.New("as commanded")}
}

// eventually waits for a condition that must come true. The time is only there to end a test that has failed.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func bytesHave(b []byte, part string) bool { return strings.Contains(string(b), part) }

func containsAll(text string, parts ...string) error {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return fmt.Errorf("%q does not contain %q", text, p)
		}
	}
	return nil
}

// biggest is how many records the largest write had.
func (f *fake) biggest() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.widest
}
