package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/outflow-db/outflow/internal/nebulaserver"
	"github.com/outflow-db/outflow/internal/nebulatest"
)

func main() {
	verbose := flag.Bool("v", false, "tell every failure in full")
	only := flag.String("run", "", "only scenarios with this in their file's path or their name")
	flag.Parse()
	dir := flag.Arg(0)
	if dir == "" {
		dir = os.Getenv("OUTFLOW_NEBULA_TCK")
	}
	if dir == "" {
		fmt.Fprintln(os.Stderr, "usage: tck [-v] [-run PART] DIRECTORY")
		os.Exit(2)
	}
	failed, err := runAll(context.Background(), os.Stdout, dir, *only, *verbose)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

// count is what became of the scenarios of a file.
type count struct {
	passed, failed, skipped int
	reasons                 map[string]int
}

// runAll runs the feature files below a directory, writes the table and returns how many scenarios failed.
func runAll(ctx context.Context, out io.Writer, dir, only string, verbose bool) (int, error) {
	features, err := readAll(dir)
	if err != nil {
		return 0, err
	}
	t, stop, err := open(dir) //nolint:contextcheck // it ends with stop
	if err != nil {
		return 0, err
	}
	defer stop()
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "file\tpassed\tsupported\tskipped\treasons")
	var total count
	for _, f := range features {
		c := count{reasons: map[string]int{}}
		for _, s := range f.scenarios {
			if strings.Contains(f.path, only) || strings.Contains(s.name, only) {
				c.add(out, f.path+": "+s.name, t.run(ctx, s), verbose)
			}
		}
		if c.passed+c.failed+c.skipped > 0 {
			fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%s\n", f.path, c.passed, c.passed+c.failed, c.skipped, reasons(c.reasons))
		}
		total.passed, total.failed, total.skipped = total.passed+c.passed, total.failed+c.failed, total.skipped+c.skipped
	}
	fmt.Fprintf(tw, "all\t%d\t%d\t%d\t\n", total.passed, total.passed+total.failed, total.skipped)
	return total.failed, tw.Flush()
}

func (c *count) add(out io.Writer, name string, err error, verbose bool) {
	sk, skipped := errors.AsType[skip](err)
	switch {
	case err == nil:
		c.passed++
	case skipped:
		c.skipped++
		c.reasons[sk.reason]++
	default:
		c.failed++
		text := err.Error()
		if !verbose && len(text) > 300 {
			text = text[:300] + "…"
		}
		fmt.Fprintf(out, "FAILED %s: %s\n", name, text)
	}
}

func reasons(m map[string]int) string {
	parts := make([]string, 0, len(m))
	for _, r := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s (%d)", r, m[r]))
	}
	return strings.Join(parts, ", ")
}

func readAll(dir string) ([]feature, error) {
	var all []feature
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".feature" {
			return err
		}
		raw, err := os.ReadFile(path) //nolint:gosec // the operator's own files
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		f, err := readFeature(rel, string(raw))
		all = append(all, f)
		return err
	})
	return all, err
}

// open is the server of the environment, or one in the process whose clock moves where scenarios wait.
func open(dir string) (*target, func(), error) {
	t := &target{data: dir, wait: time.Sleep, shared: map[string]string{}}
	if env := os.Getenv("OUTFLOW_TEST_NEBULA"); env != "" {
		f := strings.SplitN(env, ",", 3)
		if len(f) != 3 {
			return nil, nil, errors.New("OUTFLOW_TEST_NEBULA is not host:port,user,password")
		}
		t.server = nebulatest.Server{Addr: f[0], User: f[1], Password: f[2]}
		return t, func() {}, nil
	}
	var ahead atomic.Int64
	s, err := nebulaserver.Start(nebulaserver.Config{
		Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	})
	if err != nil {
		return nil, nil, err
	}
	t.wait = func(d time.Duration) { ahead.Add(int64(d)) }
	t.server = nebulatest.Server{Addr: s.Addr(), User: "root", Password: "nebula"}
	return t, func() { _ = s.Close() }, nil // the program ends
}
