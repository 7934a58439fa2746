-- Watches: triggers on tables that put their changes into the log.
-- +goose Up
-- +goose StatementBegin
create table outbox.watches (
  rel            regclass primary key,
  kind           text not null unique references outbox.kinds,
  key_columns    text[] not null,
  by_primary_key boolean not null,
  per_row        boolean not null,
  members        regclass[] not null default '{}',
  shape          text[] not null default '{}'
);
comment on table  outbox.watches is 'tables whose triggers put changes into the log';
comment on column outbox.watches.by_primary_key is 'the key follows the primary key';
comment on column outbox.watches.members is 'the table and its partitions and children, as far as they have triggers';
comment on column outbox.watches.shape is 'its columns, as they were when it was last watched';

create function outbox.watch_source(w outbox.watches) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select case when w.per_row then outbox.row_source(w.kind, w.rel, w.key_columns) else outbox.statement_source(w.kind, w.rel, w.key_columns) end
$$;
comment on function outbox.watch_source(outbox.watches) is 'internal: what the watch''s function should be';

-- Triggers ----------------------------------------------------------------------------------------

create function outbox.trigger_problems(rel regclass, kind text, per_row boolean)
returns table (name text, event text, problem text, inherited boolean)
language sql stable set search_path = pg_catalog, pg_temp as $$
  select v.name, v.event,
         case when t.oid is null then 'is missing'
              when t.tgfoid is distinct from to_regprocedure(outbox.watch_function(kind) || '()')
                or t.tgtype <> v.type + (per_row and v.event <> 'truncate')::int then 'is of another form'
              when t.tgenabled = 'D' then 'is disabled'
              else 'is not enabled ALWAYS' end,
         coalesce(t.tgparentid, 0) <> 0
    from (values ('outbox_insert', 'insert', 4), ('outbox_delete', 'delete', 8),
                 ('outbox_update', 'update', 16), ('outbox_truncate', 'truncate', 32)) v(name, event, type)
    left join pg_trigger t on t.tgrelid = rel and t.tgname = v.name
   where t.oid is null or t.tgfoid is distinct from to_regprocedure(outbox.watch_function(kind) || '()')
      or t.tgtype <> v.type + (per_row and v.event <> 'truncate')::int or t.tgenabled <> 'A'
$$;
comment on function outbox.trigger_problems(regclass, text, boolean) is 'internal: how the triggers of a watched table differ from what they should be';

create function outbox.set_triggers(w outbox.watches) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  rel regclass;
  t record;
begin
  for t in select x.rel, p.name from unnest(w.members) x(rel), outbox.trigger_problems(x.rel, w.kind, w.per_row) p
            where p.problem = 'is of another form' and not p.inherited loop
    execute format('drop trigger if exists %I on %s', t.name, t.rel);
  end loop;
  foreach rel in array w.members loop -- parents first: row triggers reach partitions by themselves
    for t in select p.* from outbox.trigger_problems(rel, w.kind, w.per_row) p loop
      if t.problem = 'is missing' then
        execute format('create trigger %I after %s on %s %s execute function %s()', t.name, t.event, rel,
          case when w.per_row and t.event <> 'truncate' then 'for each row'
               when t.event = 'insert' then 'referencing new table as outbox_new for each statement'
               when t.event = 'delete' then 'referencing old table as outbox_old for each statement'
               when t.event = 'update' then 'referencing old table as outbox_old new table as outbox_new for each statement'
               else 'for each statement' end, outbox.watch_function(w.kind));
      end if;
      execute format('alter table only %s enable always trigger %I', rel, t.name);
    end loop;
  end loop;
end $$;
comment on function outbox.set_triggers(outbox.watches) is 'internal: makes the triggers of all members what they should be';

create function outbox.has_function(w outbox.watches) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select exists (select from pg_proc p join pg_class c on c.relowner = p.proowner
                  where p.oid = to_regprocedure(outbox.watch_function(w.kind) || '()') and c.oid = 'outbox.log'::regclass
                    and p.prosecdef and p.prosrc = outbox.watch_source(w))
$$;
comment on function outbox.has_function(outbox.watches) is 'internal: the function of a watch is what it should be';

create function outbox.set_function(w outbox.watches) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  name text := outbox.watch_function(w.kind);
begin
  if outbox.has_function(w) then
    return;
  end if;
  execute format('create or replace function %s() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as %L',
                 name, outbox.watch_source(w));
  execute format('revoke execute on function %s() from public', name);
  execute format('alter function %s() owner to %I', name, (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = 'outbox.log'::regclass));
  execute format('comment on function %s() is %L', name, 'generated by outbox.watch for kind ' || w.kind);
end $$;
comment on function outbox.set_function(outbox.watches) is 'internal: makes the function of a watch what it should be';

create function outbox.drop_triggers(kind text, keep regclass[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  t record;
begin
  for t in select g.tgrelid::regclass as rel, g.tgname from pg_trigger g
            where g.tgfoid = to_regprocedure(outbox.watch_function(kind) || '()') and g.tgparentid = 0 and g.tgrelid <> all (keep) loop
    execute format('drop trigger %I on %s', t.tgname, t.rel);
  end loop;
end $$;
comment on function outbox.drop_triggers(text, regclass[]) is 'internal: takes the triggers of a kind off all tables but these';

-- What is right now ----------------------------------------------------------------------------------------

create function outbox.list_query(w outbox.watches) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select format('select %s as key from %s t', outbox.key_text('t', w.rel, w.key_columns), w.rel)
$$;
comment on function outbox.list_query(outbox.watches) is 'internal: the query that yields every key of a watched table';

create function outbox.watch_now(w outbox.watches) returns outbox.watches
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  w.members := outbox.members(w.rel);
  w.shape := array(select s.entry from outbox.shape(w.rel) s order by 1);
  if w.by_primary_key then
    w.key_columns := outbox.primary_key(w.rel);
  end if;
  return w;
end $$;
comment on function outbox.watch_now(outbox.watches) is 'internal: the watch as it would be if it were made now';

create function outbox.watch_refusal(w outbox.watches) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select string_agg(p.problem, '; ') from (
    select format('%s cannot be watched: %s', m, outbox.table_problem(m)) from unnest(w.members) m where outbox.table_problem(m) is not null
    union all
    select format('%s is watched already, as kind %s: unwatch it', m, x.kind)
      from unnest(w.members) m, outbox.watches x where x.rel <> w.rel and m = any (x.members)
    union all
    select format('the key of %s: %s', w.rel, k) from outbox.key_problem(w.rel, w.key_columns) k where k is not null) p(problem)
$$;
comment on function outbox.watch_refusal(outbox.watches) is 'internal: all reasons why there cannot be such a watch';

create function outbox.watch_drift(w outbox.watches) returns setof text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  now outbox.watches := outbox.watch_now(w);
begin
  return query
    select format('%s is new', m) from unnest(now.members) m where m <> all (w.members)
    union all select format('%s is gone', m) from unnest(w.members) m where m <> all (now.members)
    union all select format('trigger %s of %s %s', p.name, m, p.problem)
      from unnest(w.members) m, outbox.trigger_problems(m, w.kind, w.per_row) p where m = any (now.members)
    union all select e || ' is new' from unnest(now.shape) e where e <> all (w.shape)
    union all select e || ' is gone' from unnest(w.shape) e where e <> all (now.shape)
    union all select 'the primary key is another one' where now.key_columns <> w.key_columns
    union all select 'the key: ' || k from outbox.key_problem(w.rel, now.key_columns) k where k is not null
    union all select 'the function of its triggers is of another version' where not outbox.has_function(w)
    union all select 'the table has another name' from outbox.kinds k where k.kind = w.kind and k.list <> outbox.list_query(w);
end $$;
comment on function outbox.watch_drift(outbox.watches) is 'internal: how a watch differs from what it would be if it were made now';

-- Watching -------------------------------------------------------------------------------------------------

create function outbox.check_rows(w outbox.watches) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if outbox.key_guarded(w.rel, w.key_columns) then
    execute format('select outbox.refuse_key(%L, k.key) from (%s) k where octet_length(k.key) not between 1 and 2000 limit 1', w.kind, outbox.list_query(w));
  end if;
end $$;
comment on function outbox.check_rows(outbox.watches) is 'internal: fails if a row that was there before the watch has an impossible key';

create function outbox.log_table(w outbox.watches, rel regclass) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  execute outbox.log_query(w.kind, format('select %s as key from only %s t', outbox.key_text('t', rel, w.key_columns), rel));
  perform outbox.wake();
end $$;
comment on function outbox.log_table(outbox.watches, regclass) is 'internal: puts the keys of all rows that are in this one table into the log';

create function outbox.has_missed(was outbox.watches, w outbox.watches, at_once boolean) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select w.key_columns <> was.key_columns
      or exists (select from unnest(was.shape) e where e <> all (w.shape))
      or exists (select from outbox.shape(w.rel) s where s.filled and s.entry <> all (was.shape))
      or exists (select from unnest(was.members) m where not exists (select from pg_class c where c.oid = m))
      or not at_once and not (w.members <@ was.members and was.members <@ w.members)
      or exists (select from unnest(w.members) m, outbox.trigger_problems(m, w.kind, w.per_row) p
                  where m = any (was.members) and p.problem <> 'is of another form')
$$;
comment on function outbox.has_missed(outbox.watches, outbox.watches, boolean) is 'internal: content may have changed that the watch cannot name any more';

-- What a watch has missed since it was last right, it logs now: rows of partitions that came or went or, when that
-- cannot be told, every key. In an event trigger (at_once) nothing can have happened since the statement it follows.
-- outbox.refreshing tells outbox.on_ddl that the DDL is ours.
create function outbox.refresh_watch(rel regclass, at_once boolean) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  w outbox.watches;
  was outbox.watches;
  missed boolean;
begin
  select * into strict was from outbox.watches x where x.rel = $1 for update;
  w := outbox.watch_now(was);
  if outbox.watch_refusal(w) is not null then
    raise exception 'outbox.watch: %', outbox.watch_refusal(w) using errcode = 'object_not_in_prerequisite_state',
      hint = 'key columns are unique, not null, and of type smallint, integer, bigint, oid, numeric, boolean, uuid, text, varchar, char(n), name, citext or a domain over these';
  end if;
  missed := was.members <> '{}' and outbox.has_missed(was, w, at_once);
  perform set_config('outbox.refreshing', 'on', true);
  perform outbox.set_function(w);
  perform outbox.set_triggers(w);
  perform outbox.drop_triggers(w.kind, w.members);
  perform set_config('outbox.refreshing', '', true);
  update outbox.kinds k set list = outbox.list_query(w) where k.kind = w.kind and k.list <> outbox.list_query(w);
  update outbox.watches x set key_columns = w.key_columns, members = w.members, shape = w.shape where x.rel = w.rel and was is distinct from w;
  if was.key_columns <> w.key_columns then
    perform outbox.check_rows(w);
  end if;
  if missed then
    perform outbox.log_all(w.kind);
  elsif was.members <> '{}' then
    perform outbox.log_table(w, m) from unnest(w.members || was.members) m where m <> all (w.members) or m <> all (was.members);
  end if;
end $$;
comment on function outbox.refresh_watch(regclass, boolean) is 'internal: makes a watch right for what its table is now, and logs what it has missed';

create function outbox.watched_root(rel regclass) returns regclass
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  root regclass;
begin
  with recursive up(rel) as (select i.inhparent from pg_inherits i where i.inhrelid = $1
                             union select i.inhparent from pg_inherits i join up on i.inhrelid = up.rel)
  select x.rel into root from up join outbox.watches x on x.rel = up.rel limit 1;
  if root is null and exists (select from pg_inherits i where i.inhrelid = $1) then
    raise exception 'outbox.watch: % is a partition or child of another table: watch that one', rel
      using errcode = 'object_not_in_prerequisite_state', hint = 'writes through the parent do not fire the triggers of the child';
  end if;
  return coalesce(root, rel);
end $$;
comment on function outbox.watched_root(regclass) is 'internal: the table itself, or the watched one that it is a partition or child of';

-- A kind that was known before its watch may be projected already, and nobody saw what happened until now.
create function outbox.claim_kind(kind text, rel regclass) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  other text := coalesce((select 'table ' || x.rel::text from outbox.watches x where x.kind = $1 and x.rel <> $2),
                         (select 'outbox.records' from outbox.kinds k where k.kind = $1 and k.records));
begin
  perform outbox.check_kind(kind);
  if other is not null then
    raise exception 'outbox.watch: kind % belongs to %', kind, other
      using errcode = 'object_not_in_prerequisite_state', hint = 'name another kind: several tables cannot feed one';
  end if;
  insert into outbox.kinds (kind, list) values ($1, '') on conflict do nothing;
  if not found and not exists (select from outbox.watches x where x.kind = $1) then
    perform outbox.log_all(kind);
  end if;
end $$;
comment on function outbox.claim_kind(text, regclass) is 'internal: declares the kind of a watched table';

create function outbox.watch(rel regclass, kind text default null, key_columns text[] default null, per_row boolean default null) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  root regclass := outbox.watched_root(rel);
  was outbox.watches;
  w outbox.watches;
begin
  if outbox.table_problem(root) is not null then
    raise exception 'outbox.watch: % cannot be watched: %', root, outbox.table_problem(root) using errcode = 'wrong_object_type';
  end if;
  select * into was from outbox.watches x where x.rel = root;
  w.rel := root;
  w.kind := coalesce($2, was.kind, (select c.relname from pg_class c where c.oid = root));
  w.by_primary_key := coalesce($3 = '{}', was.by_primary_key, true);
  w.key_columns := coalesce(nullif($3, '{}'), case when w.by_primary_key then outbox.primary_key(root) else was.key_columns end, '{}');
  w.per_row := coalesce($4, was.per_row, false);
  if rel <> root and (w.kind, w.key_columns, w.per_row) is distinct from (was.kind, was.key_columns, was.per_row) then
    raise exception 'outbox.watch: % belongs to %, which is watched as kind % with key (%)', rel, root, was.kind, array_to_string(was.key_columns, ', ')
      using errcode = 'object_not_in_prerequisite_state', hint = 'a partition or child has the kind and key of its parent';
  end if;
  if (w.kind, w.key_columns, w.by_primary_key, w.per_row) is not distinct from (was.kind, was.key_columns, was.by_primary_key, was.per_row)
     and not exists (select from outbox.watch_drift(was)) then
    return; -- as every start of a worker finds it: no locks
  end if;
  execute format('lock table %s in share update exclusive mode', root); -- before the watch's row, as DDL does
  perform outbox.unwatch(x.rel) from outbox.watches x where not exists (select from pg_class c where c.oid = x.rel);
  if was.kind <> w.kind or was.key_columns <> w.key_columns then
    perform outbox.unwatch(root);
  end if;
  perform outbox.claim_kind(w.kind, root);
  insert into outbox.watches as x select w.rel, w.kind, w.key_columns, w.by_primary_key, w.per_row
  on conflict on constraint watches_pkey do update set by_primary_key = excluded.by_primary_key, per_row = excluded.per_row;
  perform outbox.refresh_watch(root, false);
  if was.kind <> w.kind or was.key_columns <> w.key_columns or was.kind is null then
    perform outbox.check_rows(w);
  end if;
end $$;
comment on function outbox.watch(regclass, text, text[], boolean) is
  'watches a table: its changes go into the log as changes of the kind (default: the table''s name), keyed by these columns (default, and {}: the primary key), by triggers for each statement or for each row (default: false). Again: makes the watch right for what the table is now; null then means: as it is';

create function outbox.unwatch(rel regclass) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  kind text;
begin
  delete from outbox.watches x where x.rel = $1 returning x.kind into kind;
  if kind is null then
    return false;
  end if;
  perform set_config('outbox.refreshing', 'on', true);
  perform outbox.drop_triggers(kind, '{}');
  execute format('drop function if exists %s()', outbox.watch_function(kind));
  perform set_config('outbox.refreshing', '', true);
  return true;
end $$;
comment on function outbox.unwatch(regclass) is 'takes the triggers off; the kind stays declared, and watching it again logs every key. False: it was not watched';

grant select on outbox.watches to public;
revoke execute on function outbox.watch_source(outbox.watches), outbox.trigger_problems(regclass, text, boolean),
  outbox.has_function(outbox.watches), outbox.set_triggers(outbox.watches), outbox.set_function(outbox.watches),
  outbox.drop_triggers(text, regclass[]), outbox.list_query(outbox.watches), outbox.watch_now(outbox.watches),
  outbox.watch_refusal(outbox.watches), outbox.watch_drift(outbox.watches), outbox.check_rows(outbox.watches),
  outbox.log_table(outbox.watches, regclass), outbox.has_missed(outbox.watches, outbox.watches, boolean),
  outbox.refresh_watch(regclass, boolean), outbox.watched_root(regclass), outbox.claim_kind(text, regclass),
  outbox.watch(regclass, text, text[], boolean), outbox.unwatch(regclass) from public;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
select outbox.unwatch(w.rel) from outbox.watches w;
drop function outbox.watch_source(outbox.watches), outbox.trigger_problems(regclass, text, boolean),
  outbox.has_function(outbox.watches), outbox.set_triggers(outbox.watches), outbox.set_function(outbox.watches),
  outbox.drop_triggers(text, regclass[]), outbox.list_query(outbox.watches), outbox.watch_now(outbox.watches),
  outbox.watch_refusal(outbox.watches), outbox.watch_drift(outbox.watches), outbox.check_rows(outbox.watches),
  outbox.log_table(outbox.watches, regclass), outbox.has_missed(outbox.watches, outbox.watches, boolean),
  outbox.refresh_watch(regclass, boolean), outbox.watched_root(regclass), outbox.claim_kind(text, regclass),
  outbox.watch(regclass, text, text[], boolean), outbox.unwatch(regclass);
drop table outbox.watches;
-- +goose StatementEnd
