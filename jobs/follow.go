package jobs

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// kind is what the database says about a kind.
type kind struct {
	list       string // a query for all its keys
	dependants []dependant
}

// dependant is a kind whose records show something of another kind's.
type dependant struct {
	kind  string
	query string // $1: keys that changed; yields the keys of this kind that show them
}

// relogChunk is how many keys are put into the log at once.
const relogChunk = 10_000

// loadKinds reads what the database knows of kinds.
func loadKinds(ctx context.Context, db outbox.DB) (map[string]kind, error) {
	kinds := map[string]kind{}
	rows, err := db.Query(ctx, `
select k.kind, k.list, coalesce(d.dependant, ''), coalesce(d.query, '')
  from outbox.kinds k left join outbox.dependants d on d.kind = k.kind order by 1, 3`)
	if err != nil {
		return nil, fmt.Errorf("reading the kinds: %w", err)
	}
	var name, list string
	var d dependant
	_, err = pgx.ForEachRow(rows, []any{&name, &list, &d.kind, &d.query}, func() error {
		k := kinds[name]
		k.list = list
		if d.kind != "" {
			k.dependants = append(k.dependants, d)
		}
		kinds[name] = k
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the kinds: %w", err)
	}
	return kinds, nil
}

// follow logs, for this backend, what follows from a page: the keys of kinds of which all are concerned, and the
// dependants of what changed. They are read as later pages, in bounded size. A crash repeats it.
func (w *writer) follow(ctx context.Context, page *outbox.Page) error {
	for name, cause := range page.All {
		if err := w.all(ctx, name, cause); err != nil {
			return err
		}
	}
	for name, keys := range page.Changed {
		if err := w.spread(ctx, name, keys, page.Cause); err != nil {
			return err
		}
	}
	return nil
}

// all logs every key of the kind that PostgreSQL or the store has, as far as the lane owns it. Every earlier page of
// the lane has been written, so the store's keys are complete.
func (w *writer) all(ctx context.Context, name string, cause outbox.Cause) error {
	for _, d := range w.kinds[name].dependants {
		if w.t.Range.Lo == 0 && w.concerned(d.kind) { // one lane does it for all
			if err := outbox.RelogAll(ctx, w.e.c.Pool, w.s.name, d.kind, cause); err != nil {
				return err
			}
		}
	}
	if len(w.s.plans[name]) == 0 {
		return nil
	}
	if err := w.prepare(ctx); err != nil {
		return err
	}
	for _, p := range w.s.plans[name] {
		if err := w.patiently(ctx, "scan", func(ctx context.Context) error {
			into := w.relogger(ctx, name, cause)
			err := w.s.backend.Scan(ctx, p.target, func(page []backends.Entry) error {
				for _, e := range page {
					if err := into.add(e.Key); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			return into.flush()
		}); err != nil {
			return err
		}
	}
	into := w.relogger(ctx, name, cause)
	return w.stream(ctx, `select k.key::text from (`+w.kinds[name].list+"\n) k", nil, into)
}

// concerned says whether the store projects the kind, or a kind that shows something of it.
func (w *writer) concerned(name string) bool {
	if len(w.s.plans[name]) > 0 {
		return true
	}
	for _, d := range w.kinds[name].dependants {
		if w.concerned(d.kind) {
			return true
		}
	}
	return false
}

// spread logs the dependants of changed keys, and theirs in turn. outbox.depend refuses cycles.
func (w *writer) spread(ctx context.Context, name string, keys []string, cause outbox.Cause) error {
	for _, d := range w.kinds[name].dependants {
		if !w.concerned(d.kind) {
			continue
		}
		into := w.relogger(ctx, d.kind, cause)
		into.span = outbox.Range{Hi: 1 << 32} // whoever owns the dependants
		into.silent = len(w.s.plans[d.kind]) == 0
		if len(w.kinds[d.kind].dependants) > 0 {
			into.then = func(keys []string) error { return w.spread(ctx, d.kind, keys, cause) }
		}
		if err := w.stream(ctx, `select d.key::text from (`+d.query+"\n) d (key) where d.key is not null", []any{keys}, into); err != nil {
			return err
		}
	}
	return nil
}

// stream passes the keys that a query yields on. The query sees what the pages read so far saw.
func (w *writer) stream(ctx context.Context, sql string, args []any, into *relogger) error {
	reader := outbox.NewReader(w.e.c.Pool, w.t, w.s.sources)
	err := reader.State(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		var key string
		_, err = pgx.ForEachRow(rows, []any{&key}, func() error { return into.add(key) })
		return err
	})
	if err != nil {
		return fmt.Errorf("listing keys of kind %s for backend %s: %w", into.kind, w.s.name, err)
	}
	return into.flush()
}

// relogger puts keys into the log, in chunks.
type relogger struct {
	ctx     context.Context //nolint:containedctx // it lives for one call
	w       *writer
	kind    string
	cause   outbox.Cause
	span    outbox.Range
	silent  bool                 // only pass the keys on
	then    func([]string) error // gets every chunk as well
	waiting []string
}

func (w *writer) relogger(ctx context.Context, kind string, cause outbox.Cause) *relogger {
	return &relogger{ctx: ctx, w: w, kind: kind, cause: cause, span: w.t.Range}
}

// add takes a key in, if its hash is in the span.
func (r *relogger) add(key string) error {
	if !r.span.Has(outbox.Hash(r.kind, key)) {
		return nil
	}
	if r.waiting = append(r.waiting, key); len(r.waiting) < relogChunk {
		return nil
	}
	return r.flush()
}

// flush logs what is waiting.
func (r *relogger) flush() error {
	keys := r.waiting
	r.waiting = nil
	if len(keys) == 0 {
		return nil
	}
	if !r.silent {
		if err := outbox.Relog(r.ctx, r.w.e.c.Pool, r.w.s.name, r.kind, keys, r.cause); err != nil {
			return err
		}
		r.w.count(func(o *Output) { o.Followed += len(keys) })
	}
	if r.then != nil {
		return r.then(keys)
	}
	return nil
}
