// Command mutants removes each guard of the engine once, in a copy of the source, and runs the torture on it, or the tests
// that are named for the guard: each must fail. This proves that they see what the guards are for.
//
//	go run ./integration/mutants              # all, half an hour
//	go run ./integration/mutants lock xip     # only these
//	go run ./integration/mutants 'p*'         # the pitfalls of docs/proofs.md
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path"
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
	tests tests // that must fail, each; none: the torture
}

// tests are expressions for the names of tests, by package.
type tests map[string]string

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
	chosen, err := choose(names)
	if err != nil {
		return err
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

// choose answers the mutants whose names match one of the patterns; without any, all.
func choose(patterns []string) (chosen []mutant, err error) {
	all := slices.Concat(mutants, pitfalls)
	if len(patterns) == 0 {
		return all, nil
	}
	for _, p := range patterns {
		n := len(chosen)
		for _, m := range all {
			fits, err := path.Match(p, m.name)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", p, err)
			}
			if fits {
				chosen = append(chosen, m)
			}
		}
		if len(chosen) == n {
			return nil, fmt.Errorf("no mutant is called %q", p)
		}
	}
	return chosen, nil
}

func verdict(r result) string {
	if r.caught {
		return "caught"
	}
	return "passed"
}

// try runs the torture, or the mutant's tests, on a mutated copy of the tree.
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
	if len(m.tests) > 0 {
		return m.test(ctx, dir)
	}
	return m.torture(ctx, dir, seed, length)
}

// test runs the mutant's tests. All that it names must fail, and not by failing to build.
func (m mutant) test(ctx context.Context, dir string) (r result, err error) {
	r.mutant, r.caught = m, true
	begun := time.Now()
	for _, pkg := range slices.Sorted(maps.Keys(m.tests)) {
		run := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-timeout=10m", "-run", m.pattern(pkg), pkg)
		run.Dir, run.WaitDelay = dir, time.Minute
		out, err := run.CombinedOutput()
		if _, failed := errors.AsType[*exec.ExitError](err); err != nil && (!failed || ctx.Err() != nil) {
			return r, fmt.Errorf("testing %s: %w", pkg, err)
		}
		for name := range strings.SplitSeq(m.tests[pkg], "|") {
			top, _, _ := strings.Cut(name, "/")
			if !strings.Contains(string(out), "--- FAIL: "+top) {
				r.caught, r.how = false, fmt.Sprintf("%s does not fail: %s", name, last(string(out)))
				return r, nil
			}
			r.how += name + " "
		}
	}
	r.took = time.Since(begun)
	return r, nil
}

// pattern is what go test wants for the tests of a package: whole names of tests, and then of their parts.
func (m mutant) pattern(pkg string) string {
	names, parts, nested := strings.Cut(m.tests[pkg], "/")
	if nested {
		return "^(" + names + ")$/^" + parts + "$"
	}
	return "^(" + names + ")$"
}

// torture runs it.
func (m mutant) torture(ctx context.Context, dir string, seed uint64, length time.Duration) (r result, err error) {
	r.mutant = m
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
	return last(out)
}

func last(out string) string { return out[max(0, len(out)-200):] }

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
