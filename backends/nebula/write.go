package nebula

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/nebula/ngql"
)

// perWrite is how many statements of one Write are under way at once.
const perWrite = 4

// Write makes statements of records, as many rows in each as the pace allows, and sends them over several sessions.
// When the server refuses one for some record's sake, the error is of class Rejected: see backends.WriteBisected.
// When some fail otherwise, their records are answered Failed with the reason, the others as they are.
func (b *backend) Write(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Result, error) {
	m, err := b.model(t)
	if err != nil {
		return nil, err
	}
	parts, results := b.compose(m, t, records)
	return b.sendAll(ctx, t, parts, results)
}

// compose makes statements of records. Those that cannot be in the store have their results already.
func (b *backend) compose(m *model, t backends.Target, records []backends.Record) ([]*part, []backends.Result) {
	results := make([]backends.Result, len(records))
	w := writer{b: b, m: m, t: t, most: min(b.pace.Most(), b.options.statement), open: map[shape]*part{}}
	for i, r := range records {
		if e := w.add(i, r); e != nil {
			results[i] = backends.Result{Outcome: backends.Failed, Err: e}
		}
	}
	for _, p := range w.open {
		w.parts = append(w.parts, p)
	}
	return w.parts, results
}

// Statements makes the statements that Write would send and sends none of them: it needs no server. It answers how many
// rows or keys they have, which is fewer than there are records where some cannot be in the store, and how many bytes.
func (b *backend) Statements(t backends.Target, records []backends.Record) (rows, bytes int, err error) {
	m, err := b.model(t)
	if err != nil {
		return 0, 0, err
	}
	parts, _ := b.compose(m, t, records)
	for _, p := range parts {
		rows, bytes = rows+p.Items(), bytes+p.Size()
	}
	return rows, bytes, nil
}

// shape is what rows of one statement have in common.
type shape struct {
	typ     int
	deleted bool
}

// statement is what is built from rows.
type statement interface {
	Items() int
	Size() int
	Bytes() []byte
}

// part is one statement, the statements that go before it, and the records it is for.
type part struct {
	statement
	places []int
	before []*ngql.DropEdges
}

// writer makes statements of records.
type writer struct {
	b     *backend
	m     *model
	t     backends.Target
	most  int // bytes of a statement
	row   []ngql.Value
	open  map[shape]*part
	parts []*part // that are full
}

// add puts a record into a statement, or says why it cannot be in the store. That such a one is deleted is done.
func (w *writer) add(at int, r backends.Record) *backends.Error {
	p, err := w.m.place(r.Key)
	if err == nil && !r.Deleted {
		w.row, err = w.m.row(r, w.row)
	}
	if err == nil && r.Size() > w.b.options.statement {
		err = fmt.Errorf("the record has %d bytes, and a statement %d: see statement_bytes", r.Size(), w.b.options.statement)
	}
	var into *part
	if err == nil {
		into, err = w.part(shape{p.typ, r.Deleted}, r.Size())
	}
	if err == nil {
		err = into.add(p, w.row)
	}
	switch {
	case err == nil:
		into.places = append(into.places, at)
		return nil
	case r.Deleted:
		return nil
	}
	e := w.b.failFor("write", w.t, backends.Rejected, err)
	e.Key, e.Advice = r.Key, adviceValue
	return e
}

// part is a statement that takes another row, of about so many bytes.
func (w *writer) part(s shape, size int) (*part, error) {
	p := w.open[s]
	if p != nil && (p.Items() >= maxRows || p.Size()+size > w.most) {
		w.parts = append(w.parts, p)
		p = nil
	}
	if p == nil {
		st, err := w.m.statement(s)
		if err != nil {
			return nil, err
		}
		p = &part{statement: st}
		if s.deleted {
			if p.before, err = w.m.edgesAway(); err != nil {
				return nil, err
			}
		}
		w.open[s] = p
	}
	return p, nil
}

// statement begins one.
func (m *model) statement(s shape) (statement, error) {
	typ := m.types[s.typ]
	switch {
	case s.deleted && m.key.edge:
		return ngql.NewDeleteEdge(typ)
	case s.deleted:
		return ngql.NewDeleteTag(typ)
	case m.key.edge:
		return ngql.NewInsertEdge(typ, m.names())
	}
	return ngql.NewInsertVertex(typ, m.names())
}

// edgesAway are the statements that delete the edges of vertices, of the types that the target names. They go before
// the vertices' own, so that what is left after a failure is found again.
func (m *model) edgesAway() ([]*ngql.DropEdges, error) {
	var all []*ngql.DropEdges
	for _, typ := range m.dropEdges {
		for _, reversely := range []bool{false, true} {
			d, err := ngql.NewDropEdges(typ, reversely)
			if err != nil {
				return nil, err
			}
			all = append(all, d)
		}
	}
	return all, nil
}

func (p *part) add(at place, row []ngql.Value) error {
	for _, d := range p.before {
		if err := d.Add(at.src); err != nil {
			return err
		}
	}
	switch s := p.statement.(type) {
	case *ngql.InsertVertex:
		return s.Add(at.src, row)
	case *ngql.InsertEdge:
		return s.Add(at.src, at.dst, at.rank, row)
	case *ngql.DeleteTag:
		return s.Add(at.src)
	case *ngql.DeleteEdge:
		return s.Add(at.src, at.dst, at.rank)
	}
	return errors.New("no such statement")
}

// sendAll sends statements and answers for their records.
func (b *backend) sendAll(ctx context.Context, t backends.Target, parts []*part, results []backends.Result) ([]backends.Result, error) {
	failed := make([]*backends.Error, len(parts))
	var group errgroup.Group
	group.SetLimit(perWrite)
	for i, p := range parts {
		group.Go(func() error {
			if err := b.send(ctx, p); err != nil {
				failed[i] = b.classifyFor("write", t, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, b.classifyFor("write", t, err)
	}
	return answered(parts, failed, results)
}

// answered answers for the records of statements, some of which failed.
func answered(parts []*part, failed []*backends.Error, results []backends.Result) ([]backends.Result, error) {
	var worst *backends.Error
	good := 0
	for i, p := range parts {
		e := failed[i]
		if e == nil {
			good++
			continue
		}
		if e.Class == backends.Rejected {
			return nil, e
		}
		if worst == nil || e.Class == backends.Unknown {
			worst = e
		}
		for _, at := range p.places {
			results[at] = backends.Result{Outcome: backends.Failed, Err: e}
		}
	}
	if worst != nil && good == 0 {
		return nil, worst
	}
	return results, nil
}

// send sends one statement and notes how the server bore it.
func (b *backend) send(ctx context.Context, p *part) error {
	for _, d := range p.before {
		if _, err := b.pool.write(ctx, d.Bytes()); err != nil {
			return err
		}
	}
	began := time.Now()
	_, err := b.pool.write(ctx, p.Bytes())
	if err == nil {
		b.pace.Took(p.Size(), time.Since(began))
		return nil
	}
	e := b.classify("write", err)
	if e.Class == backends.Overload || e.Class == backends.Unknown {
		b.pace.Refused(p.Size())
	}
	if e.Class == backends.Overload && says(err, "Query is too large") && p.Items() == 1 {
		e.Class = backends.Rejected
		e.Advice = "make the record smaller, or raise graphd's max_allowed_query_size"
	}
	return e
}
