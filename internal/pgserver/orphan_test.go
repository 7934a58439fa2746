package pgserver_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/internal/pgserver"
)

// orphanage is set for the process that leaves an orphan.
const orphanage = "OUTFLOW_TEST_ORPHAN"

// The main thread never ends, so TestThreadEnds must not run on it: it is kept for TestMain.
func init() { runtime.LockOSThread() }

// leaveOrphan starts a server, tells its address, and waits to be killed.
func leaveOrphan() {
	s, err := pgserver.Start(context.Background(), pgserver.Config{Dir: os.Getenv(orphanage)})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(s.URL("postgres"))
	select {}
}

// A server ends when the process that started it is killed.
func TestOrphan(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a process of its parent's end")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), orphanage+"="+directory(t))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	url := strings.TrimSpace(line)
	if err != nil || !reached(url) {
		t.Fatalf("the server does not answer at %q: %v", url, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	for deadline := time.Now().Add(time.Minute); reached(url); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the server still runs")
		}
	}
}

// reached says whether a server answers at url.
func reached(url string) bool {
	conn, err := pgx.Connect(context.Background(), url)
	return err == nil && conn.Close(context.Background()) == nil
}

// The end of the thread that Start was called on is not the end of the process: the server goes on.
func TestThreadEnds(t *testing.T) {
	t.Parallel()
	type result struct {
		server *pgserver.Server
		err    error
	}
	results := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		s, err := pgserver.Start(t.Context(), pgserver.Config{})
		results <- result{s, err}
	}()
	r := <-results
	if r.err != nil {
		t.Fatal(r.err)
	}
	defer r.server.Stop()
	pid := r.server.PID()
	for range 20 {
		if !reached(r.server.URL("postgres")) || r.server.PID() != pid {
			t.Fatal("the server ended with the thread")
		}
	}
}
