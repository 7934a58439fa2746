package child_test

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outflow-db/outflow/internal/child"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// spawn starts a shell that says a line when it is ready, and returns what it said.
func spawn(t *testing.T, script string) (*child.Process, string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.SysProcAttr = (*child.Account)(nil).Attributes(syscall.SIGKILL)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := child.Spawn(cmd)
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.StopAll(time.Minute, syscall.SIGKILL) })
	return p, strings.TrimSpace(line)
}

// Signals are sent one after the other until the process ends; one that ends by none is an error.
func TestStop(t *testing.T) {
	t.Parallel()
	p, _ := spawn(t, `trap '' TERM; echo ready; while :; do sleep 1; done`)
	if p.Stop(50*time.Millisecond, syscall.SIGTERM) == nil {
		t.Error("it ended by a signal that it ignores")
	}
	if err := p.Stop(time.Minute, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("a signal to nobody: %v", err)
	}
}

// What a process has started ends with it, and is gone when the call returns.
func TestStopAll(t *testing.T) {
	t.Parallel()
	p, line := spawn(t, `sleep 1000 & echo $!; wait`)
	grandchild, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.SignalAll(syscall.SIGSTOP); err != nil {
		t.Error(err)
	}
	if err := p.StopAll(0, syscall.SIGTERM, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if state, err := os.ReadFile("/proc/" + line + "/stat"); err == nil && !strings.Contains(string(state), ") Z ") && syscall.Kill(grandchild, 0) == nil {
		t.Error("what it started still runs")
	}
	if err := p.SignalAll(syscall.SIGTERM); err != nil {
		t.Errorf("a signal to nobody: %v", err)
	}
}

// A process that cannot be started is an error.
func TestSpawnFails(t *testing.T) {
	t.Parallel()
	if _, err := child.Spawn(exec.Command("/no/such/program")); err == nil {
		t.Error("it started")
	}
}

// The ports that are free are different and can be listened at.
func TestFreePorts(t *testing.T) {
	t.Parallel()
	ports, err := child.FreePorts(t.Context(), 3)
	if err != nil || len(ports) != 3 || ports[0] == ports[1] || ports[1] == ports[2] || ports[0] == ports[2] {
		t.Fatalf("%v, %v", ports, err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(ports[0]))
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if child.Pause(ctx) == nil {
		t.Error("a pause outlasts its context")
	}
}
