package backendtest

import (
	"context"
	"fmt"
	"sync"

	"github.com/outflow-db/outflow/backends"
)

// Prepare again, also with a target more, keeps what is there.
func testPrepareAgain(tb test, s Suite) {
	x := newBench(tb, s)
	x.write(x.state(7, 1, "a", "b"))
	more := x.target
	more.Name, more.Kind = "conformance_more", "another"
	for _, targets := range [][]backends.Target{{x.target}, {x.target, more}, {more}, {}} {
		if err := x.backend.Prepare(tb.Context(), targets); err != nil {
			tb.Fatalf("preparing %d targets again: %v", len(targets), err)
		}
	}
	x.check()
	if _, err := x.backend.Write(tb.Context(), more, x.state(7, 2, "a", "c")); err != nil {
		tb.Errorf("writing to the target that was added: %v", err)
	}
	x.check("c") // which went to the other target
}

// Prepare may run in several places at once.
func testPrepareConcurrently(tb test, s Suite) {
	x := unprepared(tb, s, s.Base, s.Open(tb))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := x.backend.Prepare(tb.Context(), []backends.Target{x.target}); err != nil {
				tb.Errorf("preparing: %v", err)
			}
		})
	}
	all.Wait()
	x.write(x.state(7, 1, "a"))
	x.check()
}

// Writers of different keys, scans, lookups and health checks do not disturb each other.
func testConcurrentUse(tb test, s Suite) {
	x := newBench(tb, s)
	var all sync.WaitGroup
	for w := range 4 {
		var batches [][]backends.Record
		for round := range 5 {
			keys := make([]string, 100)
			for i := range keys {
				keys[i] = fmt.Sprintf("writer %d key %d", w, i)
			}
			batches = append(batches, x.state(int64(round+1), w+round, keys...))
		}
		x.expect(batches[4])
		all.Go(func() {
			for _, batch := range batches {
				if err := x.insist(batch); err != nil {
					tb.Errorf("writer %d: %v", w, err)
				}
			}
		})
	}
	all.Go(func() { x.readAround() })
	all.Wait()
	x.check()
}

func (x *bench) readAround() {
	for range 5 {
		if err := x.backend.Health(x.Context()); err != nil {
			x.Errorf("health: %v", err)
		}
		if err := x.backend.Scan(x.Context(), x.target, func([]backends.Entry) error { return nil }); err != nil {
			x.Errorf("scan: %v", err)
		}
		if _, err := x.backend.Lookup(x.Context(), x.target, []string{"writer 1 key 1"}); err != nil {
			x.Errorf("lookup: %v", err)
		}
	}
}

// A cancelled call ends, with an error if it did not succeed, and spoils nothing for later ones.
func testCancelled(tb test, s Suite) {
	x := newBench(tb, s)
	records := x.state(7, 1, x.many(500)...)
	for i := range 10 {
		ctx, cancel := context.WithCancel(tb.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if _, err := x.backend.Write(ctx, x.target, records[i*50:i*50+50]); err != nil {
				checkError(tb, err, backends.Unknown, backends.Transient)
			}
		}()
		if i == 0 {
			<-done // the others are cancelled wherever they are
		}
		cancel()
		<-done
	}
	ctx, cancel := context.WithCancel(tb.Context())
	cancel()
	_, err := x.backend.Write(ctx, x.target, records)
	x.class(err, backends.Unknown, backends.Transient)
	x.write(records)
	x.check()
}

// A target that was not prepared is an error of class Schema, until it is.
func testMissingTarget(tb test, s Suite) {
	x := unprepared(tb, s, s.Base, s.Open(tb))
	_, err := x.backend.Write(tb.Context(), x.target, x.state(7, 1, "a"))
	x.class(err, backends.Schema)
	err = x.backend.Scan(tb.Context(), x.target, func([]backends.Entry) error { return nil })
	x.class(err, backends.Schema)
	_, err = x.backend.Lookup(tb.Context(), x.target, []string{"a"})
	x.class(err, backends.Schema)
	if err := x.backend.Prepare(tb.Context(), []backends.Target{x.target}); err != nil {
		tb.Fatal(err)
	}
	x.write(x.state(7, 1, "a"))
	x.check()
}

// A store that is there is healthy, before and after Prepare.
func testHealth(tb test, s Suite) {
	x := unprepared(tb, s, s.Base, s.Open(tb))
	for range 2 {
		if err := x.backend.Health(tb.Context()); err != nil {
			tb.Errorf("health: %v", err)
		}
		if err := x.backend.Prepare(tb.Context(), []backends.Target{x.target}); err != nil {
			tb.Fatal(err)
		}
	}
}

// Wrong credentials are an error of class Denied, whatever is called.
func testDenied(tb test, s Suite) { unusable(tb, s, s.Denied(tb), backends.Denied) }

// A store that is not there is an error of class Transient: it may come back.
func testUnreachable(tb test, s Suite) { unusable(tb, s, s.Unreachable(tb), backends.Transient) }

func unusable(tb test, s Suite, b backends.Backend, class backends.Class) {
	tb.Helper()
	x := unprepared(tb, s, s.Base, b)
	for name, call := range x.calls() {
		if err := call(); err == nil || backends.ClassOf(err) != class {
			tb.Errorf("%s: got %v, want class %s", name, err, class)
		} else {
			checkError(tb, err, class)
		}
	}
}

func (x *bench) calls() map[string]func() error {
	ctx, records := x.Context(), x.state(7, 1, "a")
	calls := map[string]func() error{
		"health":  func() error { return x.backend.Health(ctx) },
		"prepare": func() error { return x.backend.Prepare(ctx, []backends.Target{x.target}) },
		"write": func() error {
			_, err := x.backend.Write(ctx, x.target, records)
			return err
		},
		"scan": func() error {
			return x.backend.Scan(ctx, x.target, func([]backends.Entry) error { return nil })
		},
		"lookup": func() error {
			_, err := x.backend.Lookup(ctx, x.target, []string{"a"})
			return err
		},
	}
	if p, ok := x.backend.(backends.Planner); ok {
		calls["plan"] = func() error {
			_, err := p.Plan(ctx, []backends.Target{x.target})
			return err
		}
	}
	return calls
}

// After Close, calls fail and do not hang or panic; Close may be called again.
func testClosed(tb test, s Suite) {
	x := newBench(tb, s)
	x.write(x.state(7, 1, "a"))
	if err := x.backend.Close(); err != nil {
		tb.Fatal(err)
	}
	for name, call := range x.calls() {
		if call() == nil {
			tb.Errorf("%s succeeded on a closed backend", name)
		}
	}
}
