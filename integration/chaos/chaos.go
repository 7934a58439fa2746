package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/outflow-db/outflow/integration/faults"
)

// chaos is one run.
type chaos struct {
	o     options
	begun time.Time

	mu       sync.Mutex
	single   []faults.Result // of faults that were made alone
	random   []faults.Result
	unmade   int // faults that could not be made, because another was under way
	failures []error
	left     int           // random faults that are still to be made
	lasted   time.Duration // of the random part
	compared int           // records that the last comparison of the random part found
}

// within runs fn in a lab, and compares its stores with PostgreSQL in the end.
func (c *chaos) within(ctx context.Context, o faults.Options, fn func(*faults.Lab)) (err error) {
	l, err := faults.Open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := c.compare(ctx, l, "before any fault"); err != nil {
		return err
	}
	fn(l)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return c.compare(ctx, l, "in the end")
}

// compare notes differences.
func (c *chaos) compare(ctx context.Context, l *faults.Lab, when string, stores ...*faults.Store) error {
	records, lost, err := l.Compare(ctx, stores...)
	if err != nil {
		return fmt.Errorf("comparing %s: %w", when, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.compared = records
	if lost > 0 {
		c.failures = append(c.failures, fmt.Errorf("%d records differ %s", lost, when))
	}
	return nil
}

// note keeps a result, and tells it if it is a failure.
func (c *chaos) note(to *[]faults.Result, r faults.Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*to = append(*to, r)
	if r.Err != nil {
		err := fmt.Errorf("%s %s: %w", r.Scenario.ID(), r.Store, r.Err)
		c.failures = append(c.failures, err)
		fmt.Fprintf(c.o.Out, "FAILURE after %v: %v\n", time.Since(c.begun).Round(time.Second), err)
	}
}

// singly makes every fault, one at a time in what it concerns, and compares after each.
func (c *chaos) singly(ctx context.Context) error {
	o := faults.Options{ReadModels: 1, Qdrants: 1, Nebulas: 1, OwnElastic: c.o.Elastic, Processes: c.o.Workers}
	err := c.within(ctx, o, func(l *faults.Lab) {
		var stores sync.WaitGroup
		for _, part := range faults.Parts()[2:] {
			stores.Go(func() { c.each(ctx, l, part) })
		}
		stores.Wait()
		c.each(ctx, l, faults.Source)
		c.each(ctx, l, faults.Workers)
	})
	if err != nil {
		return err
	}
	o.BigDisk, o.OwnElastic = true, false
	return c.within(ctx, o, func(l *faults.Lab) {
		can, _ := l.Of(faults.Source)
		for _, s := range can {
			if s.Sort == faults.Restore {
				c.one(ctx, l, s, nil)
			}
		}
	})
}

// each makes the faults of a part.
func (c *chaos) each(ctx context.Context, l *faults.Lab, part string) {
	can, cannot := l.Of(part)
	for id, why := range cannot {
		fmt.Fprintf(c.o.Out, "left out for now: %s: %s\n", id, why)
	}
	for _, store := range l.Targets(part) {
		for _, s := range can {
			times := c.o.Each
			if s.Slow {
				times = 1
			}
			for range times {
				c.one(ctx, l, s, store)
			}
		}
	}
}

// one makes one fault, and compares.
func (c *chaos) one(ctx context.Context, l *faults.Lab, s faults.Scenario, store *faults.Store) {
	if ctx.Err() != nil {
		return
	}
	r := l.Run(ctx, s, store, 300*time.Millisecond)
	var stores []*faults.Store
	if store != nil {
		stores = append(stores, store)
	}
	if r.Err == nil {
		_, r.Lost, r.Err = l.Compare(ctx, stores...)
	}
	if r.Lost > 0 {
		r.Err = fmt.Errorf("%d records differ after it", r.Lost)
	}
	c.note(&c.single, r)
	fmt.Fprintf(c.o.Out, "%-80s %8v\n", s.ID(), r.Took.Round(time.Millisecond))
}

// atRandom makes faults in all parts at the same time.
func (c *chaos) atRandom(ctx context.Context) error {
	o := faults.Options{
		ReadModels: c.o.Stores, Qdrants: c.o.Stores, Nebulas: c.o.Stores, OwnElastic: c.o.Elastic, Processes: c.o.Workers,
	}
	c.left = c.o.N
	return c.within(ctx, o, func(l *faults.Lab) {
		begun := time.Now()
		making, cancel := context.WithCancel(ctx)
		defer cancel()
		if c.o.Duration > 0 {
			c.left = math.MaxInt
			defer time.AfterFunc(c.o.Duration, cancel).Stop()
		}
		var parts sync.WaitGroup
		stream := uint64(0)
		for _, part := range faults.Parts() {
			for _, store := range l.Targets(part) {
				stream++
				r := rand.New(rand.NewPCG(c.o.Seed, stream))
				parts.Go(func() { c.part(making, l, part, store, r) })
			}
		}
		parts.Wait()
		c.lasted = time.Since(begun)
	})
}

// part makes faults of a part, one after the other, until there are enough.
func (c *chaos) part(ctx context.Context, l *faults.Lab, part string, store *faults.Store, random *rand.Rand) {
	can, _ := l.Of(part)
	var list []faults.Scenario
	for _, s := range can {
		if s.Sort == faults.Transient && !s.Slow {
			list = append(list, s)
		}
	}
	for len(list) > 0 && ctx.Err() == nil && c.take() {
		s := list[random.IntN(len(list))]
		lasts := 100*time.Millisecond + time.Duration(random.Int64N(int64(700*time.Millisecond)))
		nap := time.Duration(random.Int64N(int64(300 * time.Millisecond)))
		if store == nil {
			nap *= 10 // it concerns all stores: they shall have time for faults of their own
		}
		r := l.Run(context.WithoutCancel(ctx), s, store, lasts)
		if r.Made {
			c.note(&c.random, r)
		} else {
			c.giveBack(s, r.Err)
		}
		wait(ctx, nap)
	}
}

// take takes one of the faults that are to be made.
func (c *chaos) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left == 0 {
		return false
	}
	c.left--
	if done := len(c.random); done > 0 && done%50 == 0 {
		fmt.Fprintf(c.o.Out, "%5d faults after %v\n", done, time.Since(c.begun).Round(time.Second))
	}
	return true
}

// giveBack is for a fault that could not be made because another one was in its way: another is made instead.
func (c *chaos) giveBack(s faults.Scenario, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left++
	c.unmade++
	fmt.Fprintf(c.o.Out, "not made: %s: %v\n", s.ID(), err)
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
