package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/config"
	"github.com/outflow-db/outflow/internal/progress"
	"github.com/outflow-db/outflow/jobs"
)

// verifyOptions are the flags of verify.
type verifyOptions struct {
	backends, kinds []string
	deep, count     bool
	dangling        bool
	repair, json    bool
	last            bool
	limit           int
}

func (a *app) verify() *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Compares the backends with PostgreSQL, record by record",
		Long: `Compares every record of every backend with what its projection makes of PostgreSQL, by
key and by a digest of its content. Records that change meanwhile are looked at again; IN
FLIGHT are those that did not come to rest, about which nothing is said. PARKED are those
that differ because the backend has refused them. Both sides are counted first; if the
counts differ, that is said at once.

Most stores keep the digest beside the record: what somebody changes in the store by hand
does not change it. With --deep the content itself is read back and compared, column by
column; that costs as much as reading all of the store. With --count both sides are counted
and nothing is compared; the exit status tells whether they differ while nothing is in flight.

With --dangling, and with --deep as well, records of graphs are looked at whose ends are missing
in the store: edges without a vertex there. That is a warning and no difference, because
PostgreSQL may have rows that refer to none; what each refers to is told.

With --repair what differs is put back into the log, for that backend alone; the workers
write it again. With --last nothing is compared: what the last verify of each target found
is told, whoever began it.

With --json the output is {"ok", "targets": [{"backend", "kind", "target", "counts":
{"postgres", "store", "in_flight", "differ"}, "records", "deep", "missing", "extra",
"different", "parked", "in_flight", "repaired", "columns": {COLUMN: RECORDS}, "examples":
[{"key", "what", "columns"}], "dangling": {"records", "lacking", "in_flight", "examples":
[{"key", "ends": [{"end", "id", "lacking"}]}]}}]}, with --last with "at", "took", "by" and so
on in each.`,
		Example: `  outflow verify
  outflow verify --backend search --kind symbol
  outflow verify --deep --repair
  outflow verify --dangling --backend graph
  outflow verify --count
  outflow verify --last`,
		Annotations: exits(map[int]string{
			exitOK:      "every target holds exactly what PostgreSQL does",
			exitNotWell: "something differs, or did; with --repair it is on its way",
		}),
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runVerify(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.backends, "backend", nil, "only this `BACKEND`; may be repeated")
	f.StringSliceVar(&o.kinds, "kind", nil, "only this `KIND`; may be repeated")
	f.BoolVar(&o.deep, "deep", false, "compare the content in the store, not only the digest beside it")
	f.BoolVar(&o.dangling, "dangling", false, "look for edges whose ends are missing as well")
	f.BoolVar(&o.count, "count", false, "only count both sides")
	f.BoolVar(&o.last, "last", false, "tell what the last verify of each target found")
	f.BoolVar(&o.repair, "repair", false, "put what differs back into the log")
	f.IntVar(&o.limit, "limit", 20, "name so `MANY` differences of each target")
	f.BoolVar(&o.json, "json", false, "write JSON")
	return cmd
}

func (a *app) runVerify(ctx context.Context, o verifyOptions) error {
	c, pool, err := a.ready(ctx, 0)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := o.check(c); err != nil {
		return err
	}
	if o.last {
		return a.lastVerifies(ctx, pool, o)
	}
	report, err := a.compare(ctx, c.Jobs(pool, a.logger(c)), o)
	if err != nil {
		return err
	}
	switch {
	case o.json:
		err = a.writeJSON(map[string]any{"ok": report.OK(), "targets": append([]jobs.TargetReport{}, report.Targets...)})
	case o.count:
		err = a.printCounts(report)
	default:
		err = a.printReport(report, o)
	}
	if err == nil && !report.OK() {
		err = errDiffers
	}
	return err
}

// check refuses flags that contradict each other, and names that the configuration does not have: comparing nothing
// would look like success.
func (o verifyOptions) check(c *config.Config) error {
	switch {
	case o.last && o.count:
		return usageError{errors.New("--last and --count exclude each other")}
	case (o.last || o.count) && (o.deep || o.repair || o.dangling):
		return usageError{errors.New("--deep, --dangling and --repair go with a comparison, which --last and --count do not make")}
	}
	known := map[string]bool{}
	for _, b := range c.Backends {
		known["backend "+b.Name] = true
	}
	for _, p := range c.Projections {
		known["kind "+p.Kind] = true
	}
	for _, name := range o.backends {
		if !known["backend "+name] {
			return usageError{fmt.Errorf("%s has no backend %q", c.Name, name)}
		}
	}
	for _, name := range o.kinds {
		if !known["kind "+name] {
			return usageError{fmt.Errorf("%s projects no kind %q", c.Name, name)}
		}
	}
	return nil
}

// compare runs the verify, with its progress.
func (a *app) compare(ctx context.Context, c jobs.Config, o verifyOptions) (*jobs.Report, error) {
	var done, total atomic.Int64
	line := progress.Start(a.err, a.width, func() string {
		if o.count {
			return ""
		}
		return fmt.Sprintf("verifying  %s  %s of %s records", progress.Bar(done.Load(), total.Load(), 20), number(done.Load()), number(total.Load()))
	})
	defer line.Stop()
	return jobs.Verify(ctx, c, jobs.VerifyOptions{
		Backends: o.backends, Kinds: o.kinds, Deep: o.deep, Dangling: o.dangling, Count: o.count, Repair: o.repair, Limit: o.limit,
		Counted: func(t jobs.TargetReport) {
			if c := t.Counts; c.Postgres != c.Store && !o.count {
				fmt.Fprintf(line, "%s/%s: %s in PostgreSQL, %s in the store: comparing\n", t.Backend, t.Target, counted(c.Postgres, "record"), number(c.Store))
			}
		},
		Progress: func(d, t int64) {
			done.Store(d)
			total.Store(t)
		},
	})
}
