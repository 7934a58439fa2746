package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/projection"
	"github.com/outflow-db/outflow/outbox"
)

// ask is keys that one projection still has to be asked for.
type ask struct {
	plan *plan
	keys []string
}

// asks lists what a page asks of the store's projections. Kinds that the store does not project are left out.
func (s *store) asks(page *outbox.Page) []ask {
	var list []ask
	for kind, keys := range page.Keys {
		for _, p := range s.plans[kind] {
			list = append(list, ask{p, keys})
		}
	}
	return list
}

// reached says whether the page concerns something that the store projects.
func (s *store) reached(page *outbox.Page) bool {
	for kind := range page.All {
		if len(s.plans[kind]) > 0 {
			return true
		}
	}
	for kind := range page.Keys {
		if len(s.plans[kind]) > 0 {
			return true
		}
	}
	return false
}

// portion is records that are in memory together: a page's, or a part of them.
type portion struct {
	page    *outbox.Page
	began   time.Time // when the page began to be read
	records []planned
	bytes   int
	last    bool         // the page is complete with it
	ledger  *ledger      // that holds it
	left    atomic.Int32 // requests for its records that have not ended, and one more until all have begun
}

// take takes records in.
func (p *portion) take(got planned) {
	p.records = append(p.records, got)
	for _, r := range got.records {
		p.bytes += r.Size()
	}
}

// digests adds the digests of the portion's records that exist to a map by key.
func (p *portion) digests(to map[string]string) {
	for _, part := range p.records {
		for _, r := range part.records {
			if !r.Deleted {
				to[r.Key] = r.Digest.String()
			}
		}
	}
}

// planned is records of one projection.
type planned struct {
	plan    *plan
	records []backends.Record
	refused []refusal
}

// refusal is a key whose record PostgreSQL itself could not make.
type refusal struct {
	key     string
	err     *backends.Error
	version int64
}

// chunk sizes: how many keys a projection is asked for at once. They follow the size of its records, so that one
// question's answer is about as large as a portion may be.
const (
	chunkFirst = 500
	chunkMost  = 4000
)

// collector reads portions within a bound of bytes.
type collector struct {
	bound   int
	version int64
	sizes   map[*plan]int     // mean size of the plan's records, as met so far
	most    int               // ask one question of so many keys at most, because some key makes a query fail; 0: no such key
	answers map[*plan]planned // that came along with the log, for the page that is being read
}

// chunk is how many keys to ask for at once.
func (c *collector) chunk(p *plan) int {
	n := chunkFirst
	if c.sizes[p] > 0 {
		n = min(max(c.bound/c.sizes[p], 1), chunkMost)
	}
	if c.most > 0 {
		n = min(n, c.most)
	}
	return n
}

// read fills a portion with the records of list, up to the bound, and answers what is left to ask.
func (c *collector) read(ctx context.Context, conn *pgx.Conn, list []ask, into *portion) ([]ask, error) {
	for len(list) > 0 && into.bytes < c.bound {
		a := list[0]
		if got, known := c.answered(a); known {
			into.take(got)
			list = list[1:]
			continue
		}
		n := min(c.chunk(a.plan), len(a.keys))
		got, unseen, err := c.query(ctx, conn, a.plan, a.keys[:n], c.bound-into.bytes)
		if err != nil {
			return list, err
		}
		into.take(got)
		rest := a.keys[n:]
		if len(unseen) > 0 {
			rest = append(unseen, rest...)
		}
		if list[0].keys = rest; len(rest) == 0 {
			list = list[1:]
		}
		if c.most > 0 {
			break
		}
	}
	return list, nil
}

// query asks one projection for keys. It stops when the answer gets larger than room, at least one record in, and
// answers the keys it has not seen then: those must be asked for again, because a record that was not seen is not
// a record that is gone.
func (c *collector) query(ctx context.Context, conn *pgx.Conn, p *plan, keys []string, room int) (got planned, unseen []string, err error) {
	rows, err := conn.Query(ctx, p.sql, p.formats, keys)
	if err != nil {
		return planned{}, nil, queryError(p.Backend, p.Kind, err)
	}
	return c.gather(rows, p, keys, room)
}

// gather reads what a query yields of the keys it was asked for.
func (c *collector) gather(rows pgx.Rows, p *plan, keys []string, room int) (got planned, unseen []string, err error) {
	got.plan, got.records = p, make([]backends.Record, 0, len(keys))
	at, seen, waiting := make(map[string]int, len(keys)), make([]bool, len(keys)), len(keys)
	for i, k := range keys {
		at[k] = i
	}
	bytes, full := 0, false
	for r, err := range projection.Read(rows, p.layout, c.version) {
		if err != nil {
			return got, nil, queryError(p.Backend, p.Kind, err)
		}
		i, asked := at[r.Key]
		if !asked || seen[i] {
			return got, nil, strayKey(p, r.Key, keys)
		}
		seen[i] = true
		waiting--
		got.records = append(got.records, r)
		if bytes += r.Size(); bytes >= room {
			full = waiting > 0
			break
		}
	}
	if len(got.records) > 0 {
		c.learn(p, bytes/len(got.records))
	}
	if waiting == 0 {
		return got, nil, nil
	}
	for i, k := range keys {
		switch {
		case seen[i]:
		case full:
			unseen = append(unseen, k)
		default:
			got.records = append(got.records, backends.Record{Key: k, Version: c.version, Deleted: true})
		}
	}
	return got, unseen, nil
}

// largest is the mean size of the records of the projection that has the largest.
func largest(sizes map[*plan]int) (size int) {
	for _, n := range sizes {
		size = max(size, n)
	}
	return size
}

// learn moves the mean size of the plan's records towards what was met last; larger sizes at once.
func (c *collector) learn(p *plan, size int) {
	c.sizes[p] = max(size, (3*c.sizes[p]+size)/4, 1)
}

// strayKey is the error for a row whose key was not asked for, or came twice.
func strayKey(p *plan, key string, asked []string) error {
	if slices.Contains(asked, key) {
		return &backends.Error{
			Op: "project", Backend: p.Backend, Kind: p.Kind, Key: key, Class: backends.Rejected,
			Advice: "let the projection yield at most one row a key", Err: errors.New("the projection yields several rows for the key"),
		}
	}
	return &backends.Error{
		Op: "project", Backend: p.Backend, Kind: p.Kind, Key: key, Class: backends.Schema,
		Advice: "let the projection's column key be the key's text, and its condition compare it with $1",
		Err:    errors.New("the projection yields a key that was not asked for"),
	}
}

// queryError classifies the failure of a query that reads records or keys of a kind for a backend: a value that
// cannot be computed or cast concerns single keys; a column or table that is not there concerns the query; all else
// passes.
func queryError(backend, kind string, err error) error {
	e := &backends.Error{Op: "project", Backend: backend, Kind: kind, Err: err}
	if errors.Is(err, projection.ErrNoKey) {
		e.Class = backends.Schema
		return e
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return fmt.Errorf("projecting kind %s for backend %s: %w", kind, backend, err)
	}
	switch class := pg.Code[:2]; {
	case class == "22" || class == "21" || class == "54" || pg.Code == "P0001":
		e.Class = backends.Rejected
		e.Advice = "mend the row, or the expression in the projection that fails for it"
	case pg.Code == "42501":
		e.Class = backends.Denied
		e.Advice = "grant the worker's role SELECT on what the projection reads and, where row-level security hides rows from it, BYPASSRLS"
	case class == "42" || class == "0A" || class == "3F":
		e.Class = backends.Schema
		e.Advice = "make the query fit the tables as they are"
	default:
		return fmt.Errorf("projecting kind %s for backend %s: %w", kind, backend, err)
	}
	return e
}

// refuse makes a portion of nothing but the refusal of the first key of list.
func (c *collector) refuse(list []ask, err *backends.Error, into *portion) []ask {
	a := list[0]
	key := a.keys[0]
	e := *err
	e.Key = key
	into.records = append(into.records, planned{plan: a.plan, refused: []refusal{{key, &e, c.version}}})
	if list[0].keys = a.keys[1:]; len(a.keys) == 1 {
		list = list[1:]
	}
	return list
}

// keysOf lists the keys of records.
func keysOf(records []backends.Record) []string {
	keys := make([]string, len(records))
	for i, r := range records {
		keys[i] = r.Key
	}
	return keys
}
