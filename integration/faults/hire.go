package faults

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/outflow-db/outflow/internal/child"
)

// Hand is one worker process, with proxies of its own before the stores: what happens on them happens to nobody else.
type Hand struct {
	Proxies map[string]*Proxy // by the store's name

	process *child.Process
}

// Hire starts a worker process that nobody replaces. The caller ends it with Fire.
func (l *Lab) Hire(name string) (*Hand, error) {
	h := &Hand{Proxies: map[string]*Proxy{}}
	s := l.workersSite()
	for i, store := range l.Stores {
		proxy, err := Start(Host(store.place().Address))
		if err != nil {
			return nil, errors.Join(err, h.Fire())
		}
		h.Proxies[store.Name] = proxy
		s.Stores[i] = store.behind(proxy)
	}
	var err error
	if h.process, err = spawn(s, filepath.Join(l.dir, fmt.Sprintf("hand-%s.log", name))); err != nil {
		return nil, errors.Join(err, h.Fire())
	}
	return h, nil
}

// Stop lets the process stand still, in the middle of whatever it does.
func (h *Hand) Stop() error { return h.process.Signal(syscall.SIGSTOP) }

// Continue lets it go on.
func (h *Hand) Continue() error { return h.process.Signal(syscall.SIGCONT) }

// Retire tells the process to end and waits until it has, with exit status 0.
func (h *Hand) Retire() error {
	return errors.Join(h.process.Signal(syscall.SIGTERM), ended(h.process))
}

// Fire ends the process, however it is, and its proxies. It may be called twice.
func (h *Hand) Fire() error {
	var err error
	if h.process != nil {
		err = h.process.Stop(time.Minute, syscall.SIGKILL)
	}
	for _, p := range h.Proxies {
		p.Close()
	}
	return err
}

// Apply commits statements of one transaction, and waits until all stores have what they changed.
func (l *Lab) Apply(ctx context.Context, statements ...string) error {
	token, err := l.Commit(ctx, statements...)
	if err != nil {
		return err
	}
	return l.Await(ctx, token)
}
