-- Headers that a transaction gives its changes, and the rights of writers and workers.
-- +goose Up
-- +goose StatementBegin

-- Headers: set local outbox.headers = '{"traceparent": "..."}' ------------------------------------------------------

-- A default, because it costs next to nothing where the setting is not used: no trigger has to name the column.
create function outbox.headers() returns jsonb
language sql stable as $$
  select nullif(pg_catalog.current_setting('outbox.headers', true), '')::pg_catalog.jsonb operator(pg_catalog.-) 'all'::pg_catalog.text
$$;
comment on function outbox.headers() is 'what the transaction says about its changes by: set local outbox.headers = a JSON object; null: nothing';
alter table outbox.log alter column headers set default outbox.headers();
comment on column outbox.log.headers is 'what the transaction set as outbox.headers, such as the trace it belongs to; {"all":true}: every key of the kind';

create or replace function outbox.log_all(kind text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  -- A truncated tree of partitions fires for each of them; one row says it all.
  insert into outbox.log (kind, keys, headers)
  select log_all.kind, '{}', coalesce(outbox.headers(), '{}') || '{"all":true}'
   where not exists (select from outbox.log l
                      where l.tx = pg_current_xact_id() and l.kind = log_all.kind
                        and l.backend is null and l.headers @> '{"all":true}');
  perform outbox.wake();
end $$;

create or replace function outbox.changed(kind text, keys text[], headers jsonb default null) returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  n int;
begin
  if not exists (select from outbox.kinds k where k.kind = changed.kind) then
    raise exception 'outbox.changed: unknown kind %', coalesce(quote_literal(changed.kind), 'null')
      using errcode = 'invalid_parameter_value', hint = 'watch a table or call outbox.kind first';
  end if;
  if keys is null or headers ? 'all' or jsonb_typeof(headers) <> 'object' then
    raise exception 'outbox.changed: %', case when keys is null then 'keys is null'
      else 'headers must be an object without the field "all"' end using errcode = 'invalid_parameter_value';
  end if;
  perform outbox.refuse_key(kind, u.key) from unnest(keys) u(key)
    where u.key is null or octet_length(u.key) not between 1 and 2000;
  with logged as (
    insert into outbox.log (kind, keys, headers)
    select changed.kind, array_agg(s.key), nullif(coalesce(outbox.headers(), '{}') || coalesce(changed.headers, '{}'), '{}')
      from (select d.key, (row_number() over () - 1) / 500 as part
              from (select distinct u.key collate "C" as key from unnest(changed.keys) u(key)) d) s
     group by s.part
    returning cardinality(log.keys) as n
  ) select coalesce(sum(l.n), 0) into n from logged l;
  if n > 0 then
    perform outbox.wake();
  end if;
  return n;
end $$;

-- Asking instead of doing: a worker may see that all is as configured without the right to change it ------------------

create function outbox.is_watched(rel regclass, kind text, key_columns text[], per_row boolean) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select exists (select from outbox.watches w
                  where w.rel = $1 and w.kind = $2 and w.per_row = $4
                    and case when $3 = '{}' then w.by_primary_key else not w.by_primary_key and w.key_columns = $3 end
                    and not exists (select from outbox.watch_drift(w)))
$$;
comment on function outbox.is_watched(regclass, text, text[], boolean) is 'outbox.watch with these arguments would change nothing';

create function outbox.is_kind(kind text, list_query text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select exists (select from outbox.kinds k
                  where k.kind = $1 and k.records = ($2 is null)
                    and k.list = coalesce(regexp_replace($2, '[;\s]+$', ''), format('select r.key from outbox.records r where r.kind = %L', $1)))
$$;
comment on function outbox.is_kind(text, text) is 'outbox.kind with these arguments would change nothing';

create function outbox.depends(kind text, dependant text, query text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select exists (select from outbox.dependants d where d.kind = $1 and d.dependant = $2 and d.query = regexp_replace($3, '[;\s]+$', ''))
$$;
comment on function outbox.depends(text, text, text) is 'outbox.depend with these arguments would change nothing';

-- Rights --------------------------------------------------------------------------------------------------------------

-- Who waits for a token need not be able to read the log.
alter function outbox.reached(xid8, text) security definer set search_path = pg_catalog, pg_temp;

create function outbox.grant_writer(role regrole) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  execute format('grant usage on schema outbox to %s', role);
  execute format('grant select, insert, update, delete on outbox.records to %s', role);
  execute format('grant select on outbox.backends to %s', role);
end $$;
comment on function outbox.grant_writer(regrole) is 'lets a role write outbox.records and wait for backends; for watched tables it needs their own rights only';

-- River maintains its tables from whichever worker leads. Rebuilding indexes asks for their owner, or MAINTAIN.
create function outbox.grant_worker(role regrole) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  account regclass := to_regclass('public.goose_db_version');
begin
  execute format('grant usage on schema outbox, river to %s', role);
  execute format('grant select, insert, update, delete on outbox.log, outbox.backends, outbox.projections, outbox.lanes, outbox.parked,
    outbox.suspects, outbox.owners, outbox.history, outbox.alive to %s', role);
  execute format('grant select on outbox.kinds, outbox.dependants, outbox.watches, outbox.records, outbox.lag to %s', role);
  execute format('grant select, update on sequence outbox.idle to %s', role);
  execute format('grant execute on function outbox.wake(), outbox.rebase(), outbox.is_watched(regclass, text, text[], boolean), outbox.add_backend(text, text, int),
    outbox.watch(regclass, text, text[], boolean), outbox.kind(text, text), outbox.depend(text, text, text), outbox.undepend(text, text) to %s', role);
  execute format('grant select, insert, update, delete on all tables in schema river to %s', role);
  execute format('revoke insert, update, delete on river.river_migration from %s', role);
  execute format('grant usage, select on all sequences in schema river to %s', role);
  if current_setting('server_version_num')::int >= 170000 then
    execute format('grant maintain on all tables in schema river to %s', role);
  end if;
  if account is not null then
    execute format('grant select on %s to %s', account, role);
  end if;
  if not has_database_privilege(role, current_database(), 'TEMPORARY') then -- verify sorts in temporary tables
    execute format('grant temporary on database %I to %s', current_database(), role);
  end if;
end $$;
comment on function outbox.grant_worker(regrole) is 'lets a role run workers; it needs SELECT on what projections read besides, and BYPASSRLS where row-level security is used. Again after each migration';

revoke execute on function outbox.is_watched(regclass, text, text[], boolean), outbox.grant_writer(regrole), outbox.grant_worker(regrole) from public;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
drop function outbox.grant_worker(regrole), outbox.grant_writer(regrole), outbox.depends(text, text, text), outbox.is_kind(text, text),
  outbox.is_watched(regclass, text, text[], boolean);
alter function outbox.reached(xid8, text) security invoker reset search_path;
alter table outbox.log alter column headers drop default;

create or replace function outbox.log_all(kind text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  -- A truncated tree of partitions fires for each of them; one row says it all.
  insert into outbox.log (kind, keys, headers)
  select log_all.kind, '{}', '{"all":true}'
   where not exists (select from outbox.log l
                      where l.tx = pg_current_xact_id() and l.kind = log_all.kind
                        and l.backend is null and l.headers @> '{"all":true}');
  perform outbox.wake();
end $$;

create or replace function outbox.changed(kind text, keys text[], headers jsonb default null) returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  n int;
begin
  if not exists (select from outbox.kinds k where k.kind = changed.kind) then
    raise exception 'outbox.changed: unknown kind %', coalesce(quote_literal(changed.kind), 'null')
      using errcode = 'invalid_parameter_value', hint = 'watch a table or call outbox.kind first';
  end if;
  if keys is null or headers ? 'all' or jsonb_typeof(headers) <> 'object' then
    raise exception 'outbox.changed: %', case when keys is null then 'keys is null'
      else 'headers must be an object without the field "all"' end using errcode = 'invalid_parameter_value';
  end if;
  perform outbox.refuse_key(kind, u.key) from unnest(keys) u(key)
    where u.key is null or octet_length(u.key) not between 1 and 2000;
  with logged as (
    insert into outbox.log (kind, keys, headers)
    select changed.kind, array_agg(s.key), changed.headers
      from (select d.key, (row_number() over () - 1) / 500 as part
              from (select distinct u.key collate "C" as key from unnest(changed.keys) u(key)) d) s
     group by s.part
    returning cardinality(log.keys) as n
  ) select coalesce(sum(l.n), 0) into n from logged l;
  if n > 0 then
    perform outbox.wake();
  end if;
  return n;
end $$;
drop function outbox.headers();
-- +goose StatementEnd
