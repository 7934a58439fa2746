package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/config"
	"github.com/outflow-db/outflow/internal/progress"
	"github.com/outflow-db/outflow/jobs"
)

// verifyOptions are the flags of verify.
type verifyOptions struct {
	backends, kinds []string
	repair, json    bool
	limit           int
}

func (a *app) verify() *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Compares the backends with PostgreSQL, record by record",
		Long: `Compares every record of every backend with what its projection makes of PostgreSQL, by
key and by content. Records that change meanwhile are looked at again; IN FLIGHT are those
that did not come to rest, about which nothing is said. PARKED are those that differ because
the backend has refused them.

With --repair what differs is put back into the log, for that backend alone; the workers
write it again.

With --json the output is {"ok", "targets": [{"backend", "kind", "target", "records",
"missing", "extra", "different", "parked", "in_flight", "repaired", "examples": [{"key",
"what"}]}]}.`,
		Example: `  outflow verify
  outflow verify --backend search --kind symbol
  outflow verify --repair`,
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
	report, err := a.compare(ctx, c.Jobs(pool, a.logger(c)), o)
	if err != nil {
		return err
	}
	if o.json {
		err = a.writeJSON(map[string]any{"ok": report.OK(), "targets": append([]jobs.TargetReport{}, report.Targets...)})
	} else {
		err = a.printReport(report, o.repair)
	}
	if err == nil && !report.OK() {
		err = errDiffers
	}
	return err
}

// check refuses names that the configuration does not have: comparing nothing would look like success.
func (o verifyOptions) check(c *config.Config) error {
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
		return fmt.Sprintf("verifying  %s  %s of %s records", progress.Bar(done.Load(), total.Load(), 20), number(done.Load()), number(total.Load()))
	})
	defer line.Stop()
	return jobs.Verify(ctx, c, jobs.VerifyOptions{
		Backends: o.backends, Kinds: o.kinds, Repair: o.repair, Limit: o.limit,
		Progress: func(d, t int64) {
			done.Store(d)
			total.Store(t)
		},
	})
}

// printReport is the table of targets, the examples of what differs, and one sentence.
func (a *app) printReport(r *jobs.Report, repair bool) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "BACKEND\tTARGET\tKIND\tRECORDS\tMISSING\tEXTRA\tDIFFERENT\tPARKED\tIN FLIGHT\t")
	var records, repaired int64
	for _, t := range r.Targets {
		counts := []string{t.Backend, t.Target, t.Kind}
		for _, n := range []int64{t.Records, t.Missing, t.Extra, t.Different, t.Parked, t.InFlight} {
			counts = append(counts, number(n))
		}
		fmt.Fprintln(w, strings.Join(counts, "\t")+"\t")
		records, repaired = records+t.Records, repaired+t.Repaired
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, t := range r.Targets {
		for _, e := range t.Examples {
			fmt.Fprintf(a.out, "%s/%s: %s: %q\n", t.Backend, t.Target, e.What, e.Key)
		}
	}
	fmt.Fprintln(a.out, verdict(r, records, repaired, repair))
	return nil
}

// verdict is the report in one sentence.
func verdict(r *jobs.Report, records, repaired int64, repair bool) string {
	switch {
	case len(r.Targets) == 0:
		return "nothing is projected, so nothing was compared"
	case r.OK():
		return "every target agrees with PostgreSQL: " + counted(records, "record") + " compared"
	case repair:
		return counted(repaired, "record") + " put back into the log: the workers write them again"
	default:
		return "the targets differ from PostgreSQL: outflow verify --repair puts the records back into the log"
	}
}
