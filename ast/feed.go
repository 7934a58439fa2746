package ast

import (
	"context"
	"errors"
	"iter"
	"maps"
	"sync"
	"time"
)

// batch is the files of one transaction.
type batch struct {
	files []*prepared
	rows  int64
	bytes int
	done  chan struct{} // closed once the transaction has ended
}

// maxBytes bounds what a batch holds in memory and a transaction has to write, unless one file has more.
const maxBytes = 16 << 20

// room says whether the file fits into the batch as well, which may have so many files and rows.
func (b *batch) room(p *prepared, files int, rows int64) bool {
	return len(b.files) < files && b.rows+p.count() <= rows && b.bytes+p.size() <= maxBytes
}

func (b *batch) add(p *prepared) {
	b.files, b.rows, b.bytes = append(b.files, p), b.rows+p.count(), b.bytes+p.size()
}

// feeder makes batches of what the source yields.
type feeder struct {
	*loader
	dimensions map[string]int
	to         chan<- *batch

	turn sync.Mutex // guards next, and is held while a batch is handed over
	next *batch
	last time.Time // when something was added to next
}

func newFeeder(l *loader, to chan<- *batch) *feeder {
	f := &feeder{loader: l, dimensions: map[string]int{}, to: to, next: newBatch()}
	maps.Copy(f.dimensions, l.options.Dimensions)
	return f
}

func newBatch() *batch { return &batch{done: make(chan struct{})} }

func (f *feeder) run(ctx context.Context, source iter.Seq2[*SourceFile, error]) error {
	idle, stop := context.WithCancel(ctx)
	var flusher sync.WaitGroup
	flusher.Go(func() { f.flushIdle(idle) })
	defer flusher.Wait()
	defer stop()
	for file, err := range source {
		if err := f.take(ctx, file, err); err != nil {
			return err
		}
	}
	f.turn.Lock()
	defer f.turn.Unlock()
	return f.flush(ctx)
}

// flushIdle hands over what there is whenever no file has come for a moment, until ctx ends. That the handing over
// was cut short is no error: whoever ended ctx hands over the rest, or has given up.
func (f *feeder) flushIdle(ctx context.Context) {
	tick := time.NewTicker(max(f.options.Idle/2, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		f.turn.Lock()
		if time.Since(f.last) >= f.options.Idle {
			_ = f.flush(ctx)
		}
		f.turn.Unlock()
	}
}

// take checks what the source yielded and adds it to the batch.
func (f *feeder) take(ctx context.Context, file *SourceFile, err error) error {
	if bad, ok := errors.AsType[*BadFile](err); ok {
		f.bad(bad)
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	checked, bad := check(file, f.dimensions)
	if bad != nil {
		f.bad(bad)
		return ctx.Err()
	}
	return f.add(ctx, prepare(checked))
}

// add puts the file into the batch once an earlier version of it is written, so that the later one wins.
func (f *feeder) add(ctx context.Context, p *prepared) error {
	f.turn.Lock()
	defer f.turn.Unlock()
	before := f.earlier(p)
	if !f.next.room(p, f.options.BatchFiles, f.pace.limit()) || before == f.next {
		if err := f.flush(ctx); err != nil {
			return err
		}
	}
	if before != nil {
		select {
		case <-before.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.next.add(p)
	f.last = time.Now()
	f.scope.good(p.file.Repository)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loading[p.id] = f.next
	return ctx.Err()
}

// earlier is the batch that has the file at the moment, if any.
func (f *feeder) earlier(p *prepared) *batch {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.loading[p.id]
}

func (f *feeder) flush(ctx context.Context) error {
	if len(f.next.files) == 0 {
		return nil
	}
	select {
	case f.to <- f.next:
		f.next = newBatch()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
