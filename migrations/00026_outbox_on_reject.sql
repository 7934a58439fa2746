-- Writes that shall be reverted when a store refuses a record of them.
-- +goose Up
-- +goose StatementBegin
-- Strict: where nothing is set it is not called. Without a search_path of its own, which would cost more than the rest.
create function outbox.check_headers(headers jsonb) returns jsonb
language plpgsql immutable strict parallel safe as $$
begin
  if headers operator(pg_catalog.->>) 'on_reject' operator(pg_catalog.<>) 'revert' and headers operator(pg_catalog.->>) 'on_reject' operator(pg_catalog.<>) 'park' then
    raise exception 'outbox: header on_reject is %, must be "park" or "revert"', headers operator(pg_catalog.->) 'on_reject' using errcode = 'invalid_parameter_value';
  end if;
  if pg_catalog.octet_length(headers operator(pg_catalog.->>) 'load') operator(pg_catalog.>) 500 and headers operator(pg_catalog.->>) 'on_reject' operator(pg_catalog.=) 'revert' then
    raise exception 'outbox: header load has % bytes, at most 500 are allowed with on_reject', pg_catalog.octet_length(headers operator(pg_catalog.->>) 'load') using errcode = 'invalid_parameter_value';
  end if;
  return headers;
end $$;
comment on function outbox.check_headers(jsonb) is 'the headers; fails if one of those that the engine reads has a value that means nothing';

create or replace function outbox.headers() returns jsonb
language sql stable as $$
  select outbox.check_headers(nullif(pg_catalog.current_setting('outbox.headers', true), '')::pg_catalog.jsonb operator(pg_catalog.-) 'all'::pg_catalog.text)
$$;

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
    select changed.kind, array_agg(s.key), nullif(coalesce(outbox.headers(), '{}') || coalesce(outbox.check_headers(changed.headers), '{}'), '{}')
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

create table outbox.reversals (
  what     text not null check (what in ('load', 'transaction')),
  id       text not null,
  backend  text not null,
  kind     text not null,
  key      text not null,
  reason   text not null,
  asked    bigint not null default 1,
  asked_at timestamptz not null default clock_timestamp(),
  until    timestamptz not null default clock_timestamp() + interval '10 minutes',
  seen     pg_snapshot,
  outcome  text not null default '',
  done     boolean not null default false,
  job      bigint,
  primary key (what, id)
);
comment on table  outbox.reversals is 'writes that asked to be reverted when a store refuses a record of them, and of which one did; kept as long as the audit is';
comment on column outbox.reversals.id is 'that of the load or of the transaction';
comment on column outbox.reversals.backend is 'which refused the first record of it, with the record''s kind and key, and why';
comment on column outbox.reversals.asked is 'how often it was asked for';
comment on column outbox.reversals.until is 'what the load writes before this is part of it, and is reverted as well; later it is another load of the same name';
comment on column outbox.reversals.seen is 'transactions that the last try knew of; null: there was none';
comment on column outbox.reversals.outcome is 'of the last try: reverted, or why it was refused';
comment on column outbox.reversals.done is 'there is nothing to do any more';
comment on column outbox.reversals.job is 'the job in River that sees to it';

create function outbox.rejected(load text) returns text
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select format('backend %s refused a record of kind %s', r.backend, r.kind)
    from outbox.reversals r where r.what = 'load' and r.id = $1 and clock_timestamp() < r.until
$$;
comment on function outbox.rejected(text) is 'why the load is being reverted, or was within the last minutes; null: it stands';

create or replace function outbox.forget_previous() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  delete from outbox.previous;
  delete from outbox.transactions;
  delete from outbox.reversals;
  return null;
end $$;

create or replace function outbox.prune_audit(retention interval, most int) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  n bigint;
begin
  with p as (delete from outbox.pages where id in (select x.id from outbox.pages x where x.saved_at < clock_timestamp() - $1 order by x.id limit $2) returning 1),
       e as (delete from outbox.events where id in (select x.id from outbox.events x where x.at < clock_timestamp() - $1 order by x.at limit $2) returning 1),
       r as (delete from outbox.reversals x where x.asked_at < clock_timestamp() - $1 and x.until < clock_timestamp() returning 1)
  select (select count(*) from p) + (select count(*) from e) + (select count(*) from r) into n;
  return n;
end $$;
comment on function outbox.prune_audit(interval, int) is 'worker: deletes the oldest pages and events that are older than the retention, at most so many of each, and reversals that are; answers how many';

-- Who reverts calls these, too: see outbox.grant_worker.
comment on function outbox.columns(regclass) is 'worker: what an image of a row depends on';
comment on function outbox.image(text, regclass) is 'worker: the expression of a row''s image';
comment on function outbox.key_match(text, text, outbox.watches) is 'worker: the condition that a row has the key';
comment on function outbox.key_parts(regclass, text[]) is 'worker: the columns of a key, what is wrong with each, its base type, the most bytes its text can have';
comment on function outbox.base_type(oid, int) is 'worker: what a domain is made of';
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
comment on function outbox.columns(regclass) is 'internal: what an image of a row depends on';
comment on function outbox.image(text, regclass) is 'internal: the expression of a row''s image';
comment on function outbox.key_match(text, text, outbox.watches) is 'internal: the condition that a row has the key';
comment on function outbox.key_parts(regclass, text[]) is 'internal: the columns of a key, what is wrong with each, its base type, the most bytes its text can have';
comment on function outbox.base_type(oid, int) is 'internal: what a domain is made of';

create or replace function outbox.prune_audit(retention interval, most int) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  n bigint;
begin
  with p as (delete from outbox.pages where id in (select x.id from outbox.pages x where x.saved_at < clock_timestamp() - $1 order by x.id limit $2) returning 1),
       e as (delete from outbox.events where id in (select x.id from outbox.events x where x.at < clock_timestamp() - $1 order by x.at limit $2) returning 1)
  select (select count(*) from p) + (select count(*) from e) into n;
  return n;
end $$;
comment on function outbox.prune_audit(interval, int) is 'worker: deletes the oldest pages and events that are older than the retention, at most so many of each; answers how many';

create or replace function outbox.forget_previous() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  delete from outbox.previous;
  delete from outbox.transactions;
  return null;
end $$;

drop function outbox.rejected(text);
drop table outbox.reversals;

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

create or replace function outbox.headers() returns jsonb
language sql stable as $$
  select nullif(pg_catalog.current_setting('outbox.headers', true), '')::pg_catalog.jsonb operator(pg_catalog.-) 'all'::pg_catalog.text
$$;
drop function outbox.check_headers(jsonb);
-- +goose StatementEnd
