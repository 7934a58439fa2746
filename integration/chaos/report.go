package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/outflow-db/outflow/integration/faults"
)

// tell prints what recoveries took.
func (c *chaos) tell() {
	for _, part := range []struct {
		name string
		list []faults.Result
	}{{"one at a time", c.single}, {"at random", c.random}} {
		if len(part.list) > 0 {
			fmt.Fprintf(c.o.Out, "\n%s, time to recover:\n", part.name)
			distributions(c.o.Out, part.list)
		}
	}
	if len(c.random) > 0 {
		fmt.Fprintf(c.o.Out, "\n%s\n", c.summary())
	}
}

// distributions prints a line for each fault, and one for all.
func distributions(w io.Writer, list []faults.Result) {
	const line = "%-82s %5d %9v %9v %9v %9v\n"
	fmt.Fprintf(w, "%-82s %5s %9s %9s %9s %9s\n", "fault", "times", "p50", "p90", "p99", "max")
	for _, group := range faults.Group(list) {
		d := faults.Distribute(faults.Times(group))
		fmt.Fprintf(w, line, group[0].Scenario.ID(), d.N, short(d.P50), short(d.P90), short(d.P99), short(d.Most))
	}
	d := faults.Distribute(faults.Times(list))
	fmt.Fprintf(w, line, "all", d.N, short(d.P50), short(d.P90), short(d.P99), short(d.Most))
}

func short(d time.Duration) time.Duration {
	if d > 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(10 * time.Millisecond)
}

// summary is the random part in a sentence.
func (c *chaos) summary() string {
	overcome := len(faults.Times(c.random))
	return fmt.Sprintf("%d random faults in %v, up to %d at once: %d overcome without a hand, %d not; in the end %d records compared, %s.",
		len(c.random), c.lasted.Round(time.Second), 2+3*c.o.Stores+elastics(c.o), overcome, len(c.random)-overcome, c.compared, c.difference())
}

func elastics(o options) int {
	if o.Elastic {
		return 1
	}
	return 0
}

func (c *chaos) difference() string {
	if len(c.failures) == 0 {
		return "none different"
	}
	return "with failures"
}

// page writes the tables into the page, between their marks.
func (c *chaos) page() error {
	text, err := os.ReadFile(c.o.Table)
	if err != nil {
		return err
	}
	out := string(text)
	for mark, table := range map[string]string{"faults": faults.Table(append(c.single, c.random...)), "run": c.histogram()} {
		if out, err = between(out, mark, table); err != nil {
			return fmt.Errorf("writing %s: %w", c.o.Table, err)
		}
	}
	return os.WriteFile(c.o.Table, []byte(out), 0o644)
}

// between puts a table between the marks of its name.
func between(text, mark, table string) (string, error) {
	begin, end := "<!-- "+mark+" -->\n", "<!-- /"+mark+" -->"
	before, rest, found := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		return text, fmt.Errorf("there are no marks %q", mark)
	}
	return before + begin + table + end + after, nil
}

// limits of the classes of a histogram.
var limits = []time.Duration{
	250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second,
}

// histogram is the random part as a page shows it.
func (c *chaos) histogram() string {
	var b strings.Builder
	times := faults.Times(c.random)
	d := faults.Distribute(times)
	fmt.Fprintf(&b, "`go run ./integration/chaos -n %d -seed %d%s`: %s\n\n", c.o.N, c.o.Seed, map[bool]string{true: " -elasticsearch"}[c.o.Elastic], c.summary())
	fmt.Fprintf(&b, "Time to recover: p50 %v, p90 %v, p99 %v, max %v.\n\n", short(d.P50), short(d.P90), short(d.P99), short(d.Most))
	b.WriteString("| recovered within | faults | share, cumulated |\n|---|---|---|\n")
	for _, limit := range limits {
		n := 0
		for _, t := range times {
			if t <= limit {
				n++
			}
		}
		fmt.Fprintf(&b, "| %v | %d | %.1f %% |\n", limit, n, 100*float64(n)/float64(max(len(c.random), 1)))
		if n == len(times) {
			break
		}
	}
	return b.String()
}
