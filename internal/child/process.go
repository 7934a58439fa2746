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

// SignalAll sends a signal to the process and to all that it started and that are of its group, as far as they are there.
func (p *Process) SignalAll(sig syscall.Signal) error {
	if err := syscall.Kill(-p.Cmd.Process.Pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// linger is how long a group may last whose members are dead: somebody else has to take note of their deaths, and some
// never do.
const linger = 5 * time.Second

// StopAll is Stop for the process and all that it started. It returns when all have ended.
func (p *Process) StopAll(patience time.Duration, signals ...syscall.Signal) error {
	for i, sig := range signals {
		if err := p.SignalAll(sig); err != nil {
			return err
		}
		last := i == len(signals)-1
		if last {
			patience = max(patience, linger)
		}
		if p.gone(patience) {
			return nil
		}
	}
	select {
	case <-p.Done:
		return nil
	default:
		return errors.New("it does not end")
	}
}

// gone waits until nobody of the group is left, or for some time.
func (p *Process) gone(patience time.Duration) bool {
	for end := time.Now().Add(patience); syscall.Kill(-p.Cmd.Process.Pid, 0) == nil; time.Sleep(pause) {
		if time.Now().After(end) {
			return false
		}
	}
	<-p.Done
	return true
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

const pause = 20 * time.Millisecond

// Pause waits a moment, or less if ctx ends, which is an error.
func Pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(pause):
		return nil
	}
}
