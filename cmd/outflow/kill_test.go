package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/outbox"
)

// kills is how often the load is killed. What it does at that moment is chance; that nothing is lost or left over
// must hold at every one.
const kills = 20

// A load that is killed by SIGKILL again and again and started again leaves the tables as an undisturbed load does,
// and workers bring every store to the same: verify finds no difference.
func TestKilledLoad(t *testing.T) {
	t.Parallel()
	killed, calm := pgtest.New(t), pgtest.New(t)
	dir := t.TempDir()
	before, after := filepath.Join(dir, "before.ndjson"), filepath.Join(dir, "after.ndjson")
	writeLines(t, before, 0)
	writeLines(t, after, 1)
	worker, stop := outflowCommand(t, killed, "run"), func(c *exec.Cmd) { _ = c.Process.Signal(syscall.SIGTERM) }
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	defer worker.Wait() //nolint:errcheck // a signal ended it
	defer stop(worker)
	run(t, killed, "load", before)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range kills {
		kill(t, killed, []string{after, before}[i%2], random) // in turn, so that each one has something to do
	}
	run(t, killed, "load", "--prune", after)
	run(t, calm, "load", after)
	if diff := cmp.Diff(tables(t, calm), tables(t, killed)); diff != "" {
		t.Errorf("the tables differ (-undisturbed +killed):\n%s", diff)
	}
	settle(t, killed)
	run(t, killed, "verify")
}

// kill starts a load and kills it at any moment of it.
func kill(t *testing.T, pool *pgxpool.Pool, path string, random *rand.Rand) {
	t.Helper()
	c := outflowCommand(t, pool, "load", "--recheck", "--prune", "--batch", "5", path)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Duration(random.IntN(600)) * time.Millisecond) // not waiting: the moment is what is tried
	_ = c.Process.Kill()
	err := c.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == -1 { // by a signal
		return
	}
	if err != nil {
		t.Fatalf("the load ended by itself: %v", err)
	}
}

// outflowCommand is the program, on the pool's database.
func outflowCommand(t *testing.T, pool *pgxpool.Pool, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(context.WithoutCancel(t.Context()), "outflow", args...)
	c.Env = append(os.Environ(), "DATABASE_URL="+pgtest.URL(t, pool), "OUTFLOW_CONFIG=")
	return c
}

// run expects the program to end well.
func run(t *testing.T, pool *pgxpool.Pool, args ...string) {
	t.Helper()
	if out, err := outflowCommand(t, pool, args...).CombinedOutput(); err != nil {
		t.Fatalf("outflow %v: %v\n%s", args, err, out)
	}
}

// settle waits until every backend has applied everything.
func settle(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		all, err := outbox.Status(t.Context(), pool)
		if err != nil || time.Now().After(end) {
			t.Fatalf("waited for the backends: %v %+v", err, all)
		}
		left := int64(0)
		for _, b := range all {
			left += b.Changes
		}
		if len(all) > 0 && left == 0 {
			return
		}
	}
}

// tables is a digest of every row of the model's tables.
func tables(t *testing.T, pool *pgxpool.Pool) (digests []string) {
	t.Helper()
	for _, table := range []string{"files", "symbols", "relations", "embeddings"} {
		var n int
		var digest string
		sql := fmt.Sprintf("select count(*), md5(string_agg(t::text, chr(10) order by t::text)) from ast.%s t", table)
		if err := pool.QueryRow(t.Context(), sql).Scan(&n, &digest); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			t.Errorf("ast.%s is empty", table)
		}
		digests = append(digests, fmt.Sprintf("%s: %d %s", table, n, digest))
	}
	return digests
}

// writeLines writes 300 files of a version: half of them change with it, some go and some come.
func writeLines(t *testing.T, path string, version int) {
	t.Helper()
	var out bytes.Buffer
	for i := 50 * version; i < 300+50*version; i++ {
		var symbols, relations []string
		for s := range 20 {
			symbols = append(symbols, fmt.Sprintf(`{"kind":"type","name":"T%d","qualified":"p.T%d","doc":"%d","embeddings":[{"model":"m","vector":[%d,%d]}]}`,
				s+version*(i%2), s+version*(i%2), version*(i%3), s, version*(i%2)))
			relations = append(relations, fmt.Sprintf(`{"type":"contains","target":{"path":"%d.go","kind":"type","qualified":"p.T%d"}}`, i+s+1, version*(i%2)))
		}
		fmt.Fprintf(&out, `{"repository":"r","path":"%d.go","symbols":[%s],"relations":[%s]}`+"\n", i, strings.Join(symbols, ","), strings.Join(relations, ","))
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
