package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// AuditQuery asks what happened to one record.
type AuditQuery struct {
	Kind    string    // see AuditKinds
	Key     string    //
	Backend string    // only there; empty: everywhere
	Since   time.Time // changes and events from then on; they are looked for in all of the log that is kept
	Limit   int       // so many changes and so many events at most, the latest; zero means 100
}

// Trail is what is known of a record: who changed it, and what each backend made of that. The log, the pages and the events
// are kept for a time; what is older has left no trace.
type Trail struct {
	Kind    string         `json:"kind"`
	Key     string         `json:"key"`
	Changes []Change       `json:"changes"` // the latest first, as the events
	Events  []Event        `json:"events"`  // that concern the record, or all records of its kind or of one of its backends
	Parked  []ParkedRecord `json:"parked"`  // now
}

// Change is one row of the log that concerns a record.
type Change struct {
	Transaction uint64         `json:"transaction,string"`
	Row         int64          `json:"row"` // its id in the log
	At          time.Time      `json:"at"`  // when it was written, not when it was committed
	Who         string         `json:"who,omitempty"`
	App         string         `json:"app,omitempty"`     // the application_name
	Trace       string         `json:"trace,omitempty"`   // the id in the header traceparent
	Load        string         `json:"load,omitempty"`    // the header load
	Headers     map[string]any `json:"headers,omitempty"` // all that the transaction said about itself
	Why         Why            `json:"why,omitempty"`     // why the engine wrote it; empty: a writer did
	Only        string         `json:"only,omitempty"`    // the backend that it is for; empty: all
	All         bool           `json:"all,omitempty"`     // it concerns every key of the kind
	CauseFrom   uint64         `json:"cause_from,omitempty,string"`
	CauseTo     uint64         `json:"cause_to,omitempty,string"` // it follows from transactions from one to the other
	Deliveries  []Delivery     `json:"deliveries"`
}

// Delivery is what one backend made of a change.
type Delivery struct {
	Backend string    `json:"backend"`
	State   string    `json:"state"`          // see the constants
	Page    *PageMade `json:"page,omitempty"` // what it was applied with; nil: it was not, or that is not kept any more
	Error   string    `json:"error,omitempty"`
}

// States of a delivery.
const (
	Waiting  = "waiting"  // the backend has not applied it yet
	Written  = "written"  // the record is in the store
	Gone     = "deleted"  // the record is not in the store any more
	Refusal  = "parked"   // the backend refused the record
	Outdone  = "outdone"  // the store had a newer version of the record already
	Relogged = "logged"   // each key of the kind was put into the log by itself
	Either   = "applied"  // as one of many: which of these it was is not kept
	Untraced = "untraced" // applied, or from before the backend was added: the page is not kept
)

// PageMade is a row of outbox.pages: what was applied between two saves of a position.
type PageMade struct {
	ID       int64     `json:"id"`
	Lane     int       `json:"lane"`
	Owner    string    `json:"owner"` // the process that acknowledged it
	Epoch    int64     `json:"epoch"` // its tenure
	From     int64     `json:"version_from,omitempty"`
	To       int64     `json:"version_to,omitempty"` // the versions that its records have
	Position string    `json:"position"`
	Written  int64     `json:"written"`
	Deleted  int64     `json:"deleted"`
	Stale    int64     `json:"stale"`
	Parked   int64     `json:"parked"`
	SavedAt  time.Time `json:"saved_at"`

	Gone    []int32   `json:"-"`
	Refused []Refused `json:"-"`
}

// Refused is a record that was parked, as a page keeps it.
type Refused struct {
	Kind   string `json:"kind"`
	Target string `json:"target"`
	Key    string `json:"key"`
	Class  string `json:"class"`
	Error  string `json:"error"`
}

// state tells what became of a record, as far as the page shows.
func (p *PageMade) state(kind, key string) (state, why string) {
	for _, r := range p.Refused {
		if r.Kind == kind && r.Key == key {
			return Refusal, r.Error
		}
	}
	hash := int32(Hash(kind, key)) //nolint:gosec // the same bits
	switch {
	case slices.Contains(p.Gone, hash):
		return Gone, ""
	case p.Parked > int64(len(p.Refused)), p.Deleted > int64(len(p.Gone)), p.Stale > 0 && p.Written > 0:
		return Either, ""
	case p.Written > 0:
		return Written, ""
	case p.Stale > 0:
		return Outdone, ""
	default:
		return Either, ""
	}
}

// AuditKinds lists the kinds that the log, what is parked, or an event since then names the key in.
func AuditKinds(ctx context.Context, db DB, key string, since time.Time) ([]string, error) {
	rows, err := db.Query(ctx, `
select kind from outbox.log where keys @> array[$1::text] and at >= $2
union select kind from outbox.parked where key = $1
union select kind from outbox.events where key = $1 and at >= $2 and kind is not null order by 1`, key, since)
	var kinds []string
	if err == nil {
		kinds, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		return nil, fmt.Errorf("looking for the kinds of key %q: %w", key, err)
	}
	return kinds, nil
}

// Audit tells what happened to a record. It reads the log from its end until it has enough: all of what is kept, if the
// record changed seldom, since there is no index of keys.
func Audit(ctx context.Context, db DB, q AuditQuery) (*Trail, error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	t := &Trail{Kind: q.Kind, Key: q.Key}
	var err error
	if t.Changes, err = auditChanges(ctx, db, q); err != nil {
		return nil, fmt.Errorf("tracing key %q of kind %s: %w", q.Key, q.Kind, err)
	}
	if t.Events, err = auditEvents(ctx, db, q); err != nil {
		return nil, fmt.Errorf("tracing key %q of kind %s: %w", q.Key, q.Kind, err)
	}
	t.Parked, err = ParkedRecords(ctx, db, ParkedFilter{Backend: q.Backend, Kind: q.Kind, Keys: []string{q.Key}}, q.Limit)
	return t, err
}

// auditSQL finds the rows of the log, and for each backend the save that applied them. A clock that went back by no more
// than some minutes hides none. Saves of a former history say nothing: its transactions had other ids.
const auditSQL = `
with hits as materialized (
  select g.* from outbox.log g
   where g.kind = $1 and (g.keys @> array[$2::text] or g.headers @> '{"all": true}') and g.at >= $3
     and ($4 = '' or g.backend is null or g.backend = $4)
   order by g.tx desc, g.id desc limit $5)
select h.tx::text, h.id, h.at, coalesce(h.who, ''), coalesce(h.app, ''), coalesce(h.headers, '{}')::text, coalesce(h.backend, ''),
       coalesce(h.cause_from::text, ''), coalesce(h.cause_to::text, ''),
       coalesce(b.backend, ''), coalesce(outbox.handled(h.tx, h.id, l), true), coalesce(p.id, 0), coalesce(p.lane, 0), coalesce(p.owner, ''),
       coalesce(p.epoch, 0), coalesce(p.version_from, 0), coalesce(p.version_to, 0), coalesce(p.position::text, ''), coalesce(p.written, 0),
       coalesce(p.deleted, 0), coalesce(p.stale, 0), coalesce(p.parked, 0), p.saved_at, p.gone, coalesce(p.refused, '[]')::text
  from hits h
  left join lateral (select distinct r.backend from outbox.projections r
                      where r.kind = h.kind and (h.backend is null or r.backend = h.backend) and ($4 = '' or r.backend = $4)) b on true
  left join outbox.lanes l on l.backend = b.backend and $6::bigint >= l.lo and $6::bigint < l.hi
  left join lateral (select x.* from outbox.pages x
                      where x.backend = b.backend and outbox.handled(h.tx, h.id, l)
                        and x.saved_at >= greatest(h.at - interval '5 minutes', (select y.since from outbox.history y))
                        and outbox.acknowledged(h.tx, h.id, $6::bigint, x)
                      order by x.saved_at limit 1) p on true
 order by h.tx desc, h.id desc, b.backend`

func auditChanges(ctx context.Context, db DB, q AuditQuery) ([]Change, error) {
	rows, err := db.Query(ctx, auditSQL, q.Kind, q.Key, q.Since, q.Backend, q.Limit, int64(Hash(q.Kind, q.Key)))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []Change{}
	for rows.Next() {
		c, d, err := scanChange(rows, q)
		if err != nil {
			return nil, err
		}
		if n := len(list); n == 0 || list[n-1].Transaction != c.Transaction || list[n-1].Row != c.Row {
			list = append(list, c)
		}
		if d.Backend != "" {
			last := &list[len(list)-1]
			last.Deliveries = append(last.Deliveries, d)
		}
	}
	return list, rows.Err()
}

// scanChange reads a row of the log with what one backend made of it, if there is one.
func scanChange(row pgx.Rows, q AuditQuery) (Change, Delivery, error) {
	c, d, p := Change{Deliveries: []Delivery{}}, Delivery{}, PageMade{}
	var tx, headers, from, to, refused string
	var handled bool
	var saved *time.Time
	err := row.Scan(&tx, &c.Row, &c.At, &c.Who, &c.App, &headers, &c.Only, &from, &to, &d.Backend, &handled, &p.ID, &p.Lane, &p.Owner,
		&p.Epoch, &p.From, &p.To, &p.Position, &p.Written, &p.Deleted, &p.Stale, &p.Parked, &saved, &p.Gone, &refused)
	for _, x := range []struct {
		text string
		into *uint64
	}{{tx, &c.Transaction}, {from, &c.CauseFrom}, {to, &c.CauseTo}} {
		if err == nil && x.text != "" {
			*x.into, err = parseXid(x.text)
		}
	}
	if err == nil {
		err = json.Unmarshal([]byte(headers), &c.Headers)
	}
	if err == nil {
		err = json.Unmarshal([]byte(refused), &p.Refused)
	}
	if err != nil {
		return c, d, err
	}
	if saved != nil {
		p.SavedAt = *saved
	}
	c.read()
	d.decide(c, handled, p, q)
	return c, d, nil
}

// read takes out of the headers what they say.
func (c *Change) read() {
	text := func(name string) string { s, _ := c.Headers[name].(string); return s }
	c.All, _ = c.Headers["all"].(bool)
	c.Load = text("load")
	if parts := strings.Split(text("traceparent"), "-"); len(parts) == 4 {
		c.Trace = parts[1]
	}
	c.Why = whyOf(c.Headers, c.Only != "", c.CauseTo != 0)
	for _, own := range []string{"all", "why", "suspect", "retry"} {
		if c.Only != "" || own == "all" {
			delete(c.Headers, own)
		}
	}
}

// decide tells the state of a delivery.
func (d *Delivery) decide(c Change, handled bool, p PageMade, q AuditQuery) {
	if p.ID != 0 {
		d.Page = &p
	}
	switch {
	case !handled:
		d.State = Waiting
	case d.Page == nil:
		d.State = Untraced
	case c.All:
		d.State = Relogged
	default:
		d.State, d.Error = p.state(q.Kind, q.Key)
	}
}

func auditEvents(ctx context.Context, db DB, q AuditQuery) ([]Event, error) {
	rows, err := db.Query(ctx, `
select id, at, what, who, coalesce(backend, ''), coalesce(kind, ''), coalesce(key, ''), reason, details
  from outbox.events e
 where at >= $3 and (key is null or key = $2) and (kind is null or kind = $1)
   and (backend is null or $4 <> '' and backend = $4 or $4 = '' and (key is not null or exists (select from outbox.projections p where p.backend = e.backend and p.kind = $1)))
 order by id desc limit $5`, q.Kind, q.Key, q.Since, q.Backend, q.Limit)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Event])
	if list == nil {
		list = []Event{}
	}
	return list, err
}
