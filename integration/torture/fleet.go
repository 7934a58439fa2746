package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// fleet is the worker processes. A slot holds one process at a time.
type fleet struct {
	t *torture

	mu      sync.Mutex
	slots   []*process // nil: none
	seq     int
	resumed map[int]time.Time // when a process was last continued, by id
}

// process is one worker.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended

	stopped  time.Time // since when; zero: it runs
	expected bool      // it was told to end, one way or the other
	spared   bool      // it is not disturbed by chance
}

func newFleet(t *torture, n int) *fleet {
	return &fleet{t: t, slots: make([]*process, n), resumed: map[int]time.Time{}}
}

// revive starts a process in every empty slot.
func (f *fleet) revive() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := range f.slots {
		if f.slots[n] != nil {
			continue
		}
		p, err := f.start()
		if err != nil {
			return fmt.Errorf("starting a worker: %w", err)
		}
		f.slots[n] = p
		go f.watch(n, p)
	}
	return nil
}

func (f *fleet) start() (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(f.t.links)
	if err != nil {
		return nil, err
	}
	f.seq++
	p := &process{cmd: exec.Command(self), log: filepath.Join(f.t.o.Dir, fmt.Sprintf("worker-%d.log", f.seq)), done: make(chan struct{})} //nolint:noctx // it ends by signals
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // the process has its own handle
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = append(os.Environ(), workerEnv+"="+string(text))
	p.cmd.SysProcAttr = attributes()
	f.t.count("workers started", 1)
	return p, spawn(p)
}

// spawn starts the process from a goroutine that keeps its thread: the signal that ends an orphan comes when the
// thread that made it ends.
func spawn(p *process) error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // how it ended is in its state
		}
	}()
	return <-started
}

// watch empties the slot when the process has ended. It must not end by itself.
func (f *fleet) watch(n int, p *process) {
	<-p.done
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.slots[n] == p {
		f.slots[n] = nil
	}
	if !p.expected {
		f.t.fail("a worker ended by itself: %v: %s", p.cmd.ProcessState, tail(p.log))
	}
}

// process is the one in the slot, nil if there is none.
func (f *fleet) process(n int) *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.slots[n]
}

// find is the process with the id, nil if it has ended.
func (f *fleet) find(pid int) *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.slots {
		if p != nil && p.cmd.Process.Pid == pid {
			return p
		}
	}
	return nil
}

// killPID kills a process, unless it is spared, and waits for its end.
func (f *fleet) killPID(pid int) {
	if p := f.find(pid); p != nil {
		f.kill(p)
	}
}

// kill kills a process, unless it is spared, and waits for its end.
func (f *fleet) kill(p *process) {
	f.mu.Lock()
	spared := p.spared
	p.expected = p.expected || !spared
	f.mu.Unlock()
	if spared {
		return
	}
	f.t.count("workers killed", 1)
	f.signal(p, syscall.SIGKILL)
	<-p.done
}

// stop stops a process, unless it is spared or has been stopped already, and says whether it did.
func (f *fleet) stop(p *process, spare bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.spared || p.expected || !p.stopped.IsZero() {
		return false
	}
	p.stopped, p.spared = time.Now(), spare
	f.signal(p, syscall.SIGSTOP)
	f.t.count("workers stopped", 1)
	return true
}

// resume lets a stopped process go on. One that was stopped for too long is a zombie that nobody suspects any more:
// it must be given the time to notice by itself.
func (f *fleet) resume(p *process) error {
	f.mu.Lock()
	if p.stopped.IsZero() {
		f.mu.Unlock()
		return nil
	}
	overslept := time.Since(p.stopped) > zombie-time.Second
	p.spared = p.spared || overslept
	p.stopped, f.resumed[p.cmd.Process.Pid] = time.Time{}, time.Now()
	f.signal(p, syscall.SIGCONT)
	f.mu.Unlock()
	if !overslept {
		return nil
	}
	f.t.count("workers stopped for longer than they are suspected", 1)
	return f.term(p)
}

// continued is when the process was last continued; if it is stopped, now.
func (f *fleet) continued(pid int) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.slots {
		if p != nil && p.cmd.Process.Pid == pid && !p.stopped.IsZero() {
			return time.Now()
		}
	}
	return f.resumed[pid]
}

// term asks a process to end and waits for it. It must exit with 0.
func (f *fleet) term(p *process) error {
	f.mu.Lock()
	p.expected = true
	f.mu.Unlock()
	f.signal(p, syscall.SIGTERM)
	f.t.count("workers asked to end", 1)
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		f.signal(p, syscall.SIGQUIT) // shows its goroutines
		<-p.done
		return fmt.Errorf("a worker has not ended a minute after SIGTERM: %s", tail(p.log))
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("a worker ended after SIGTERM with %v: %s", p.cmd.ProcessState, tail(p.log))
	}
	return nil
}

// each calls fn for all processes, side by side.
func (f *fleet) each(fn func(p *process) error) error {
	var group sync.WaitGroup
	errs := make([]error, len(f.slots))
	for n := range f.slots {
		if p := f.process(n); p != nil {
			group.Go(func() { errs[n] = fn(p) })
		}
	}
	group.Wait()
	return errors.Join(errs...)
}

func (f *fleet) signal(p *process, sig syscall.Signal) {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		f.t.fail("sending %v to a worker: %v", sig, err)
	}
}

// close kills all processes.
func (f *fleet) close() {
	_ = f.each(func(p *process) error {
		f.mu.Lock()
		p.expected = true
		f.mu.Unlock()
		f.signal(p, syscall.SIGKILL)
		<-p.done
		return nil
	})
}

// tail is the end of a file.
func tail(path string) string {
	const most = 4000
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}
