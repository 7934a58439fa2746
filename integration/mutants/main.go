// Command mutants removes each guard of the engine once, in a copy of the source, and runs the torture on it: it must
// fail. This proves that the torture sees what the guards are for.
//
//	go run ./integration/mutants              # all, some minutes
//	go run ./integration/mutants lock xip     # only these
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// mutant is a guard that is removed.
type mutant struct {
	name  string
	what  string // what the engine does without it
	edits []edit
}

// edit replaces text, which must occur exactly once.
type edit struct{ file, old, new string }

// result is what became of a mutant.
type result struct {
	mutant
	caught bool
	took   time.Duration
	how    string // the first failure, or why it was not caught
}

func main() {
	seed := flag.Uint64("seed", 1, "of the workload")
	length := flag.Duration("d", 24*time.Second, "how long to write")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := command(ctx, flag.Args(), *seed, *length); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1) //nolint:gocritic // cancel does nothing more
	}
}

// command runs the chosen mutants, or all, and tells what became of them.
func command(ctx context.Context, names []string, seed uint64, length time.Duration) error {
	chosen := mutants
	if len(names) > 0 {
		chosen = nil
		for _, n := range names {
			i := slices.IndexFunc(mutants, func(m mutant) bool { return m.name == n })
			if i < 0 {
				return fmt.Errorf("no mutant is called %q", n)
			}
			chosen = append(chosen, mutants[i])
		}
	}
	var survivors []string
	for _, m := range chosen {
		r, err := try(ctx, m, seed, length)
		if err != nil {
			return fmt.Errorf("mutant %s: %w", m.name, err)
		}
		_, _ = fmt.Fprintf(os.Stdout, "%-10s %-8s %6s  %s\n", r.name, verdict(r), r.took.Round(time.Second), r.how)
		if r.caught == (len(m.edits) == 0) {
			survivors = append(survivors, m.name)
		}
	}
	if len(survivors) > 0 {
		return fmt.Errorf("not as it should be: %s", strings.Join(survivors, ", "))
	}
	return nil
}

func verdict(r result) string {
	if r.caught {
		return "caught"
	}
	return "passed"
}

// try runs the torture on a mutated copy of the tree.
func try(ctx context.Context, m mutant, seed uint64, length time.Duration) (r result, err error) {
	r.mutant = m
	dir, err := os.MkdirTemp("", "outflow-mutant-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := copyTree(dir); err != nil {
		return r, err
	}
	for _, e := range m.edits {
		if err := e.apply(dir); err != nil {
			return r, err
		}
	}
	program := filepath.Join(dir, "torture")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./integration/torture")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		return r, fmt.Errorf("building: %w: %s", err, out)
	}
	begun := time.Now()
	var out bytes.Buffer
	run := exec.CommandContext(ctx, program, "-seed", fmt.Sprint(seed), "-d", length.String())
	run.Stdout, run.Stderr, run.Cancel, run.WaitDelay = &out, &out, func() error { return run.Process.Signal(os.Interrupt) }, time.Minute
	err = run.Run()
	r.took = time.Since(begun)
	r.how = m.what
	if _, failed := errors.AsType[*exec.ExitError](err); failed && ctx.Err() == nil {
		r.caught, r.how = true, firstFailure(out.String())
		return r, nil
	}
	return r, err
}

// firstFailure is the first failure that the torture told of, cut to a line.
func firstFailure(out string) string {
	for line := range strings.Lines(out) {
		if _, text, found := strings.Cut(line, "FAILURE: "); found {
			return text[:min(len(text), 200)]
		}
	}
	return out[max(0, len(out)-200):]
}

// apply makes the replacement in the copy.
func (e edit) apply(dir string) error {
	path := filepath.Join(dir, e.file)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if n := strings.Count(string(text), e.old); n != 1 {
		return fmt.Errorf("%s has the text %d times, want once: mend the mutant: %s", e.file, n, e.old)
	}
	return os.WriteFile(path, []byte(strings.Replace(string(text), e.old, e.new, 1)), 0o600)
}

// copyTree copies the module's source. The program is run in its root.
func copyTree(to string) error {
	if _, err := os.Stat("go.mod"); err != nil {
		return errors.New("run it in the root of the repository")
	}
	return filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != ".":
			return filepath.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, path), 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path) //nolint:gosec // nobody changes the tree meanwhile
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, path), text, 0o600)
	})
}
