package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/elasticsearch"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// The backends.
const (
	local  = "local"  // a read model in the same database
	remote = "remote" // a read model in another one
	search = "search" // Elasticsearch, if there is one
	loose  = "loose"  // the parent's store, which has no guard at all
	single = "single" // the same, with one lane and one request at a time, and one kind
)

// Times that bound what can go wrong. They are short, so that all of them pass within a run.
const (
	lease   = 2000 * time.Millisecond
	zombie  = 5 * time.Second         // nobody that was stopped for longer is killed before it has noticed
	late    = 3 * time.Second         // no request arrives later than this after its sender gave up
	request = 1500 * time.Millisecond // time for a request
)

// links say where everything is. Worker processes get them in their environment.
type links struct {
	Source string // the database under test
	Remote string // the other database
	Store  string // the parent's store
	Search string // Elasticsearch, behind the parent's relay; empty: there is none
	Prefix string // of the names of what is in it
	Listen bool   // notifications instead of polling: then there can be no prepared transactions
}

// connect makes a pool to the source whose connections have a name.
func (l links) connect(ctx context.Context, name string, most int32) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(named(l.Source, name))
	if err != nil {
		return nil, fmt.Errorf("reading the address of the source: %w", err)
	}
	cfg.MaxConns = most
	return pgxpool.NewWithConfig(ctx, cfg)
}

// config is the engine's configuration, of workers and of the parent alike. The connections of the stores in
// PostgreSQL get the name too.
func (l links) config(pool *pgxpool.Pool, name string, log *slog.Logger) jobs.Config {
	c := jobs.Config{
		Pool: pool, Kinds: kinds(), Logger: log,
		Limits: map[string]jobs.Limits{loose: {InTurn: true}}, // deltas that are left half read are counted there
		Settings: jobs.Settings{
			Lanes: 2, PageKeys: pageKeys, PortionBytes: 64 << 10, BatchRecords: batchRecords,
			Lease: lease, Zombie: zombie, Late: late, Request: request, Patience: 5 * time.Second,
			Retention: time.Second, Poll: !l.Listen,
		},
	}
	for _, b := range l.names() {
		c.Backends = append(c.Backends, l.backend(b, name))
		for _, p := range projections() {
			if !takes(b, p.kind) {
				continue
			}
			c.Projections = append(c.Projections, jobs.Projection{
				Kind: p.kind, Backend: b, Target: p.kind, Query: p.query, Settings: p.settings[b],
			})
		}
	}
	return c
}

// names are those of all backends. The one with one lane comes last.
func (l links) names() []string {
	if l.Search == "" {
		return []string{local, remote, loose, single}
	}
	return []string{local, remote, search, loose, single}
}

// backend is the configuration of a backend. Connections to PostgreSQL get the name; the relay knows by the address whose
// a request is.
func (l links) backend(backend, name string) backends.Config {
	c := backends.Config{Name: backend}
	switch backend {
	case local, remote:
		address := l.Source
		if backend == remote {
			address = l.Remote
		}
		c.Type, c.Settings = copiedType, map[string]any{"url": named(address, name), "copies": l.Store}
	case search:
		c.Type, c.Settings = elasticsearch.Type, map[string]any{"addresses": []any{fmt.Sprintf("%s/%d", l.Search, os.Getpid())}, "prefix": l.Prefix}
	case loose:
		c.Type, c.Settings = looseType, map[string]any{"url": l.Store, "concurrency": 2}
	case single:
		c.Type, c.Settings = looseType, map[string]any{"url": l.Store, "concurrency": 1}
	}
	return c
}

// takes says whether a backend gets the kind.
func takes(backend, kind string) bool { return backend != single || kind == "t" }

// named is an address whose connections have a name.
func named(address, name string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address // whoever connects says what is wrong with it
	}
	q := u.Query()
	q.Set("application_name", name)
	u.RawQuery = q.Encode()
	return u.String()
}

// Pages and batches are small, so that a delta has many pages and a page many requests.
const (
	pageKeys     = 2000
	batchRecords = 50
)

// kinds are the watched tables. The dependants come before what they depend on.
func kinds() []outbox.Kind {
	return []outbox.Kind{
		{Name: "t", Table: "app.t"},
		{Name: "p", Table: "app.p", Dependants: map[string]string{
			"t": `select id::text from app.t where p_id = any($1::text[]::int[])`,
		}},
		{Name: "pt", Table: "app.pt"},
		{Name: "ck", Table: "app.ck"},
		{Name: "r", Table: "app.r", PerRow: true},
	}
}

// projected is a projection, and the same again in SQL of its own for the comparison: the judge must not be judged
// by itself.
type projected struct {
	kind     string
	query    string
	truth    string // yields key and document
	settings map[string]map[string]any
}

func projections() []projected {
	return []projected{
		{
			kind:  "p",
			query: `select id::text as key, id, v from app.p where id = any($1::text[]::int[])`,
			truth: `select id::text, jsonb_build_object('id', id, 'v', v)::text from app.p`,
		}, {
			kind: "t",
			query: `select t.id::text as key, t.id, t.a, t.b, t.p_id, p.v as p_v
  from app.t t left join app.p p on p.id = t.p_id where t.id = any($1::text[]::bigint[])`,
			truth: `select id::text, jsonb_build_object('id', id, 'a', a, 'b', b, 'p_id', p_id,
  'p_v', (select v from app.p where p.id = t.p_id))::text from app.t`,
			settings: map[string]map[string]any{local: {"text": []string{"b"}}},
		}, {
			kind:  "pt",
			query: `select jsonb_build_array(id, region)::text as key, v from app.pt where jsonb_build_array(id, region)::text = any($1)`,
			truth: `select '[' || id || ', ' || region || ']', jsonb_build_object('v', v)::text from app.pt`,
		}, {
			kind:  "ck",
			query: `select jsonb_build_array(a, b)::text as key, a, b, j from app.ck where jsonb_build_array(a, b)::text = any($1)`,
			truth: `select jsonb_build_array(a, b)::text, jsonb_build_object('a', a, 'b', b, 'j', j)::text from app.ck`,
		}, {
			kind:  "r",
			query: `select id as key, x from app.r where id = any($1)`,
			truth: `select id, jsonb_build_object('x', x)::text from app.r`,
		}, {
			kind:  "u",
			query: `select id as key, x from app.u where id = any($1)`,
			truth: `select id, jsonb_build_object('x', x)::text from app.u`,
		}, {
			kind:  "note",
			query: `select key, body, embedding from outbox.records where kind = 'note' and key = any($1)`,
			truth: `select key, jsonb_build_object('body', body, 'embedding', embedding)::text from outbox.records where kind = 'note'`,
			settings: map[string]map[string]any{
				remote: {"vector": "embedding", "dimensions": dimensions},
				search: {"fields": map[string]any{"embedding": map[string]any{"type": "dense_vector", "dims": dimensions, "similarity": "l2_norm"}}},
			},
		},
	}
}

// dimensions of a note's vector. The stores remote and search refuse others.
const dimensions = 3

const schemaSQL = `
create schema app;
create table app.p (id int primary key, v int not null);
create table app.t (id bigint primary key, a int, b text, p_id int references app.p on delete cascade on update cascade);
create index on app.t (p_id);
create table app.pt (id bigint, region int, v text, primary key (id, region)) partition by list (region);
create table app.pt0 partition of app.pt for values in (0);
create table app.pt1 partition of app.pt for values in (1);
create table app.ck (a text, b int, j json, primary key (a, b));
create table app.r (id text primary key, x text);
create table app.u (id text primary key, x int);
create table app.unwatched (id bigint generated always as identity, x text);
create function app.bump(lo int, hi int, undo int) returns int language plpgsql as $$
declare n int := 0; r record;
begin
  for r in select id from app.t where id between lo and hi order by id loop
    begin
      update app.t set a = a + 1, b = 'f' || r.id where id = r.id;
      n := n + 1;
      if r.id % 3 = undo then raise exception 'undo'; end if;
    exception when raise_exception then null; end;
  end loop;
  return n;
end $$;
insert into app.p select g, 0 from generate_series(1, 100) g;
insert into app.t select g, 0, 'first', case when g % 3 = 0 then g % 100 + 1 end from generate_series(1, 1500) g;
select outbox.kind('note'), outbox.kind('u', 'select id as key from app.u')`
