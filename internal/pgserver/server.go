package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/outflow-db/outflow/internal/child"
)

// patience bounds a start, crash recovery included, and a clean stop.
const patience = time.Minute

// Config says which server to run. The zero value is a new cluster in a temporary directory, on a free
// port, by whatever PostgreSQL there is. The server logs to the file server.log in Dir.
type Config struct {
	Bin      string            // directory of postgres and initdb; empty: see Find
	Version  string            // wanted major version, such as "17"; empty: any, the newest first
	Dir      string            // where the cluster lives; made if missing, used as it is if it has one; empty: a temporary one, deleted by Stop
	Port     int               // port on 127.0.0.1; 0: a free one
	Password string            // of the superuser of a new cluster; empty: one by chance
	Settings map[string]string // settings of the server, such as fsync: off
}

// Server is a running PostgreSQL server, or one that was killed and can be started again. Its methods may
// be called concurrently.
type Server struct {
	cfg      Config
	bin      string
	dir      string
	temp     bool // dir is deleted by Stop
	password string
	account  *child.Account

	mu   sync.Mutex
	port int
	proc *process // nil: not running
}

// Start runs a server and returns when it answers. ctx bounds the start alone: the server runs until Stop.
// After a failure nothing is left running.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s := &Server{cfg: cfg, port: cfg.Port}
	if err := s.setup(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("starting PostgreSQL: %w", err), s.clean())
	}
	if err := s.run(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("starting PostgreSQL: %w", err), s.clean())
	}
	return s, nil
}

// URL is the address of a database, for a superuser. It holds the password.
func (s *Server) URL(database string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url(database)
}

func (s *Server) url(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("postgres", s.password),
		Host: "127.0.0.1:" + strconv.Itoa(s.port), Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Bin is the directory of the server's binaries.
func (s *Server) Bin() string { return s.bin }

// Dir is the directory of the cluster: its files are in data, below it.
func (s *Server) Dir() string { return s.dir }

// PID is the process id of the server, 0 if it does not run.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return 0
	}
	return s.proc.Cmd.Process.Pid
}

// Stop shuts the server down, its connections too, and deletes the cluster if it was temporary. It may be
// called twice, and after Kill.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.halt(), s.clean())
}

// Halt is Stop for a server whose cluster shall stay: Restart brings it back.
func (s *Server) Halt() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.halt()
}

// Kill ends the server as a crash would: at once, and with whatever it had not written. Restart brings it
// back.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return nil
	}
	err := s.proc.kill()
	s.proc = nil
	return err
}

// Restart stops the server if it runs and starts it again, at the same address. After Kill this is crash
// recovery.
func (s *Server) Restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.halt(); err != nil {
		return err
	}
	s.cfg.Port = s.port
	if err := s.run(ctx); err != nil {
		return fmt.Errorf("restarting PostgreSQL: %w", err)
	}
	return nil
}

// halt shuts the server down cleanly, if it runs.
func (s *Server) halt() error {
	if s.proc == nil {
		return nil
	}
	err := s.proc.stop(patience)
	s.proc = nil
	return err
}

// clean deletes a temporary directory.
func (s *Server) clean() error {
	if !s.temp {
		return nil
	}
	return os.RemoveAll(s.dir)
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }
