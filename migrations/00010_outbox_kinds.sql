-- Kinds of records, and the two ways to put changes into the log that need no table of one's own:
-- outbox.changed and outbox.records.
-- +goose Up
-- +goose StatementBegin
create table outbox.kinds (
  kind    text primary key check (kind ~ '^[a-z][a-z0-9_]{0,62}$'),
  list    text not null,
  records boolean not null default false
);
comment on table  outbox.kinds is 'classes of records';
comment on column outbox.kinds.list is 'a query that yields every key, in one text column named key';
comment on column outbox.kinds.records is 'its records are in outbox.records';

create table outbox.dependants (
  kind      text not null references outbox.kinds on delete cascade,
  dependant text not null references outbox.kinds on delete cascade,
  query     text not null,
  primary key (kind, dependant)
);
comment on table  outbox.dependants is 'kinds whose records are made from another kind as well; the reader follows them';
comment on column outbox.dependants.query is 'from changed keys of the kind ($1 text[]) to keys of the dependant';

-- The flag is read after the row of the log is in: see outbox.idle. Writers do not notify while nobody sleeps.
create function outbox.wake() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if pg_sequence_last_value('outbox.idle') > extract(epoch from clock_timestamp()) * 1000 then
    perform pg_notify('outbox_wake', '');
  end if;
end $$;
comment on function outbox.wake() is 'internal: notifies sleeping readers';

create function outbox.log_all(kind text) returns void
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
comment on function outbox.log_all(text) is 'internal: puts every key of the kind into the log';

create function outbox.check_kind(kind text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if kind is null or kind !~ '^[a-z][a-z0-9_]{0,62}$' then
    raise exception 'outbox: % is no name of a kind', coalesce(quote_literal(kind), 'null')
      using errcode = 'invalid_parameter_value', hint = 'small letters, digits and _, a letter first, at most 63';
  end if;
end $$;
comment on function outbox.check_kind(text) is 'internal: fails if that cannot be the name of a kind';

create function outbox.refuse_key(kind text, key text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if key is null or key = '' then
    raise exception 'outbox: a key of kind % is %', kind, case when key is null then 'null' else 'empty' end
      using errcode = 'invalid_parameter_value';
  end if;
  raise exception 'outbox: a key of kind % has % bytes, at most 2000 are allowed', kind, octet_length(key)
    using errcode = 'invalid_parameter_value', detail = 'it begins with ' || left(key, 100);
end $$;
comment on function outbox.refuse_key(text, text) is 'internal: fails, saying what is wrong with the key';

-- Saying what changed --------------------------------------------------------------------------------------

create function outbox.changed(kind text, keys text[], headers jsonb default null) returns int
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
comment on function outbox.changed(text, text[], jsonb) is 'says that these keys of the kind were written or deleted in this transaction; answers how many';

create function outbox.changed_all(kind text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not exists (select from outbox.kinds k where k.kind = changed_all.kind) then
    raise exception 'outbox.changed_all: unknown kind %', coalesce(quote_literal(changed_all.kind), 'null')
      using errcode = 'invalid_parameter_value', hint = 'watch a table or call outbox.kind first';
  end if;
  perform outbox.log_all(kind);
end $$;
comment on function outbox.changed_all(text) is 'says that any key of the kind may have been written or deleted: for what triggers cannot see';

create function outbox.token() returns text
language sql volatile as $$ select pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text $$;
comment on function outbox.token() is 'what to wait for after this transaction has committed; null: it wrote nothing so far';

-- Kinds and dependants -------------------------------------------------------------------------------------

create function outbox.check_query(query text, keys boolean) returns text
language plpgsql as $$
begin
  -- One text column, or no union; planned, but not run.
  if keys then
    execute format(E'select null::text union all (select * from (%s\n) q) limit 0', query) using '{}'::text[];
  else
    execute format(E'select null::text union all (select q.key from (%s\n) q) limit 0', query);
  end if;
  return null;
exception when others then
  return sqlerrm;
end $$;
comment on function outbox.check_query(text, boolean) is 'internal: what is wrong with a query that yields keys, from keys in $1 or from nothing';

create function outbox.kind(kind text, list_query text default null) returns void
language plpgsql as $$
declare
  query text := coalesce(regexp_replace(list_query, '[;\s]+$', ''),
                         format('select r.key from outbox.records r where r.kind = %L', kind));
  wrong text;
begin
  perform outbox.check_kind(kind);
  if exists (select from outbox.watches w where w.kind = $1) then
    raise exception 'outbox.kind: kind % is fed by table %', kind, (select w.rel from outbox.watches w where w.kind = $1)
      using errcode = 'object_not_in_prerequisite_state';
  end if;
  if list_query is not null and exists (select from outbox.records r where r.kind = $1) then
    raise exception 'outbox.kind: kind % has records in outbox.records', kind using errcode = 'object_not_in_prerequisite_state';
  end if;
  wrong := outbox.check_query(query, false);
  if wrong is not null then
    raise exception 'outbox.kind: the list query of kind % must yield one text column named key: %', kind, wrong
      using errcode = 'invalid_parameter_value';
  end if;
  insert into outbox.kinds as k (kind, list, records) values ($1, query, list_query is null)
  on conflict on constraint kinds_pkey do update set list = excluded.list, records = excluded.records
   where (k.list, k.records) is distinct from (excluded.list, excluded.records);
end $$;
comment on function outbox.kind(text, text) is 'declares a kind that no table is watched for: its records are in outbox.records, or the query lists its keys and outbox.changed says what changed';

create function outbox.drop_kind(kind text) returns void
language plpgsql as $$
declare
  holder text := coalesce((select 'table ' || w.rel::text from outbox.watches w where w.kind = $1),
                          (select 'backend ' || p.backend from outbox.projections p where p.kind = $1 limit 1),
                          (select 'outbox.records' from outbox.records r where r.kind = $1 limit 1));
begin
  if holder is not null then
    raise exception 'outbox.drop_kind: kind % is in use by %', kind, holder using errcode = 'object_not_in_prerequisite_state';
  end if;
  delete from outbox.kinds k where k.kind = $1;
end $$;
comment on function outbox.drop_kind(text) is 'forgets a kind that nothing feeds and no backend projects';

create function outbox.depend(kind text, dependant text, query text) returns void
language plpgsql as $$
declare
  asked text := regexp_replace(query, '[;\s]+$', '');
  wrong text;
begin
  with recursive r(name) as (
    select $2 union select d.dependant from outbox.dependants d join r on d.kind = r.name
  ) select format('%s would depend on itself', $1) into wrong from r where r.name = $1;
  wrong := coalesce(
    (select string_agg(format('unknown kind %L', u.name), ', ') from unnest(array[kind, dependant]) u(name)
      where not exists (select from outbox.kinds k where k.kind = u.name)),
    wrong,
    case when asked is null or position('$1' in asked) = 0 then 'the query does not use $1' end,
    outbox.check_query(asked, true));
  if wrong is not null then
    raise exception 'outbox.depend: % from %: %', dependant, kind, wrong
      using errcode = 'invalid_parameter_value', hint = 'the query yields keys of the dependant, one text column, from changed keys in $1 text[]';
  end if;
  insert into outbox.dependants as d (kind, dependant, query) values ($1, $2, asked)
  on conflict on constraint dependants_pkey do update set query = excluded.query where d.query <> excluded.query;
end $$;
comment on function outbox.depend(text, text, text) is 'a change of these keys of the kind changes those keys of the dependant';

create function outbox.undepend(kind text, dependant text) returns void
language sql as $$ delete from outbox.dependants d where d.kind = $1 and d.dependant = $2 $$;
comment on function outbox.undepend(text, text) is 'undoes outbox.depend';

-- Asking instead of doing: a worker may see that all is as configured without the right to change it.
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

-- Records of those who have no tables of their own ----------------------------------------------------------

create table outbox.records (
  kind      text not null,
  key       text not null constraint records_key_has_1_to_2000_bytes check (octet_length(key) between 1 and 2000),
  body      jsonb,
  embedding real[],
  primary key (kind, key)
);
comment on table outbox.records is 'records in one ready-made table; every write is logged, a new kind is declared by its first record';

create function outbox.log_records() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  strange text[];
begin
  if tg_op = 'TRUNCATE' then
    perform outbox.log_all(k.kind) from outbox.kinds k where k.records;
    return null;
  end if;
  if tg_op <> 'DELETE' then
    strange := array(select d.kind from (select distinct n.kind from outbox_new n) d
                      where not exists (select from outbox.kinds k where k.kind = d.kind and k.records));
    if exists (select from outbox.kinds k where k.kind = any (strange)) then
      raise exception 'outbox.records: kind % has its records elsewhere', (select min(k.kind) from outbox.kinds k where k.kind = any (strange))
        using errcode = 'invalid_parameter_value';
    end if;
    perform outbox.kind(u.kind) from unnest(strange) u(kind);
  end if;
  if tg_op = 'INSERT' then
    insert into outbox.log (kind, keys)
    select s.kind, array_agg(s.key)
      from (select n.kind, n.key, (row_number() over (partition by n.kind) - 1) / 500 as part from outbox_new n) s
     group by s.kind, s.part;
  elsif tg_op = 'DELETE' then
    insert into outbox.log (kind, keys)
    select s.kind, array_agg(s.key)
      from (select o.kind, o.key, (row_number() over (partition by o.kind) - 1) / 500 as part from outbox_old o) s
     group by s.kind, s.part;
  else
    -- A full join cannot become a nested loop, whatever number of rows the plan was made for.
    insert into outbox.log (kind, keys)
    select s.kind, array_agg(s.key)
      from (select d.kind, d.key, (row_number() over (partition by d.kind) - 1) / 500 as part
              from (select coalesce(n.kind, o.kind) as kind, coalesce(n.key, o.key) as key
                      from outbox_old o
                      full join outbox_new n on n.kind = o.kind collate "C" and n.key = o.key collate "C"
                     where o.kind is null or n.kind is null or o.* operator(pg_catalog.*<>) n.*) d) s
     group by s.kind, s.part;
  end if;
  if found then
    perform outbox.wake();
  end if;
  return null;
end $$;
comment on function outbox.log_records() is 'internal: the triggers of outbox.records';

create trigger outbox_insert after insert on outbox.records
  referencing new table as outbox_new for each statement execute function outbox.log_records();
create trigger outbox_delete after delete on outbox.records
  referencing old table as outbox_old for each statement execute function outbox.log_records();
create trigger outbox_update after update on outbox.records
  referencing old table as outbox_old new table as outbox_new for each statement execute function outbox.log_records();
create trigger outbox_truncate after truncate on outbox.records
  for each statement execute function outbox.log_records();
alter table outbox.records
  enable always trigger outbox_insert, enable always trigger outbox_delete,
  enable always trigger outbox_update, enable always trigger outbox_truncate;

grant select on outbox.kinds, outbox.dependants to public;
revoke execute on function outbox.wake(), outbox.log_all(text), outbox.kind(text, text),
  outbox.drop_kind(text), outbox.depend(text, text, text), outbox.undepend(text, text), outbox.log_records(),
  outbox.add_backend(text, text, int), outbox.rebase() from public;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
grant execute on function outbox.add_backend(text, text, int), outbox.rebase() to public;
drop table outbox.records, outbox.dependants, outbox.kinds;
drop function outbox.depends(text, text, text), outbox.is_kind(text, text), outbox.log_records(), outbox.undepend(text, text), outbox.depend(text, text, text), outbox.drop_kind(text),
  outbox.kind(text, text), outbox.check_query(text, boolean), outbox.token(), outbox.changed_all(text),
  outbox.changed(text, text[], jsonb), outbox.refuse_key(text, text), outbox.check_kind(text), outbox.log_all(text), outbox.wake();
-- +goose StatementEnd
