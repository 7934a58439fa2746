package pgserver

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/outflow-db/outflow/internal/child"
)

// accounts are the users that run the server for root, which PostgreSQL refuses.
var accounts = []string{"postgres", "nobody"}

// setup finds the binaries and makes the cluster, if there is none yet.
func (s *Server) setup(ctx context.Context) (err error) {
	if s.account, err = child.Lookup(accounts...); err != nil {
		return err
	}
	if s.bin, err = binaries(ctx, s.cfg); err != nil {
		return err
	}
	if err := s.makeDir(); err != nil {
		return err
	}
	password, err := os.ReadFile(s.passwordFile())
	switch {
	case err == nil:
		s.password = strings.TrimSpace(string(password))
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return s.initdb(ctx)
	default:
		return err
	}
}

func (s *Server) passwordFile() string { return filepath.Join(s.dir, "password") }

// makeDir makes the directory and hands it to the account that the server runs as.
func (s *Server) makeDir() (err error) {
	s.temp = s.cfg.Dir == ""
	s.dir, err = s.account.Directory(s.cfg.Dir, "outflow-postgres-")
	return err
}

// initdb makes the cluster. The password is written last: a directory that has one has a whole cluster.
func (s *Server) initdb(ctx context.Context) error {
	if _, err := os.Stat(s.data()); err == nil {
		return fmt.Errorf("%s is not a cluster of Outflow's: choose an empty directory", s.dir)
	}
	s.password = cmp.Or(s.cfg.Password, rand.Text())
	draft := s.passwordFile() + ".new"
	if err := os.WriteFile(draft, []byte(s.password+"\n"), 0o600); err != nil {
		return err
	}
	if err := s.account.Own(draft); err != nil {
		return err
	}
	cmd := s.command(ctx, "initdb", "--pgdata", s.data(), "--username", "postgres", "--auth", "scram-sha-256",
		"--pwfile", draft, "--encoding", "UTF8", "--locale", locale(), "--no-sync")
	runtime.LockOSThread() // see child.Spawn
	out, err := cmd.CombinedOutput()
	runtime.UnlockOSThread()
	if err != nil {
		return errors.Join(fmt.Errorf("initdb: %w\n%s", err, out), os.RemoveAll(s.data()))
	}
	return os.Rename(draft, s.passwordFile())
}

// locale is one that knows the letters of Unicode and is on every machine of the system.
func locale() string {
	if runtime.GOOS == "linux" {
		return "C.UTF-8"
	}
	return "en_US.UTF-8"
}

// command is one of the server's programs, run as its account, apart from the terminal's signals. Messages
// are in English, because errors are looked for in them.
func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)
	cmd.Dir, cmd.SysProcAttr = s.dir, s.account.Attributes(syscall.SIGQUIT)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "PG") && !strings.HasPrefix(v, "LC_") && !strings.HasPrefix(v, "LANG") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "LC_MESSAGES=C")
	return cmd
}
