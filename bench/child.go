package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/internal/benches/lab"
)

// What tells a child what to do.
const (
	childEnv   = "OUTFLOW_BENCH"
	quickEnv   = "OUTFLOW_BENCH_QUICK"
	profileEnv = "OUTFLOW_BENCH_PROFILE"
)

// answer is what a child writes to its standard output.
type answer struct {
	Rows       []lab.Row
	PostgreSQL string
}

// spawn runs a benchmark in a process of its own, so that its memory and processor time are those of what is
// measured. The process ends when this one does.
func spawn(ctx context.Context, name string, o options, messages io.Writer) (a answer, err error) {
	self, err := os.Executable()
	if err != nil {
		return a, err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), childEnv+"="+name, profileEnv+"="+o.profile)
	if o.quick {
		cmd.Env = append(cmd.Env, quickEnv+"=yes")
	}
	cmd.Stdout, cmd.Stderr = &out, messages
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	alive, err := cmd.StdinPipe()
	if err != nil {
		return a, err
	}
	if err := cmd.Start(); err != nil {
		return a, err
	}
	err = errors.Join(cmd.Wait(), ignoreClosed(alive.Close()))
	if err != nil {
		return a, err
	}
	return a, json.Unmarshal(out.Bytes(), &a)
}

// ignoreClosed forgets that the end of the process has closed the pipe already.
func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// runChild runs one benchmark and writes its answer.
func runChild(ctx context.Context, name string) int {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // it ends when the parent does
		stop()
	}()
	a, err := one(ctx, name)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(a)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

// one runs the benchmark with the name on a server of its own.
func one(ctx context.Context, name string) (a answer, err error) {
	l := &lab.Lab{Quick: os.Getenv(quickEnv) != "", Log: os.Stderr}
	if l.Source, err = lab.GoTree(ctx); err != nil {
		return a, err
	}
	if err := lab.Open(ctx, l); err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, l.Close()) }() //nolint:contextcheck // it ends servers, also when ctx has ended
	if a.PostgreSQL, err = version(ctx, l); err != nil {
		return a, err
	}
	for _, b := range benchmarks {
		if b.name != name {
			continue
		}
		stop, err := profile(name)
		if err != nil {
			return a, err
		}
		a.Rows, err = b.run(ctx, l)
		return a, errors.Join(err, stop())
	}
	return a, fmt.Errorf("no benchmark %q", name)
}

// profile begins a processor profile, if one is wanted, and answers how to end it.
func profile(name string) (stop func() error, err error) {
	dir := os.Getenv(profileEnv)
	if dir == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(filepath.Join(dir, name+".pprof"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

func version(ctx context.Context, l *lab.Lab) (text string, err error) {
	conn, err := pgx.Connect(ctx, l.Server.URL("postgres"))
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = conn.QueryRow(ctx, "select current_setting('server_version')").Scan(&text)
	return text, err
}
