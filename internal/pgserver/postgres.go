package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/outflow-db/outflow/internal/child"
)

// longestSocketDir leaves room for a socket's name in the 100 odd bytes that systems allow.
const longestSocketDir = 80

// run starts the server and waits until it answers. It tries again when the failure is one that goes away.
func (s *Server) run(ctx context.Context) error {
	for {
		err := s.attempt(ctx)
		if err == nil || !s.passing(err) || child.Pause(ctx) != nil {
			return err
		}
	}
}

// passing says whether a start failed because processes of a killed server are still ending, or because
// the free port was taken between its choice and its use.
func (s *Server) passing(err error) bool {
	said := err.Error()
	return strings.Contains(said, "pre-existing shared memory block") || strings.Contains(said, "lock file") ||
		s.cfg.Port == 0 && strings.Contains(said, "Address already in use")
}

// attempt starts the server once. A failure shows what the server logged.
func (s *Server) attempt(ctx context.Context) (err error) {
	if s.port = s.cfg.Port; s.port == 0 {
		ports, err := child.FreePorts(ctx, 1)
		if err != nil {
			return err
		}
		s.port = ports[0]
	}
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	start, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	started, err := child.Spawn(s.postgres(ctx, log))
	if err != nil {
		return err
	}
	p := &process{started}
	if err := s.ready(ctx, p); err != nil {
		err = errors.Join(err, p.stop(patience))
		said, _ := io.ReadAll(io.NewSectionReader(log, start, 1<<16)) // err is what matters
		return fmt.Errorf("%w\n%s", err, said)
	}
	s.proc = p
	return nil
}

// postgres is the command that runs the server. It outlives ctx.
func (s *Server) postgres(ctx context.Context, log *os.File) *exec.Cmd {
	socket := s.dir
	if len(socket) > longestSocketDir {
		socket = "" // none: there is the port
	}
	args := []string{"-D", s.data(), "-p", strconv.Itoa(s.port), "-k", socket, "-c", "listen_addresses=127.0.0.1", "-c", "lc_messages=C"}
	for _, name := range slices.Sorted(maps.Keys(s.cfg.Settings)) {
		args = append(args, "-c", name+"="+s.cfg.Settings[name])
	}
	cmd := s.command(context.WithoutCancel(ctx), "postgres", args...)
	cmd.Stdout, cmd.Stderr = log, log
	return cmd
}

func (s *Server) logFile() string { return filepath.Join(s.dir, "server.log") }
