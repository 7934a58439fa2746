package jobs

import (
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/outflow-db/outflow/outbox"
)

// This process is alive, one with its id and another start is not, and two engines in it are different owners.
func TestAlive(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("processes are looked up in /proc")
	}
	p := self()
	if p.Host == "" || p.PID != os.Getpid() || p.Started == "" {
		t.Fatalf("%+v", p)
	}
	if !alive(p) {
		t.Error("this process is dead")
	}
	other := p
	other.Started += "1"
	if alive(other) {
		t.Error("another process that had this id is alive")
	}
	if self().Owner == p.Owner {
		t.Error("two engines are one owner")
	}
}

// A process that has ended is dead, also before its parent has noticed.
func TestZombieIsDead(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("processes are looked up in /proc")
	}
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := outbox.Process{PID: cmd.Process.Pid}
	p.Started, _ = startedAt(p.PID)
	if !alive(p) {
		t.Error("a running process is dead")
	}
	in.Close()
	if _, err := out.Read(make([]byte, 1)); err == nil {
		t.Error("cat has something to say")
	}
	for alive(p) { // it has closed its files, and ends
		runtime.Gosched()
	}
	if _, runs := startedAt(p.PID); runs {
		t.Error("a zombie runs")
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if alive(p) {
		t.Error("a process that is gone is alive")
	}
}
