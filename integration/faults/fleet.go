package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/outflow-db/outflow/internal/child"
)

// fleet is the workers. A slot holds one at a time: when it ends, another is started, as a service's keeper does.
type fleet struct {
	dir   string // for logs
	site  site
	tasks sync.WaitGroup
	stop  context.CancelFunc

	mu    sync.Mutex
	slots []*child.Process // nil: none right now
	seq   int
	hold  bool // none is started
	errs  []error
}

// newFleet starts workers: so many processes, or, with none, an engine in this process.
func newFleet(ctx context.Context, dir string, s site, processes int) *fleet {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	f := &fleet{dir: dir, site: s, stop: stop, slots: make([]*child.Process, processes)}
	for n := range processes {
		f.tasks.Go(func() { f.keep(ctx, n) })
	}
	if processes == 0 {
		f.tasks.Go(func() { s.work(ctx, slog.New(slog.DiscardHandler)) })
	}
	return f
}

// keep keeps a process in the slot until ctx ends.
func (f *fleet) keep(ctx context.Context, n int) {
	for ctx.Err() == nil {
		p, err := f.start(n)
		if err != nil {
			f.fail(err)
			return
		}
		if p == nil {
			pause(ctx, 20*time.Millisecond)
			continue
		}
		select {
		case <-p.Done:
		case <-ctx.Done():
			_ = p.Signal(syscall.SIGCONT) // a stopped one cannot end
			if err := p.Stop(20*time.Second, syscall.SIGTERM, syscall.SIGKILL); err != nil {
				f.fail(err)
			}
		}
		f.set(n, nil)
		pause(ctx, 100*time.Millisecond)
	}
}

// start starts a process in the slot, unless none shall be started.
func (f *fleet) start(n int) (*child.Process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hold {
		return nil, nil //nolint:nilnil // there is none
	}
	f.seq++
	p, err := spawn(f.site, filepath.Join(f.dir, fmt.Sprintf("worker-%d.log", f.seq)))
	if err == nil {
		f.slots[n] = p
	}
	return p, err
}

// spawn starts a worker process that logs to a file.
func spawn(s site, path string) (*child.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer log.Close()         //nolint:errcheck // the process has its own handle
	cmd := exec.Command(self) //nolint:noctx // it ends by signals
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), workerEnv+"="+string(text))
	cmd.SysProcAttr = (*child.Account)(nil).Attributes(syscall.SIGKILL)
	p, err := child.Spawn(cmd)
	if err != nil {
		return nil, fmt.Errorf("starting a worker: %w", err)
	}
	return p, nil
}

func (f *fleet) set(n int, p *child.Process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slots[n] = p
}

func (f *fleet) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs = append(f.errs, err)
}

// setHold says whether processes that end are replaced.
func (f *fleet) setHold(hold bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hold = hold
}

// all lists the processes that there are.
func (f *fleet) all() []*child.Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []*child.Process
	for _, p := range f.slots {
		if p != nil {
			list = append(list, p)
		}
	}
	return list
}

// one is a process by chance.
func (f *fleet) one(ctx context.Context) (*child.Process, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	list := f.all()
	for ; len(list) == 0 && ctx.Err() == nil; list = f.all() {
		pause(ctx, 20*time.Millisecond) // the one before has just ended
	}
	if len(list) == 0 {
		return nil, errors.New("no worker process is there")
	}
	return list[rand.IntN(len(list))], nil
}

// close ends the workers.
func (f *fleet) close() error {
	f.stop()
	f.tasks.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(f.errs...)
}
