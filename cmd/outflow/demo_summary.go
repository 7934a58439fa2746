package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/outflow-db/outflow/config"
	"github.com/outflow-db/outflow/jobs"
)

// summary tells what came of the demo.
func (d *demo) summary(ctx context.Context) error {
	d.rates()
	fmt.Fprintln(d.a.out)
	if err := d.tables(ctx); err != nil {
		return err
	}
	fmt.Fprintln(d.a.out)
	for _, t := range d.out.report.Targets {
		for _, e := range t.Examples {
			fmt.Fprintf(d.a.out, "%s/%s: %s: %q\n", t.Backend, t.Target, e.What, e.Key)
		}
	}
	d.say("verify", verdict(d.out.report, recordsOf(d.out.report), 0, false))
	if err := d.questions(ctx); err != nil {
		return err
	}
	d.next()
	return nil
}

// rates tells how long it took.
func (d *demo) rates() {
	l := d.out.load
	rows := l.Files.Total() + l.Symbols.Total() + l.Relations.Total() + l.Embeddings.Total()
	d.say("loaded", fmt.Sprintf("%s, %s in %s: %s files a minute, %s rows/s; slowest transaction %s",
		counted(l.Files.Total(), "file"), counted(rows, "row"), span(l.Elapsed), number(perMinute(l.Files.Total(), l.Elapsed)),
		number(perSecond(rows, l.Elapsed)), span(l.Slowest)))
	if n := l.Refused; n > 0 {
		d.say("left out", counted(n, "file")+" that could not be parsed, such as "+l.Bad[0].Path)
	}
	records := recordsOf(d.out.report)
	d.say("projected", fmt.Sprintf("%s at the same time, the last one %s after the load: %s records/s",
		counted(records, "record"), span(max(0, d.out.caughtUp-l.Elapsed)), number(perSecond(records, d.out.caughtUp))))
}

// tables counts what is in PostgreSQL and in the targets.
func (d *demo) tables(ctx context.Context) error {
	tables := map[string]string{}
	for _, k := range d.config.Kinds {
		tables[k.Name] = k.Table
	}
	w := tabwriter.NewWriter(d.a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TABLE\tROWS\tTARGET\tRECORDS\tAGREES")
	for _, t := range d.out.report.Targets {
		var rows int64
		if err := d.pool.QueryRow(ctx, "select count(*) from "+tables[t.Kind]).Scan(&rows); err != nil {
			return fmt.Errorf("counting the rows of %s: %w", tables[t.Kind], err)
		}
		agrees := "yes"
		if !t.OK() {
			agrees = "no"
		}
		fmt.Fprintf(w, "%s\t%s\t%s/%s\t%s\t%s\n", tables[t.Kind], number(rows), t.Backend, t.Target, number(t.Records-t.Missing+t.Extra), agrees)
	}
	return w.Flush()
}

// next tells where to look now.
func (d *demo) next() {
	fmt.Fprintln(d.a.out)
	if !d.options.keep {
		d.say("next", "make demo FILES=all, or outflow demo --keep to look around with psql; then README.md")
		return
	}
	d.say("next", "the workers go on: change a row and see it arrive. In another terminal:")
	fmt.Fprintf(d.a.out, `
  psql '%s'

  update ast.symbols set doc = 'changed by hand' where qualified = 'bytes.Buffer';
  select body from readmodel.search('symbols', 'changed by hand', 1);
  select * from outbox.lag;

`, d.address())
}

// address is how to connect to the demo's database. The password of a private server is of no use to others.
func (d *demo) address() string {
	if d.on.private {
		return d.on.url
	}
	return config.Redact(d.on.url)
}

// stay keeps everything as it is until ctx ends.
func (d *demo) stay(ctx context.Context) {
	fmt.Fprintln(d.a.out, "Ctrl-C ends the demo and leaves nothing behind.")
	<-ctx.Done()
}

func recordsOf(r *jobs.Report) (n int64) {
	for _, t := range r.Targets {
		n += t.Records
	}
	return n
}

// perSecond is a rate.
func perSecond(n int64, d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64(float64(n) / d.Seconds())
}
