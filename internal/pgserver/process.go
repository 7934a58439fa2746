package pgserver

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/outflow-db/outflow/internal/child"
)

// process is the server's main process.
type process struct{ *child.Process }

// stop asks for a shutdown that does not wait for clients, then insists.
func (p *process) stop(patience time.Duration) error {
	if err := p.Stop(patience, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL); err != nil {
		return fmt.Errorf("stopping PostgreSQL: %w", err)
	}
	return nil
}

// kill ends the process and all that it made, at once. It is stopped first so that it makes no more.
func (p *process) kill() error {
	pid := p.Cmd.Process.Pid
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("killing PostgreSQL: %w", err)
	}
	for _, child := range children(pid) {
		_ = syscall.Kill(child, syscall.SIGKILL) // it may have ended by itself
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("killing PostgreSQL: %w", err)
	}
	<-p.Done
	return nil
}

// children lists the processes that pid has made, where the system tells.
func children(pid int) []int {
	out, err := exec.CommandContext(context.Background(), "ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		return nil
	}
	var pids []int
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) == 2 && f[1] == strconv.Itoa(pid) {
			if child, err := strconv.Atoi(f[0]); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// ready waits until the server answers. It fails when the server ends.
func (s *Server) ready(ctx context.Context, p *process) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-p.Done:
			cancel(fmt.Errorf("postgres has ended: %v", p.Cmd.ProcessState))
		case <-ctx.Done():
		}
	}()
	for {
		conn, err := pgconn.Connect(ctx, s.url("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		if ended := child.Pause(ctx); ended != nil {
			return ended
		}
	}
}
