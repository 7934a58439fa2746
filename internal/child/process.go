package child

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Process is a command that was started by Spawn.
type Process struct {
	Cmd  *exec.Cmd
	Done chan struct{} // closed when it has ended
}

// Spawn starts cmd from a goroutine that keeps its thread for as long as the command runs: the signal that
// ends an orphan comes when the thread that made it ends, and Go ends idle threads.
func Spawn(cmd *exec.Cmd) (*Process, error) {
	p := &Process{Cmd: cmd, Done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.Done)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in cmd.ProcessState
		}
	}()
	return p, <-started
}

// Signal sends a signal, to nobody if the process has ended.
func (p *Process) Signal(sig syscall.Signal) error {
	if err := p.Cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Stop sends the signals, the next one when the process has not ended within patience after the one before.
func (p *Process) Stop(patience time.Duration, signals ...syscall.Signal) error {
	for _, sig := range signals {
		if err := p.Signal(sig); err != nil {
			return err
		}
		timeout := time.NewTimer(patience)
		defer timeout.Stop()
		select {
		case <-p.Done:
			return nil
		case <-timeout.C:
		}
	}
	return errors.New("it does not end")
}

// FreePorts are n different ports of 127.0.0.1 that nobody uses, or used a moment ago.
func FreePorts(ctx context.Context, n int) (ports []int, err error) {
	var c net.ListenConfig
	for range n {
		l, err := c.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		defer func() { err = errors.Join(err, l.Close()) }()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// Pause waits a moment, or less if ctx ends, which is an error.
func Pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(20 * time.Millisecond):
		return nil
	}
}
