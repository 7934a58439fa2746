// Command chaos makes random faults in all parts of Outflow, many at once, and proves that everything goes on by itself
// and that nothing is lost.
//
//	go run ./integration/chaos -n 1000 -seed 1
//	go run ./integration/chaos -d 8h -elasticsearch
//	go run ./integration/chaos -each 3 -n 1000 -elasticsearch -table     # writes docs/faults.md
//
// Writers change rows throughout. Worker processes project them into read models in PostgreSQL, into Qdrants and
// NebulaGraphs in this process and, with -elasticsearch, into a real Elasticsearch. Each store, the workers, and
// PostgreSQL itself have faults of their own at the same time: see package faults for the list. After each fault a change
// is committed, and the time is taken until it, and all before, are in the stores. In the end every store is compared
// with PostgreSQL, record by record. The exit status is 1 if any record differs, or a fault was not overcome.
//
// The seed decides which faults follow each other in each part and how long they last. What meets what is up to the
// machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/outflow-db/outflow/integration/faults"
)

// options say what to run.
type options struct {
	N        int           // random faults
	Duration time.Duration // of random faults, instead of their number
	Each     int           // how often every single fault is made, one at a time, before
	Seed     uint64
	Elastic  bool
	Stores   int // of each type but Elasticsearch
	Workers  int
	Table    string // the page that gets the table; empty: none
	Out      io.Writer
}

func main() {
	faults.Worker()
	o := options{Out: os.Stdout}
	table := false
	flag.IntVar(&o.N, "n", 100, "how many random faults")
	flag.DurationVar(&o.Duration, "d", 0, "how long to make random faults, instead of -n")
	flag.IntVar(&o.Each, "each", 0, "make every fault so often first, one at a time, and those that take long")
	flag.Uint64Var(&o.Seed, "seed", rand.Uint64(), "of the choice")
	flag.BoolVar(&o.Elastic, "elasticsearch", false, "with a private Elasticsearch, too")
	flag.IntVar(&o.Stores, "stores", 2, "of each type, but one Elasticsearch")
	flag.IntVar(&o.Workers, "workers", 3, "processes that project")
	flag.BoolVar(&table, "table", false, "write the tables of docs/faults.md")
	flag.Parse()
	if table {
		o.Table = "docs/faults.md"
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, o); err != nil {
		fmt.Fprintf(o.Out, "chaos: FAILED with seed %d: %v\n", o.Seed, err)
		os.Exit(1) //nolint:gocritic // cancel does nothing more
	}
	fmt.Fprintf(o.Out, "chaos: everything was overcome, nothing is lost, with seed %d\n", o.Seed)
}

// run does everything, and answers what should not have happened.
func run(ctx context.Context, o options) error {
	fmt.Fprintf(o.Out, "seed %d\n", o.Seed)
	c := &chaos{o: o, begun: time.Now()}
	if o.Each > 0 {
		if err := c.singly(ctx); err != nil {
			return err
		}
	}
	if o.N > 0 || o.Duration > 0 {
		if err := c.atRandom(ctx); err != nil {
			return err
		}
	}
	c.tell()
	if o.Table != "" && ctx.Err() == nil {
		if err := c.page(); err != nil {
			return err
		}
	}
	return errors.Join(append(c.failures, ctx.Err())...)
}
