package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/jobs"
)

// printReport is the table of targets, the examples of what differs, and one sentence.
func (a *app) printReport(r *jobs.Report, o verifyOptions) error {
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
			columns := ""
			if len(e.Columns) > 0 {
				columns = " in " + strings.Join(e.Columns, ", ")
			}
			fmt.Fprintf(a.out, "%s/%s: %s: %q%s\n", t.Backend, t.Target, e.What, e.Key, columns)
		}
		if t.Deep > 0 {
			fmt.Fprintf(a.out, "%s/%s: %s compared by content%s\n", t.Backend, t.Target, counted(t.Deep, "record"), columnCounts(t.Columns))
		}
		a.printDangling(t)
	}
	if o.dangling && !slices.ContainsFunc(r.Targets, func(t jobs.TargetReport) bool { return t.Dangling != nil }) {
		fmt.Fprintln(a.out, "no target has records that refer to others, so none can dangle")
	}
	fmt.Fprintln(a.out, verdict(r, records, repaired, o.repair))
	return nil
}

// printDangling tells which records of a target dangle, and what to do about it.
func (a *app) printDangling(t jobs.TargetReport) {
	d := t.Dangling
	if d == nil {
		return
	}
	for _, e := range d.Examples {
		var ends []string
		for _, end := range e.Ends {
			text := fmt.Sprintf("%s %q", end.End, end.ID)
			if end.Lacking != "" {
				text += ", a record of " + end.Lacking + " that PostgreSQL has"
			}
			ends = append(ends, text)
		}
		fmt.Fprintf(a.out, "%s/%s: dangling: %q has no %s\n", t.Backend, t.Target, e.Key, strings.Join(ends, "; no "))
	}
	if d.Records == 0 {
		fmt.Fprintf(a.out, "%s/%s: no record dangles\n", t.Backend, t.Target)
	}
	if n := d.Records - d.Lacking; n > 0 {
		fmt.Fprintf(a.out, "%s/%s: warning: %s to what neither the store has nor a projection makes of PostgreSQL: mend those rows, project what they refer to, or leave them out in the query\n",
			t.Backend, t.Target, referring(n))
	}
	if d.Lacking > 0 {
		fmt.Fprintf(a.out, "%s/%s: warning: %s to what PostgreSQL has and the store lacks: verify that target, and see what of it is parked\n", t.Backend, t.Target, referring(d.Lacking))
	}
	if d.InFlight > 0 {
		fmt.Fprintf(a.out, "%s/%s: of %s without an end nothing can be said: they or their ends are in flight\n", t.Backend, t.Target, counted(d.InFlight, "record"))
	}
}

// referring is so many records, as the subject of a sentence.
func referring(n int64) string {
	if n == 1 {
		return "1 record refers"
	}
	return counted(n, "record") + " refer"
}

// columnCounts tells in how many records columns differ.
func columnCounts(columns map[string]int64) string {
	if len(columns) == 0 {
		return ""
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(columns)) {
		list = append(list, fmt.Sprintf("%s in %s", name, number(columns[name])))
	}
	return "; columns that differ: " + strings.Join(list, ", ")
}

// printCounts is the table of the counts, and one sentence.
func (a *app) printCounts(r *jobs.Report) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "BACKEND\tTARGET\tKIND\tPOSTGRESQL\tSTORE\t\t")
	for _, t := range r.Targets {
		note := ""
		switch c := t.Counts; {
		case c.InFlight:
			note = "in flight"
		case c.Differ:
			note = "differs"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t\n", t.Backend, t.Target, t.Kind, number(t.Counts.Postgres), number(t.Counts.Store), note)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if r.OK() {
		fmt.Fprintln(a.out, "no count differs, as far as it can be told: outflow verify compares the records")
	} else {
		fmt.Fprintln(a.out, "counts differ, and nothing is in flight: outflow verify tells which records")
	}
	return nil
}

// lastVerifies tells what the last verify of each target found.
func (a *app) lastVerifies(ctx context.Context, pool *pgxpool.Pool, o verifyOptions) error {
	all, err := jobs.Results(ctx, pool)
	if err != nil {
		return err
	}
	results, ok := []jobs.Result{}, true
	for _, r := range all {
		if (len(o.backends) == 0 || slices.Contains(o.backends, r.Backend)) && (len(o.kinds) == 0 || slices.Contains(o.kinds, r.Kind)) {
			results, ok = append(results, r), ok && r.OK()
		}
	}
	if o.json {
		err = a.writeJSON(map[string]any{"ok": ok, "targets": results})
	} else {
		err = a.printResults(results)
	}
	if err == nil && !ok {
		err = errDiffers
	}
	return err
}

// printResults is the table of what verifies found last.
func (a *app) printResults(results []jobs.Result) error {
	if len(results) == 0 {
		fmt.Fprintln(a.out, "nothing was verified yet")
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "BACKEND\tTARGET\tKIND\tWHEN\tBY\tCOMPARED\tBY CONTENT\tDIFFER\tIN FLIGHT\tREPAIRED")
	for _, r := range results {
		differ := r.Missing + r.Extra + r.Different + r.Parked
		fmt.Fprintf(w, "%s\t%s\t%s\t%s ago\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Backend, r.Target, r.Kind, since(r.At), r.By,
			number(r.Records), number(r.Deep), number(differ), number(r.InFlight), number(r.Repaired))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, r := range results {
		a.printDangling(r.TargetReport)
	}
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
