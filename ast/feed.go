package ast

import (
	"context"
	"errors"
	"iter"
	"maps"
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

// room says whether the file fits into the batch as well.
func (b *batch) room(p *prepared, o Options) bool {
	return len(b.files) < o.BatchFiles && b.rows+p.count() <= int64(o.BatchRows) && b.bytes+p.size() <= maxBytes
}

func (b *batch) add(p *prepared) {
	b.files, b.rows, b.bytes = append(b.files, p), b.rows+p.count(), b.bytes+p.size()
}

// feeder makes batches of what the source yields.
type feeder struct {
	*loader
	dimensions map[string]int
	next       *batch
	to         chan<- *batch
}

func newFeeder(l *loader, to chan<- *batch) *feeder {
	f := &feeder{loader: l, dimensions: map[string]int{}, to: to, next: newBatch()}
	maps.Copy(f.dimensions, l.options.Dimensions)
	return f
}

func newBatch() *batch { return &batch{done: make(chan struct{})} }

func (f *feeder) run(ctx context.Context, source iter.Seq2[*SourceFile, error]) error {
	for file, err := range source {
		if err := f.take(ctx, file, err); err != nil {
			return err
		}
	}
	return f.flush(ctx)
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
	before := f.earlier(p)
	if !f.next.room(p, f.options) || before == f.next {
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
