package main

import (
	"context"
	"os"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/outflow-db/outflow/outbox"
)

// patience is how long a script waits for what must come.
const patience = 2 * time.Minute

// until asks again and again, and fails the script if the answer does not come.
func until(ts *testscript.TestScript, what string, is func() bool) {
	for end := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}

// scriptSettled waits until there are backends and all of them have applied everything.
func scriptSettled(ts *testscript.TestScript, _ bool, _ []string) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, ts.Getenv("DATABASE_URL"))
	ts.Check(err)
	defer conn.Close(ctx)
	until(ts, "the backends apply everything", func() bool {
		all, err := outbox.Status(ctx, conn)
		ts.Check(err)
		changes := int64(0)
		for _, b := range all {
			changes += b.Changes
		}
		return len(all) > 0 && changes == 0
	})
}

// scriptAppears waits until a file has a text: `appears out '^ready'`.
func scriptAppears(ts *testscript.TestScript, _ bool, args []string) {
	text := regexp.MustCompile("(?m)" + args[1])
	until(ts, args[0]+" has "+args[1], func() bool {
		data, err := os.ReadFile(ts.MkAbs(args[0]))
		return err == nil && text.Match(data)
	})
}

// scriptTerminate sends SIGTERM to the script's programs in the background.
func scriptTerminate(ts *testscript.TestScript, _ bool, _ []string) {
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGTERM))
	}
}

// scriptAnswers waits until a query that yields one text yields this one: `answers 'select ...' text`.
func scriptAnswers(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, ts.Getenv("DATABASE_URL"))
	ts.Check(err)
	defer conn.Close(ctx)
	until(ts, args[0]+" yields "+args[1], func() bool {
		var got string
		return conn.QueryRow(ctx, args[0]).Scan(&got) == nil && got == args[1]
	})
}

// scriptHangup sends SIGHUP to the script's programs in the background.
func scriptHangup(ts *testscript.TestScript, _ bool, _ []string) {
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGHUP))
	}
}

// scriptTemporary makes TMPDIR a directory that every user can reach: a private server may run as another one.
func scriptTemporary(ts *testscript.TestScript, _ bool, _ []string) {
	tb, ok := ts.Value(tbKey{}).(testing.TB)
	if !ok {
		ts.Fatalf("no testing.TB")
	}
	dir, err := os.MkdirTemp("", "outflow-demo-test-") // T.TempDir is closed to other users
	ts.Check(err)
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	ts.Check(os.Chmod(dir, 0o755))
	ts.Setenv("TMPDIR", dir)
}

// scriptEmpty wants nothing in a directory.
func scriptEmpty(ts *testscript.TestScript, _ bool, args []string) {
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, e := range entries {
		ts.Fatalf("%s has %s", args[0], e.Name())
	}
}
