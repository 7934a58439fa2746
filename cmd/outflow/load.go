package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/ast"
	"github.com/outflow-db/outflow/internal/progress"
	"github.com/outflow-db/outflow/outbox"
)

// loadOptions are the flags of load.
type loadOptions struct {
	wait, json      bool
	timeout         time.Duration
	batch, parallel int
}

func (a *app) load() *cobra.Command {
	var o loadOptions
	cmd := &cobra.Command{
		Use:   "load FILE...",
		Short: "Loads source files, as NDJSON, into the tables of schema ast",
		Long: `Loads source files with their symbols, relations and embeddings into the tables of schema
ast, one file in each line of NDJSON; - is the standard input. A file that is there already
is replaced, and what has not changed is left alone. A bad line is reported with its number
and reason, and the rest is loaded.

With --wait it ends when every backend has applied what was loaded; workers must be running.

With --json the output is {"id", "files", "symbols", "relations", "embeddings", "refused",
"batches", "seconds", "slowest_batch_ms", "waited_seconds", "tokens"}, where files and the
like are {"inserted", "updated", "deleted", "unchanged"}.`,
		Example: `  outflow load files.ndjson
  zcat files.ndjson.gz | outflow load - --wait
  go run ./examples/gosource "$(go env GOROOT)/src" | outflow load -`,
		Annotations: exits(map[int]string{
			exitNotWell: "some lines were refused, or a statement was; what was good is loaded",
			exitUsage:   "the command line, the configuration or the set-up is wrong; nothing is loaded",
		}),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{fmt.Errorf("want a file, or - for the standard input: see %s --help", cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.runLoad(cmd.Context(), o, args) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.wait, "wait", false, "wait until every backend has applied what was loaded")
	f.DurationVar(&o.timeout, "timeout", 0, "wait no longer than this `TIME`, such as 5m; 0: for ever")
	f.IntVar(&o.batch, "batch", 0, "`FILES` in a transaction (default 100)")
	f.IntVar(&o.parallel, "parallel", 0, "`TRANSACTIONS` at once (default 2)")
	f.BoolVar(&o.json, "json", false, "write JSON")
	return cmd
}

func (a *app) runLoad(ctx context.Context, o loadOptions, paths []string) error {
	inputs, err := a.inputs(ctx, paths)
	if err != nil {
		return err
	}
	defer inputs.close()
	_, pool, err := a.ready(ctx, o.parallel+2)
	if err != nil {
		return err
	}
	defer pool.Close()
	loaded := loadResult{}
	for _, in := range inputs {
		result, err := a.loadFrom(ctx, pool, in, o)
		loaded.add(result)
		if err != nil {
			return err
		}
	}
	if o.wait {
		if err := a.await(ctx, pool, &loaded, o.timeout); err != nil {
			return err
		}
	}
	if err := a.printLoad(&loaded, o.json); err != nil {
		return err
	}
	if loaded.Refused > 0 {
		return errDiffers
	}
	return nil
}

// loadResult is what was loaded of all inputs, as --json shows it.
type loadResult struct {
	ast.Totals
	id      string
	batches int
	Refused int64
	tokens  []string
	slowest time.Duration
	elapsed time.Duration
	waited  *time.Duration
}

func (l *loadResult) add(r *ast.Result) {
	l.Add(r.Totals)
	l.id = r.ID
	l.batches += r.Batches
	l.Refused += r.Refused
	l.tokens = append(l.tokens, r.Tokens...)
	l.slowest = max(l.slowest, r.Slowest)
	l.elapsed += r.Elapsed
}

// loadFrom loads one input, telling of bad lines and of how far it is.
func (a *app) loadFrom(ctx context.Context, pool *pgxpool.Pool, in input, o loadOptions) (*ast.Result, error) {
	var files, bad atomic.Int64
	line := progress.Start(a.err, a.width, func() string {
		return fmt.Sprintf("%s: %s loaded, %s refused", in.name, counted(files.Load(), "file"), number(bad.Load()))
	})
	defer line.Stop()
	return ast.Load(ctx, pool, ast.ReadNDJSON(in), ast.Options{
		BatchFiles: o.batch, Parallel: o.parallel,
		Progress: func(p ast.Progress) { files.Store(p.Files) },
		Bad: func(b *ast.BadFile) {
			bad.Add(1)
			fmt.Fprintf(line, "%s: %v\n", in.name, b)
		},
	})
}

// await waits until every backend has applied what was loaded.
func (a *app) await(ctx context.Context, pool *pgxpool.Pool, loaded *loadResult, timeout time.Duration) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	started := time.Now()
	for _, token := range loaded.tokens {
		if err := outbox.Wait(ctx, pool, token); err != nil {
			return err
		}
	}
	waited := time.Since(started)
	loaded.waited = &waited
	return nil
}

// input is one file to load.
type input struct {
	name string
	io.ReadCloser
}

type inputs []input

// inputs opens all files before any is loaded, so that a wrong name loads nothing.
func (a *app) inputs(ctx context.Context, paths []string) (inputs, error) {
	var all inputs
	for _, path := range paths {
		if path == "-" {
			all = append(all, input{"standard input", endingWith(ctx, a.in)})
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			all.close()
			return nil, usageError{err}
		}
		all = append(all, input{path, f})
	}
	return all, nil
}

// endingWith is r until ctx ends. A read of a silent pipe goes on meanwhile, and ends with the process.
func endingWith(ctx context.Context, r io.Reader) io.ReadCloser {
	out, in := io.Pipe()
	go func() {
		_, err := io.Copy(in, r)
		in.CloseWithError(err)
	}()
	context.AfterFunc(ctx, func() { in.CloseWithError(context.Cause(ctx)) })
	return out
}

// close closes all files; they were only read.
func (all inputs) close() {
	for _, in := range slices.Backward(all) {
		in.Close() //nolint:errcheck // see above
	}
}

func (a *app) printLoad(l *loadResult, json bool) error {
	if json {
		return a.writeJSON(l.json())
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tINSERTED\tUPDATED\tDELETED\tUNCHANGED\t")
	for _, row := range []struct {
		name string
		c    ast.Counts
	}{{"files", l.Files}, {"symbols", l.Symbols}, {"relations", l.Relations}, {"embeddings", l.Embeddings}} {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t\n", row.name, number(row.c.Inserted), number(row.c.Updated), number(row.c.Deleted), number(row.c.Unchanged))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%s in %s (%s a minute), %s refused\n", counted(l.Files.Total(), "file"), span(l.elapsed),
		number(perMinute(l.Files.Total(), l.elapsed)), number(l.Refused))
	if l.waited != nil {
		fmt.Fprintf(a.out, "every backend had it %s later\n", span(*l.waited))
	}
	return nil
}

// perMinute is a rate.
func perMinute(n int64, d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64(float64(n) / d.Minutes())
}

// countsJSON and loadJSON are what --json shows.
type countsJSON struct {
	Inserted  int64 `json:"inserted"`
	Updated   int64 `json:"updated"`
	Deleted   int64 `json:"deleted"`
	Unchanged int64 `json:"unchanged"`
}

type loadJSON struct {
	ID             string     `json:"id"`
	Files          countsJSON `json:"files"`
	Symbols        countsJSON `json:"symbols"`
	Relations      countsJSON `json:"relations"`
	Embeddings     countsJSON `json:"embeddings"`
	Refused        int64      `json:"refused"`
	Batches        int        `json:"batches"`
	Seconds        float64    `json:"seconds"`
	SlowestBatchMS int64      `json:"slowest_batch_ms"`
	WaitedSeconds  *float64   `json:"waited_seconds"`
	Tokens         []string   `json:"tokens"`
}

func (l *loadResult) json() loadJSON {
	j := loadJSON{
		ID: l.id, Files: countsJSON(l.Files), Symbols: countsJSON(l.Symbols), Relations: countsJSON(l.Relations),
		Embeddings: countsJSON(l.Embeddings), Refused: l.Refused, Batches: l.batches, Seconds: l.elapsed.Seconds(),
		SlowestBatchMS: l.slowest.Milliseconds(), Tokens: append([]string{}, l.tokens...),
	}
	if l.waited != nil {
		seconds := l.waited.Seconds()
		j.WaitedSeconds = &seconds
	}
	return j
}
