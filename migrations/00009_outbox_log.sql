-- The log of changes and the positions up to which backends have applied it.
-- +goose Up
-- +goose StatementBegin
create schema outbox;
comment on schema outbox is 'Outflow: the log of changes and what reads it';
grant usage on schema outbox to public;

-- A default, because it costs next to nothing where the setting is not used: no trigger has to name the column.
create function outbox.headers() returns jsonb
language sql stable as $$
  select nullif(pg_catalog.current_setting('outbox.headers', true), '')::pg_catalog.jsonb operator(pg_catalog.-) 'all'::pg_catalog.text
$$;
comment on function outbox.headers() is 'what the transaction says about its changes by: set local outbox.headers = a JSON object; null: nothing';

-- Rows say which keys a transaction changed, not what they became. Readers come in (tx, id) order. No CHECK: it would be
-- parsed anew by every statement that logs, at an eighth of all that a watch costs.
create table outbox.log (
  id      bigint generated always as identity,
  tx      xid8 not null default pg_current_xact_id(),
  kind    text not null,
  keys    text[] not null,
  backend text,
  cause_from xid8,
  cause_to   xid8,
  at      timestamptz not null default clock_timestamp(),
  headers jsonb default outbox.headers(),
  primary key (tx, id)
) with (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_vacuum_scale_factor = 0.05);
comment on table  outbox.log is 'changes: one row per statement, up to 500 keys each';
comment on column outbox.log.tx is 'the transaction that wrote the row';
comment on column outbox.log.keys is 'keys of the kind; empty with headers {"all":true}: every key of the kind';
comment on column outbox.log.backend is 'only for this backend; null: for all';
comment on column outbox.log.headers is 'what the transaction set as outbox.headers, such as the trace it belongs to; {"all":true}: every key of the kind';
comment on column outbox.log.cause_from is 'the first and the last transaction whose changes led to this row, when it was not its own';
create index log_cause on outbox.log (cause_to) where cause_to is not null;

-- Lists of keys are compressed by LZ4 where this PostgreSQL has it, which costs less.
do $$
begin
  if current_setting('server_version_num')::int >= 140000
     and exists (select from pg_settings where name = 'default_toast_compression' and 'lz4' = any (enumvals)) then
    execute 'alter table outbox.log alter column keys set compression lz4';
  end if;
end $$;

create table outbox.backends (
  name      text primary key check (name ~ '^[a-z0-9]+([_-][a-z0-9]+)*$' and octet_length(name) <= 63),
  type      text not null,
  paused    text,
  paused_by text check (paused_by in ('operator', 'engine')),
  paused_at timestamptz,
  added_at  timestamptz not null default now(),
  check ((paused is null) = (paused_by is null) and (paused is null) = (paused_at is null))
);
comment on table  outbox.backends is 'the stores that follow this database';
comment on column outbox.backends.paused is 'why the backend is paused; null: it runs';

create table outbox.projections (
  backend text not null references outbox.backends on delete cascade,
  kind    text not null,
  target  text not null,
  digest  text not null,
  primary key (backend, kind, target)
);
comment on table outbox.projections is 'what each backend was last filled with: a new digest fills it again';

-- A position means: every transaction visible in it has been applied, for keys whose hash is in [lo, hi).
-- With a target, what is visible in the target up to (after_tx, after_id) has been applied as well.
create table outbox.lanes (
  backend  text not null references outbox.backends on delete cascade,
  lane     int not null,
  lo       bigint not null check (lo >= 0),
  hi       bigint not null check (hi > lo and hi <= 4294967296),
  position pg_snapshot not null,
  target   pg_snapshot,
  after_tx xid8,
  after_id bigint,
  owner    text,
  formers  text[] not null default '{}',
  epoch    bigint not null default 0,
  version  bigint not null default 0,
  expires  timestamptz not null default '-infinity',
  hold     timestamptz not null default '-infinity',
  saved_at timestamptz not null default clock_timestamp(),
  primary key (backend, lane),
  check ((target is null) = (after_tx is null) and (target is null) = (after_id is null))
) with (fillfactor = 25, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);
comment on table  outbox.lanes is 'positions: one row per backend and range of key hashes, one worker at a time';
comment on column outbox.lanes.epoch is 'the token of the tenure: only who holds it may save';
comment on column outbox.lanes.formers is 'owners that did not let go by themselves, until what they had in hand is suspect';
comment on column outbox.lanes.version is 'versions up to this one may have been used for records';
comment on column outbox.lanes.hold is 'asks the owner to finish its page and let go, and others not to take the lane, until then';

create table outbox.parked (
  backend  text not null references outbox.backends on delete cascade,
  kind     text not null,
  target   text not null,
  key      text not null,
  class    text not null,
  error    text not null,
  advice   text not null,
  attempts int not null default 1,
  version  bigint not null,
  first_at timestamptz not null default clock_timestamp(),
  last_at  timestamptz not null default clock_timestamp(),
  primary key (backend, kind, target, key)
);
comment on table outbox.parked is 'records that a backend refused for good; a later write of the key that succeeds removes them';

-- Keys that an earlier owner of a lane, or a request without an answer, may still write.
-- They are logged again at due, then after twice the pause, until nobody can any more.
create table outbox.suspects (
  id      bigint generated always as identity primary key,
  backend text not null references outbox.backends on delete cascade,
  kind    text not null,
  keys    text[] not null,
  owner   text,
  due     timestamptz not null,
  pause   interval not null,
  until   timestamptz not null
);
create index suspects_due on outbox.suspects (backend, due);
comment on table outbox.suspects is 'keys to log again: a zombie or a lost request may still write them';
comment on column outbox.suspects.owner is 'the process under suspicion; once it is known to be gone, one more round is enough';

create table outbox.owners (
  owner   text primary key,
  host    text not null,
  pid     int not null,
  started text not null,
  seen_at timestamptz not null default clock_timestamp(),
  gone_at timestamptz
);
comment on table outbox.owners is 'processes that held a lane; gone_at: it ended, and every request of its own had been answered or was cut';

-- The history that gives positions their meaning: transaction ids of another cluster or database mean something else.
create table outbox.history (
  one          boolean primary key default true check (one),
  system_id    text not null,
  database_oid oid not null,
  timeline     text not null,
  since        timestamptz not null default clock_timestamp()
);

-- A crash, a promotion and a restore empty an unlogged table: a position in memory ends with this row.
create unlogged table outbox.alive (
  one  boolean primary key default true check (one),
  boot text not null
);
comment on table outbox.alive is 'gone after a crash, a promotion or a restore: what readers remember of positions is void then';

-- Milliseconds since the epoch until which some consumer sleeps. A sequence, because setval is seen at once by
-- every transaction, whatever its snapshot. Only consumers set it; writers read it after their log row is in.
create sequence outbox.idle minvalue 0 start 0;
select setval('outbox.idle', 0);
grant select on sequence outbox.idle to public;

create function outbox.here(out system_id text, out database_oid oid, out timeline text)
language sql volatile set search_path = pg_catalog, pg_temp as $$
  select (select s.system_identifier::text from pg_control_system() s),
         (select d.oid from pg_database d where d.datname = current_database()),
         left(pg_walfile_name(pg_current_wal_lsn()), 8)
$$;
comment on function outbox.here() is 'the identity of this history: system, database, timeline';

insert into outbox.history (system_id, database_oid, timeline) select * from outbox.here();

create function outbox.trouble() returns text
language sql volatile set search_path = pg_catalog, pg_temp as $$
  select case
    when pg_is_in_recovery() then 'standby'
    when exists (select from outbox.lanes l where pg_snapshot_xmax(l.position) > pg_snapshot_xmax(pg_current_snapshot()))
      then 'position in the future'
    when (select h.system_id from outbox.history h) is distinct from (select h.system_id from outbox.here() h) then 'other cluster'
    when (select h.database_oid from outbox.history h) is distinct from (select h.database_oid from outbox.here() h) then 'other database'
    when (select h.timeline from outbox.history h) is distinct from (select h.timeline from outbox.here() h) then 'other timeline'
  end
$$;
comment on function outbox.trouble() is 'why positions cannot be trusted here: standby, position in the future, other cluster, database or timeline; null: they can';

create function outbox.rebase() returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  snap pg_snapshot;
  n bigint;
begin
  -- In a transaction that has an id of its own, that id could count as visible in snap, and its rows would be lost.
  if pg_current_xact_id_if_assigned() is not null then
    raise exception 'outbox.rebase must be the first statement of its transaction';
  end if;
  lock table outbox.log in exclusive mode;   -- waits for every transaction that has log rows
  lock table outbox.lanes in exclusive mode;
  snap := pg_current_snapshot();
  if pg_current_xact_id_if_assigned() is not null then
    raise exception 'outbox.rebase: the transaction got an id too early';
  end if;
  update outbox.log set tx = pg_current_xact_id(), cause_from = null, cause_to = null;
  get diagnostics n = row_count;
  if pg_visible_in_snapshot(pg_current_xact_id(), snap) then
    raise exception 'outbox.rebase: own transaction visible in the new position';
  end if;
  update outbox.lanes set position = snap, target = null, after_tx = null, after_id = null, owner = null, expires = '-infinity',
         formers = case when owner is null or owner = any(formers) then formers else formers || owner end;
  delete from outbox.alive;                  -- ends every tenure; not by TRUNCATE, which readers could deadlock with
  delete from outbox.history;
  insert into outbox.history (system_id, database_oid, timeline) select h.* from outbox.here() h;
  return n;
end $$;
comment on function outbox.rebase() is 'moves every position and every retained log row into the present history; answers how many rows. First statement of its transaction.';

-- 4096 steps a millisecond since 2024, strictly growing, below 2^53 until 2093 even when the clock goes back.
create function outbox.next_version(prev bigint) returns bigint
language sql volatile set search_path = pg_catalog, pg_temp as $$
  select greatest(prev + 1, ((extract(epoch from clock_timestamp()) * 1000)::bigint - 1704067200000) * 4096)
$$;

create function outbox.handled(tx xid8, id bigint, l outbox.lanes) returns boolean
language sql immutable as $$
  select pg_visible_in_snapshot($1, ($3).position)
      or (($3).target is not null and pg_visible_in_snapshot($1, ($3).target) and row($1, $2) <= row(($3).after_tx, ($3).after_id))
$$;
comment on function outbox.handled(xid8, bigint, outbox.lanes) is 'the lane has applied this row of the log';

-- Who waits for a token need not be able to read the log.
create function outbox.reached(token xid8, backend text) returns boolean
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select pg_visible_in_snapshot($1, pg_current_snapshot())
     and not exists (select from outbox.log g, outbox.lanes l
                      where g.tx = $1 and l.backend = $2
                        and (g.backend is null or g.backend = $2) and not outbox.handled(g.tx, g.id, l))
     and not exists (select from outbox.log g, outbox.lanes l
                      where g.cause_from <= $1 and g.cause_to >= $1 and l.backend = $2
                        and (g.backend is null or g.backend = $2) and not outbox.handled(g.tx, g.id, l))
$$;
comment on function outbox.reached(xid8, text) is 'the backend has applied, or parked, everything that transaction token changed';

-- These three read by the index alone, as the log is large or about to be: a plan that was made while it was empty
-- would scan and sort it, and be kept. Plans that are switched off cost so much that jit would compile what is left.
-- The first two see what the statement that calls them sees.

-- The first branch looks up the transactions that were running at the position and have ended; the second reads the
-- range from its xmax, with one lower bound only, because an index scan starts at the weaker of two. All rows of the
-- first come before all of the second.
create function outbox.delta(since pg_snapshot, target pg_snapshot, after_tx xid8, after_id bigint, most int, backend text)
returns setof outbox.log
language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
  return query
  (select l.* from (select x from pg_snapshot_xip($1) x
                     where pg_visible_in_snapshot(x, coalesce($2, pg_current_snapshot())) and x >= $3 order by x) x
    cross join lateral (select * from outbox.log
                         where tx = x.x and id > case when x.x = $3 then $4 else 0 end
                           and (backend is null or backend = $6) order by tx, id limit $5) l
    order by l.tx, l.id limit $5)
  union all
  (select * from outbox.log
    where (tx, id) > (greatest($3, pg_snapshot_xmax($1)), case when $3 >= pg_snapshot_xmax($1) then $4 else 0 end)
      and tx < pg_snapshot_xmax(coalesce($2, pg_current_snapshot()))
      and pg_visible_in_snapshot(tx, coalesce($2, pg_current_snapshot())) and (backend is null or backend = $6)
    order by tx, id limit $5)
  order by tx, id limit $5;
end $$;
comment on function outbox.delta(pg_snapshot, pg_snapshot, xid8, bigint, int, text) is 'rows for the backend between two snapshots, behind a place; the second snapshot null: up to now';

create function outbox.pending(since pg_snapshot, backend text) returns boolean
language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
  return exists (select from pg_snapshot_xip($1) x
                  where pg_visible_in_snapshot(x, pg_current_snapshot())
                    and (select id from outbox.log where tx = x and (backend is null or backend = $2) order by tx, id limit 1) is not null)
      or (select id from outbox.log where tx >= pg_snapshot_xmax($1) and (backend is null or backend = $2) order by tx, id limit 1) is not null;
end $$;
comment on function outbox.pending(pg_snapshot, text) is 'the log has something for the backend behind the position';

-- Looks at the next rows behind a place, and deletes those that are older than the retention and that every backend has
-- applied. over: the last of them was such a row; if not, those behind it, which are younger, are not worth a look.
create function outbox.prune(after_tx xid8, after_id bigint, retention interval, most int,
                             out deleted bigint, out last_tx xid8, out last_id bigint, out over boolean)
language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
#variable_conflict use_column
begin
  with w as materialized (
    select l.tx, l.id,
           l.at < clock_timestamp() - $3
       and l.tx < coalesce((select pg_snapshot_xmax(position) from outbox.lanes order by 1 limit 1), pg_snapshot_xmax(pg_current_snapshot()))
       and not exists (select from outbox.lanes c
                        where (l.backend is null or l.backend = c.backend) and not pg_visible_in_snapshot(l.tx, c.position)) as over
      from outbox.log l where (l.tx, l.id) > ($1, $2) order by l.tx, l.id limit $4),
  d as (delete from outbox.log g using w where w.over and g.tx = w.tx and g.id = w.id returning 1)
  select (select count(*) from d), (array_agg(tx order by tx desc, id desc))[1],
         (array_agg(id order by tx desc, id desc))[1], (array_agg(over order by tx desc, id desc))[1]
    into prune.deleted, prune.last_tx, prune.last_id, prune.over from w;
end $$;
comment on function outbox.prune(xid8, bigint, interval, int) is 'deletes what every backend has applied, of the next rows behind a place';

-- A new backend starts at the present; the caller logs what it shall be filled with.
create function outbox.add_backend(name text, type text, lanes int default 1) returns void
language plpgsql as $$
declare
  snap pg_snapshot;
begin
  if exists (select from outbox.backends b where b.name = $1) then
    raise exception 'outbox.add_backend: backend % exists', $1;
  end if;
  if lanes < 1 or lanes > 256 then
    raise exception 'outbox.add_backend: lanes is %, must be 1 to 256', lanes;
  end if;
  if pg_current_xact_id_if_assigned() is not null then
    raise exception 'outbox.add_backend must come before the first write of its transaction'
      using hint = 'a snapshot taken after a write could count that write as applied';
  end if;
  snap := pg_current_snapshot();
  insert into outbox.backends (name, type) values ($1, $2);
  insert into outbox.lanes (backend, lane, lo, hi, position)
  select $1, i, i * 4294967296 / lanes, (i + 1) * 4294967296 / lanes, snap from generate_series(0::bigint, lanes - 1) i;
end $$;
comment on function outbox.add_backend(text, text, int) is 'registers a backend at the present position; the first statement of its transaction';

create view outbox.lag as
select l.backend, l.lane, b.type, b.paused, l.position, l.target, l.owner, l.expires, l.saved_at,
       coalesce(g.rows, 0) as rows, coalesce(g.keys, 0) as keys, g.oldest,
       coalesce(extract(epoch from clock_timestamp() - g.oldest), 0)::float8 as seconds
  from outbox.lanes l
  join outbox.backends b on b.name = l.backend
  left join lateral (
    select count(*) as rows, sum(greatest(cardinality(x.keys), 1)) as keys, min(x.at) as oldest
      from outbox.log x
     where x.tx >= pg_snapshot_xmin(l.position)
       and (x.backend is null or x.backend = l.backend) and not outbox.handled(x.tx, x.id, l)
  ) g on true;
comment on view outbox.lag is 'each lane''s position and what it has not yet applied: rows and keys of the log (a key counts in every lane), seconds since the oldest';
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
drop schema outbox cascade;
-- +goose StatementEnd
