package esserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/outflow-db/outflow/internal/child"
)

// patience bounds a start and a clean stop.
const patience = 3 * time.Minute

// Config says which server to run. The zero value is a new node in a temporary directory, on free ports.
type Config struct {
	Dist     string            // directory of the distribution; empty: see Fetch
	Dir      string            // where the node lives; made if missing, used as it is if there is one; empty: a temporary one, deleted by Close
	Heap     string            // of the server, such as 512m; empty: 512m
	Settings map[string]string // of the node, such as http.max_content_length: 1mb
}

// Server is one node of Elasticsearch that runs, or that was ended and can be started again. Its methods may be called
// concurrently.
type Server struct {
	cfg             Config
	dist, java, dir string
	account         *child.Account
	http, transport int // ports

	mu   sync.Mutex
	proc *child.Process // nil: it does not run
}

// Start runs a node and returns when it answers. ctx bounds the start alone: the server runs until Close. After a failure
// nothing is left running.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s := &Server{cfg: cfg}
	err := s.setup(ctx)
	if err == nil {
		err = s.run(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting Elasticsearch: %w", err), s.clean())
	}
	return s, nil
}

// URL is the address of the node.
func (s *Server) URL() string { return "http://127.0.0.1:" + strconv.Itoa(s.http) }

// Kill ends the server as a crash would: at once. Up brings it back.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end(0, syscall.SIGKILL)
}

// Stop shuts the server down. Up brings it back.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end(patience, syscall.SIGTERM, syscall.SIGKILL)
}

// Up starts a server that was ended, at the same address and with its data, and returns when it answers.
func (s *Server) Up(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil {
		return nil
	}
	if err := s.run(ctx); err != nil {
		return fmt.Errorf("starting Elasticsearch again: %w", err)
	}
	return nil
}

// Freeze makes the server stand still: it takes connections, and answers nothing.
func (s *Server) Freeze() error { return s.signal(syscall.SIGSTOP) }

// Thaw ends Freeze.
func (s *Server) Thaw() error { return s.signal(syscall.SIGCONT) }

// Close ends the server and deletes what was temporary. It may be called twice.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.end(0, syscall.SIGKILL), s.clean())
}

func (s *Server) signal(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return errors.New("the server does not run")
	}
	return s.proc.SignalAll(sig)
}

// end ends the launcher and the server that it started.
func (s *Server) end(patience time.Duration, signals ...syscall.Signal) error {
	if s.proc == nil {
		return nil
	}
	err := s.proc.StopAll(patience, signals...)
	s.proc = nil
	return err
}

func (s *Server) clean() error {
	if s.cfg.Dir != "" || s.dir == "" {
		return nil
	}
	return os.RemoveAll(s.dir)
}
