package main

import (
	"bufio"
	"context"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/outflow-db/outflow/internal/estest"
	"github.com/outflow-db/outflow/internal/pgtest"
)

var (
	duration = flag.Duration("torture", 24*time.Second, "how long to write")
	seed     = flag.Uint64("seed", 0, "of the workload; 0: another one each time")
)

func TestMain(m *testing.M) {
	if text := os.Getenv(workerEnv); text != "" {
		os.Exit(work(text))
	}
	os.Exit(pgtest.Main(estest.Stopping(m)))
}

// Whatever writers do, and whatever happens to workers and stores, every store ends up as PostgreSQL is.
func TestTorture(t *testing.T) {
	t.Parallel()
	o := tortureOptions(t)
	t.Logf("seed %d", o.Seed)
	if err := run(t.Context(), o); err != nil {
		t.Fatalf("with seed %d: %v", o.Seed, err)
	}
}

// The same goes for a real Elasticsearch: one short round of it, at whose end the workers are killed with their hands full.
func TestTortureElasticsearch(t *testing.T) {
	t.Parallel()
	o := tortureOptions(t)
	o.Search, o.Prefix = estest.URL(t), estest.Prefix(t)
	o.Round, o.Duration, o.Writers, o.Workers = 5*time.Second, 10*time.Second, 4, 2
	t.Logf("seed %d", o.Seed)
	run := prepared(t, o)
	if err := run.round(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if run.failed() {
		t.Errorf("it failed with seed %d", o.Seed)
	}
	run.summarise()
	if run.counted()["old requests sent again to "+search] == 0 {
		t.Error("Elasticsearch was hardly written to: nothing was shown")
	}
}

// prepared is a run that is about to begin, and ends with the test.
func prepared(t *testing.T, o options) *torture {
	t.Helper()
	run := newTorture(o)
	t.Cleanup(func() {
		if err := run.close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if err := run.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return run
}

func tortureOptions(t *testing.T) options {
	t.Helper()
	o := options{
		Source: pgtest.URL(t, pgtest.New(t)), Remote: pgtest.URL(t, pgtest.Empty(t)), Dir: t.TempDir(), Out: testWriter(t),
		Duration: *duration, Round: 12 * time.Second, Seed: *seed, Writers: 10, Workers: 3,
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	return o
}

// testWriter is the test's log.
func testWriter(t *testing.T) io.Writer {
	t.Helper()
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(r); lines.Scan(); {
			t.Log(lines.Text())
		}
	}()
	t.Cleanup(func() {
		_ = w.Close() // a pipe in memory
		<-done
	})
	return w
}
