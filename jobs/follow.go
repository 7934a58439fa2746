package jobs

import (
	"context"
	"fmt"
	"slices"
	"time"

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
// dependants of what changed. They are read as later pages, in bounded size. A crash repeats it. The kinds are those
// of now, after the page was read: what was declared before a change holds for it.
func (w *writer) follow(ctx context.Context, page *outbox.Page) (err error) {
	if len(page.All)+len(page.Changed) == 0 {
		return nil
	}
	if w.kinds, err = loadKinds(ctx, w.e.c.Pool); err != nil {
		return err
	}
	for name, cause := range page.All {
		if err := w.all(ctx, name, cause); err != nil {
			return err
		}
	}
	for name := range page.Changed {
		if !slices.ContainsFunc(w.kinds[name].dependants, func(d dependant) bool { return w.concerned(d.kind) }) {
			continue
		}
		for _, c := range page.ChangedBy(name) {
			if err := w.changed(ctx, name, c.Keys, origin{page, page.Cause, c.Write}); err != nil {
				return err
			}
		}
	}
	return nil
}

// origin is what dependants follow from.
type origin struct {
	page  *outbox.Page // nil: none
	cause outbox.Cause
	write outbox.Revertible // if it asks to be reverted
}

// all logs every key of the kind that PostgreSQL or the store has or has refused, as far as the lane owns it. Every
// earlier page of the lane has been written, so the store's keys are complete.
func (w *writer) all(ctx context.Context, name string, cause outbox.Cause) error {
	if err := w.s.agrees(ctx, w.e.c.Pool); err != nil {
		return err // the fill of a projection that this process does not know
	}
	for _, d := range w.kinds[name].dependants {
		if w.t.Range.Lo == 0 && w.concerned(d.kind) { // one lane does it for all
			if err := outbox.RelogAllFor(ctx, w.e.c.Pool, outbox.Dependant, w.s.name, d.kind, cause); err != nil {
				return err
			}
		}
	}
	if len(w.s.plans[name]) == 0 {
		return w.allParked(ctx, name, cause)
	}
	if err := w.prepare(ctx); err != nil {
		return err
	}
	if err := w.allParked(ctx, name, cause); err != nil {
		return err
	}
	for _, p := range w.s.plans[name] {
		if err := w.patiently(ctx, "scan", func(ctx context.Context) error { return w.scan(ctx, p, cause) }); err != nil {
			return err
		}
	}
	return w.reader.Log(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		list := `select k.key::text from (` + w.kinds[name].list + "\n) k where k.key is not null"
		return w.each(ctx, conn, 0, name, list, nil, func(keys []string) error {
			return w.relog(ctx, conn, outbox.EveryKey, name, w.own(name, keys), cause, outbox.Revertible{})
		})
	})
}

// allParked logs the keys that the store has refused: it does not have them, and PostgreSQL need not have them any more.
// What was parked because its dependants could not be found is not any more: all of them are logged.
func (w *writer) allParked(ctx context.Context, name string, cause outbox.Cause) error {
	ids := map[outbox.RecordID]bool{}
	w.mu.Lock()
	for id := range w.outcome { // a save may park them, and forget them here, after they were looked for
		ids[id] = id.Kind == name
	}
	w.mu.Unlock()
	saved, err := w.t.ParkedIDs(ctx, w.e.c.Pool, name)
	if err != nil {
		return err
	}
	for _, id := range saved {
		ids[id] = true
	}
	var keys []string
	w.mu.Lock()
	for id, concerned := range ids {
		switch {
		case !concerned:
		case id.Target == outbox.Spreading:
			w.forgive(id, ids)
		default:
			keys = append(keys, id.Key)
		}
	}
	w.mu.Unlock()
	slices.Sort(keys)
	return w.relog(ctx, w.e.c.Pool, outbox.EveryKey, name, slices.Compact(keys), cause, outbox.Revertible{})
}

// scan logs the keys that the store has.
func (w *writer) scan(ctx context.Context, p *plan, cause outbox.Cause) error {
	var waiting []string
	err := w.s.backend.Scan(ctx, p.target, func(page []backends.Entry) error {
		for _, e := range page {
			waiting = append(waiting, e.Key)
		}
		if len(waiting) < relogChunk {
			return nil
		}
		keys := w.own(p.Kind, waiting)
		waiting = nil
		return w.relog(ctx, w.e.c.Pool, outbox.EveryKey, p.Kind, keys, cause, outbox.Revertible{})
	})
	if err != nil {
		return err
	}
	return w.relog(ctx, w.e.c.Pool, outbox.EveryKey, p.Kind, w.own(p.Kind, waiting), cause, outbox.Revertible{})
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

// changed logs the dependants of changed keys. A key for which a query fails is found by halving and parked.
func (w *writer) changed(ctx context.Context, name string, keys []string, from origin) error {
	err := w.reader.Log(ctx, func(ctx context.Context, conn *pgx.Conn) error { return w.spread(ctx, conn, 0, name, keys, from) })
	switch {
	case err == nil:
		w.s.lately.took(place{name, outbox.Spreading}, len(keys), time.Now())
		return w.unpark(ctx, name, outbox.Spreading, keys)
	case !refused(err):
		return err
	case len(keys) == 1:
		return w.park(ctx, from.page, nil, name, outbox.Spreading, keys[0], 0, backends.AsError("follow", w.s.name, err))
	}
	if err := w.changed(ctx, name, keys[:len(keys)/2], from); err != nil {
		return err
	}
	return w.changed(ctx, name, keys[len(keys)/2:], from)
}

// spread logs the dependants of changed keys, whichever lane owns them, and theirs in turn. It needs no connection
// but the one it has, however deep it goes. outbox.depend refuses cycles.
func (w *writer) spread(ctx context.Context, conn *pgx.Conn, depth int, name string, keys []string, from origin) error {
	for _, d := range w.kinds[name].dependants {
		if !w.concerned(d.kind) {
			continue
		}
		query := `select d.key::text from (` + d.query + "\n) d (key) where d.key is not null"
		if err := w.each(ctx, conn, depth, d.kind, query, []any{keys}, func(found []string) error {
			if len(w.s.plans[d.kind]) > 0 {
				if err := w.relog(ctx, conn, outbox.Dependant, d.kind, found, from.cause, from.write); err != nil {
					return err
				}
			}
			return w.spread(ctx, conn, depth+1, d.kind, found, from)
		}); err != nil {
			return err
		}
	}
	return nil
}

// each passes the keys that a query yields on, in chunks. fn may use the connection.
func (w *writer) each(ctx context.Context, conn *pgx.Conn, depth int, kind, query string, args []any, fn func([]string) error) error {
	cursor := fmt.Sprintf("outflow_%d", depth)
	if _, err := conn.Exec(ctx, "declare "+cursor+" no scroll cursor for "+query, args...); err != nil {
		return queryError(w.s.name, kind, err)
	}
	for {
		rows, err := conn.Query(ctx, fmt.Sprintf("fetch %d from %s", relogChunk, cursor), pgx.QueryExecModeExec)
		if err != nil {
			return queryError(w.s.name, kind, err)
		}
		keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return queryError(w.s.name, kind, err)
		}
		if len(keys) == 0 {
			_, err := conn.Exec(ctx, "close "+cursor)
			return err
		}
		if err := fn(keys); err != nil {
			return err
		}
	}
}

// own is those of the keys that the lane owns.
func (w *writer) own(kind string, keys []string) []string {
	return slices.DeleteFunc(keys, func(k string) bool { return !w.t.Range.Has(outbox.Hash(kind, k)) })
}

// relog puts keys into the log, for the backend. The write that they follow from may ask to be reverted.
func (w *writer) relog(ctx context.Context, db outbox.DB, why outbox.Why, kind string, keys []string, cause outbox.Cause, write outbox.Revertible) error {
	if err := outbox.RelogOf(ctx, db, why, w.s.name, kind, keys, cause, write); err != nil {
		return err
	}
	w.count(func(o *Output) { o.Followed += len(keys) })
	return nil
}
