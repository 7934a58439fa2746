package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/ast"
	"github.com/outflow-db/outflow/internal/progress"
	"github.com/outflow-db/outflow/outbox"
)

// loadOptions are the flags of load.
type loadOptions struct {
	wait, json, prune, recheck bool
	timeout, target            time.Duration
	batch, parallel            int
	id, rejects, follow        string
	onReject                   string
	dimensions                 map[string]int
}

func (a *app) load() *cobra.Command {
	var o loadOptions
	cmd := &cobra.Command{
		Use:   "load FILE...",
		Short: "Loads source files, as NDJSON, into the tables of schema ast",
		Long: `Loads source files with their symbols, relations and embeddings into the tables of schema
ast, one file in each line of NDJSON, as it is or compressed by gzip or zstd; - is the standard
input. A file that is there already is replaced, and what has not changed is left alone: a load
that was stopped is resumed by starting it again. A bad line is reported with its number and
everything that is wrong with it, and the rest is loaded; --rejects collects such lines.

Batches are as large as a transaction of --target allows. Each one commits when it is full, or
when nothing has come for a moment, so the standard input may be a stream.

With --prune, files are removed that the input does not have, in the repositories that it is
about; not in one with a bad line, and nowhere if a bad line does not tell its repository.

With --follow the files *.ndjson, *.ndjson.gz and *.ndjson.zst of a directory are loaded, and
again whenever one comes or changes, until a signal ends it. A file is taken when it has stayed
the same for a second; better, write it under another name and rename it.

With --wait it ends when every backend has applied what was loaded; workers must be running.

With --on-reject revert all of the load is undone, in PostgreSQL and so in every store, when a
backend refuses a record of it; without, or with park, that record is parked and the rest stays.
A worker does it, and its events tell what it did. The load ends as soon as it sees that, and
with --wait it is certain whether every backend took all of it. The kinds must keep history.

With --json it writes one object a line: for each batch {"batch", "load", "transaction",
"token", "ms", "retries", "files", "symbols", "relations", "embeddings", "digests"}, for each
bad line {"bad": {"input", "line", "repository", "path", "problems"}}, and last {"summary":
{"load", "files", "symbols", "relations", "embeddings", "refused", "unpruned", "batches",
"seconds", "slowest_batch_ms", "waited_seconds", "rejected", "backends"}}. Files and the like
are {"inserted", "updated", "deleted", "unchanged"}.`,
		Example: `  outflow load files.ndjson.gz --rejects bad.ndjson
  outflow load *.ndjson --prune --wait
  outflow load files.ndjson --on-reject revert --wait
  outflow load --follow /var/spool/outflow
  go run ./examples/gosource "$(go env GOROOT)/src" | outflow load -`,
		Annotations: exits(map[int]string{
			exitNotWell: "some lines were refused, or a statement was; what was good is loaded, or with --on-reject revert all of it is undone",
			exitUsage:   "the command line, the configuration or the set-up is wrong; nothing is loaded",
		}),
		Args: o.check,
		RunE: func(cmd *cobra.Command, args []string) error { return a.runLoad(cmd.Context(), o, args) },
	}
	o.bind(cmd)
	return cmd
}

// bind declares the flags.
func (o *loadOptions) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.wait, "wait", false, "wait until every backend has applied what was loaded")
	f.DurationVar(&o.timeout, "timeout", 0, "wait no longer than this `TIME`, such as 5m; 0: for ever")
	f.StringVar(&o.rejects, "rejects", "", "write bad lines, unchanged, to this `FILE`; it is made when there is one")
	f.BoolVar(&o.prune, "prune", false, "remove the files of the repositories in the input that are not in it")
	f.BoolVar(&o.recheck, "recheck", false, "compare the rows of files that have not changed, too")
	f.StringVar(&o.follow, "follow", "", "load what comes into this `DIRECTORY`, until a signal")
	f.StringVar(&o.onReject, "on-reject", outbox.OnRejectPark, "what to do when a backend refuses a record: `park|revert`")
	f.StringVar(&o.id, "id", "", "`NAME` of the load, in ast.loaded and in the headers of the log (default a random one)")
	f.StringToIntVar(&o.dimensions, "dimensions", nil, "how many dimensions models have, as `MODEL=N,...` (default: what comes first)")
	f.DurationVar(&o.target, "target", 200*time.Millisecond, "`TIME` that a transaction shall take")
	f.IntVar(&o.batch, "batch", 0, "at most so many `FILES` in a transaction (default 500)")
	f.IntVar(&o.parallel, "parallel", 0, "`TRANSACTIONS` at once (default 2)")
	f.BoolVar(&o.json, "json", false, "write JSON")
}

// check finds what is wrong with the command line.
func (o *loadOptions) check(cmd *cobra.Command, args []string) error {
	stdin := 0
	for _, a := range args {
		if a == "-" {
			stdin++
		}
	}
	var problem string
	switch {
	case len(args) == 0 && o.follow == "":
		problem = "want a file, or - for the standard input"
	case len(args) > 0 && o.follow != "":
		problem = "want files or --follow, not both"
	case o.follow != "" && (o.prune || o.wait):
		problem = "--follow has no end, so --prune and --wait have no meaning with it"
	case o.onReject != outbox.OnRejectPark && o.onReject != outbox.OnRejectRevert:
		problem = "--on-reject wants park or revert"
	case o.follow != "" && o.id != "" && o.onReject == outbox.OnRejectRevert:
		problem = "with one --id all files that --follow loads would be reverted together"
	case stdin > 1:
		problem = "the standard input can be read once"
	case o.batch < 0 || o.parallel < 0 || o.target <= 0 || o.timeout < 0:
		problem = "--batch, --parallel, --target and --timeout want something positive"
	default:
		return nil
	}
	return usageError{fmt.Errorf("%s: see %s --help", problem, cmd.CommandPath())}
}

func (a *app) runLoad(ctx context.Context, o loadOptions, paths []string) error {
	if o.follow != "" {
		return a.followLoad(ctx, o)
	}
	inputs, err := a.inputs(ctx, paths)
	if err != nil {
		return err
	}
	defer inputs.close()
	pool, l, err := a.openLoad(ctx, o)
	if err != nil {
		return err
	}
	defer pool.Close()
	err = l.run(ctx, inputs)
	if e, rejected := errors.AsType[*ast.RejectedError](err); rejected {
		l.loaded.rejected, err = e.Why, nil
	} else if err == nil && o.wait {
		err = l.await(ctx)
	}
	if err := errors.Join(err, l.rejects.close()); err != nil {
		return err
	}
	return l.end()
}

// openLoad connects.
func (a *app) openLoad(ctx context.Context, o loadOptions) (*pgxpool.Pool, *loading, error) {
	_, pool, err := a.ready(ctx, o.parallel+4)
	if err != nil {
		return nil, nil, err
	}
	return pool, &loading{app: a, o: o, pool: pool, rejects: rejects{path: o.rejects}}, nil
}

// loading is one run of the verb: one load or, when it follows a directory, several.
type loading struct {
	*app
	o       loadOptions
	pool    *pgxpool.Pool
	rejects rejects

	files, bad atomic.Int64
	batches    int
	writing    error // the first error of the output
	loaded     loadResult
}

// run loads inputs as one load, telling of bad lines and of how far it is.
func (l *loading) run(ctx context.Context, in inputs) error {
	line := progress.Start(l.err, l.width, func() string {
		return fmt.Sprintf("%s: %s loaded, %s refused", in.name(), counted(l.files.Load(), "file"), number(l.bad.Load()))
	})
	defer line.Stop()
	before := l.files.Load()
	result, err := ast.Load(ctx, l.pool, in.files(l.o.rejects != ""), ast.Options{
		BatchFiles: l.o.batch, Parallel: l.o.parallel, Target: l.o.target, ID: l.o.id, Prune: l.o.prune,
		Recheck: l.o.recheck, Dimensions: l.o.dimensions, OnReject: l.o.onReject,
		Progress: func(p ast.Progress) {
			l.files.Store(before + p.Files)
			l.batch(&p.Batch, p.Load)
		},
		Bad: func(b *ast.BadFile) { l.refuse(line, b) },
	})
	l.loaded.add(result)
	if _, cannot := errors.AsType[*ast.NoHistoryError](err); cannot {
		err = usageError{err}
	}
	return errors.Join(err, l.writing)
}

// refuse tells of a bad line, and keeps it if asked to.
func (l *loading) refuse(line io.Writer, b *ast.BadFile) {
	l.bad.Add(1)
	fmt.Fprintln(line, b)
	if l.o.json {
		l.write(badJSON{Bad: badFileJSON{b.Input, b.Line, b.Repository, b.Path, b.Problems}})
	}
	l.note(l.rejects.add(b))
}

// note keeps the first error of the output, for the end of the load.
func (l *loading) note(err error) {
	if l.writing == nil {
		l.writing = err
	}
}

// await waits until every backend has applied what was loaded.
func (l *loading) await(ctx context.Context) error {
	if l.o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.o.timeout)
		defer cancel()
	}
	started := time.Now()
	for _, token := range l.loaded.tokens {
		if err := outbox.Wait(ctx, l.pool, token); err != nil {
			return err
		}
	}
	waited := time.Since(started)
	l.loaded.waited = &waited
	if l.o.onReject == outbox.OnRejectRevert { // what was refused is known by now
		var err error
		if l.loaded.rejected, err = outbox.Rejected(ctx, l.pool, l.loaded.id); err != nil {
			return err
		}
	}
	all, err := outbox.Status(ctx, l.pool)
	for _, b := range all {
		l.loaded.backends = append(l.loaded.backends, reachedJSON{b.Name, b.Changes, b.Parked, b.Paused})
	}
	return err
}

// end prints the summary, and answers for the exit status.
func (l *loading) end() error {
	if err := l.print(&l.loaded); err != nil {
		return err
	}
	if l.loaded.Refused > 0 || l.loaded.rejected != "" {
		return errDiffers
	}
	return nil
}
