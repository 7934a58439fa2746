// Command bench measures Outflow and compares it with its goals:
//
//	go run ./bench                      everything, about 25 minutes on two cores
//	go run ./bench -run 'drain|latency' some benchmarks
//	go run ./bench -quick               tiny sizes, to see that everything works; the numbers mean nothing
//	go run ./bench -profile DIR         with a processor profile of each benchmark
//
// It prints a table. A full run writes bench/latest.json, a list of name, value, unit, goal and ok, and
// bench/latest.env.json, which says where and when that was; -out names another file. The exit status is 1 if
// something could not be measured, not if a goal is missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"

	"github.com/outflow-db/outflow/internal/benches/lab"
)

func main() { os.Exit(execute()) }

func execute() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if name := os.Getenv(childEnv); name != "" {
		return runChild(ctx, name)
	}
	return run(ctx, os.Args[1:], os.Stdout, os.Stderr)
}

// options are the flags.
type options struct {
	which   *regexp.Regexp // nil: all
	quick   bool
	profile string // directory; empty: none
	out     string // file; empty: none
}

// run is the command, with its exit status.
func run(ctx context.Context, args []string, out, messages io.Writer) int {
	o, err := parse(args, messages)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(messages, "bench:", err)
		return 2
	}
	rows, about, err := measure(ctx, o, messages)
	table(out, rows)
	if o.out != "" && err == nil {
		err = write(o.out, rows, about)
	}
	if err != nil {
		fmt.Fprintln(messages, "bench:", err)
		return 1
	}
	return 0
}

func parse(args []string, messages io.Writer) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(messages)
	which := f.String("run", "", "run only the benchmarks that match the `REGEXP`")
	f.BoolVar(&o.quick, "quick", false, "tiny sizes: to see that it works, not to measure")
	f.StringVar(&o.profile, "profile", "", "write processor profiles to the `DIRECTORY`")
	f.StringVar(&o.out, "out", "", "write the rows to the `FILE` (default: bench/latest.json, after a full run)")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q", f.Arg(0))
	}
	if *which != "" {
		if o.which, err = regexp.Compile(*which); err != nil {
			return o, fmt.Errorf("-run: %w", err)
		}
	}
	if o.out == "" && !o.quick && o.which == nil {
		o.out = "bench/latest.json"
	}
	return o, nil
}

// measure runs the chosen benchmarks, one after the other. What fails is named in the error; the others go on.
func measure(ctx context.Context, o options, messages io.Writer) (rows []lab.Row, about environment, err error) {
	var errs []error
	about = surroundings()
	for _, b := range benchmarks {
		if o.which != nil && !o.which.MatchString(b.name) {
			continue
		}
		if ctx.Err() != nil {
			return rows, about, errors.Join(append(errs, ctx.Err())...)
		}
		fmt.Fprintf(messages, "%s: %s\n", b.name, b.about)
		a, err := spawn(ctx, b.name, o, messages)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", b.name, err))
		}
		rows, about.PostgreSQL = append(rows, a.Rows...), a.PostgreSQL
	}
	if len(rows) == 0 && len(errs) == 0 {
		errs = append(errs, fmt.Errorf("no benchmark matches %v", o.which))
	}
	about.finish()
	return rows, about, errors.Join(errs...)
}
