-- The previous rows of what changes, kept on demand, and the way back to them.
-- +goose Up
-- +goose StatementBegin
alter table outbox.watches add history boolean not null default false;
comment on column outbox.watches.history is 'previous rows are kept, in outbox.previous';

create table outbox.shapes (
  id      int generated always as identity primary key,
  rel     oid not null,
  columns jsonb not null,
  unique (rel, columns)
);
comment on table outbox.shapes is 'what the columns of tables with history were: images of rows can be read as long as they are the same';

create table outbox.transactions (
  tx      xid8 primary key default pg_current_xact_id(),
  at      timestamptz not null default clock_timestamp(),
  who     text default session_user,
  app     text default current_setting('application_name', true),
  headers jsonb default outbox.headers(),
  reverted_by xid8,
  pruned  boolean not null default false
);
create index transactions_at on outbox.transactions (at);
create index transactions_load on outbox.transactions ((headers->>'load')) where headers ? 'load';
create index transactions_reverted on outbox.transactions (reverted_by) where reverted_by is not null;
comment on table  outbox.transactions is 'transactions of which previous rows are kept';
comment on column outbox.transactions.reverted_by is 'the transaction that undid it; null: it stands';
comment on column outbox.transactions.pruned is 'some of its previous rows are gone: it cannot be reverted';

create table outbox.previous (
  tx    xid8 not null default pg_current_xact_id(),
  id    bigint generated always as identity,
  shape int not null,
  key   text not null,
  old   text,
  now   bigint,
  primary key (tx, id)
) with (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_vacuum_scale_factor = 0.05);
comment on table  outbox.previous is 'rows before they were changed, of watches with history';
comment on column outbox.previous.old is 'the row''s text as a composite value, under fixed settings; null: there was none';
comment on column outbox.previous.now is 'a hash of the same text of the row that the statement left; null: it left none';

create function outbox.columns(rel regclass) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
  select jsonb_agg(jsonb_build_array(a.attnum, a.attname, a.atttypid::bigint, a.atttypmod, a.attgenerated <> '') order by a.attnum)
    from pg_attribute a where a.attrelid = rel and a.attnum > 0 and not a.attisdropped
$$;
comment on function outbox.columns(regclass) is 'internal: what an image of a row depends on';

-- The text of every value is the same in every session, and reading it yields the value again.
create function outbox.image_settings() returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select 'set datestyle = ''ISO, YMD'' set intervalstyle = ''postgres'' set timezone = ''UTC'' set extra_float_digits = 1 set bytea_output = ''hex'' '
      || 'set lc_monetary = ''C'' set xmloption = ''content'' set quote_all_identifiers = off'
$$;
comment on function outbox.image_settings() is 'internal: settings under which rows are written as text';

-- Columns by name, in the order of the root: partitions may have another. Generated ones follow from the rest.
create function outbox.image(alias text, rel regclass) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select format('row(%s)::pg_catalog.text', string_agg(case when a.attgenerated <> '' then 'null' else format('%s.%I', alias, a.attname) end, ', ' order by a.attnum))
    from pg_attribute a where a.attrelid = rel and a.attnum > 0 and not a.attisdropped
$$;
comment on function outbox.image(text, regclass) is 'internal: the expression of a row''s image';

create function outbox.refuse_truncate(rel regclass) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'outbox: table % keeps the history of its rows, which TRUNCATE would lose', rel
    using errcode = 'object_not_in_prerequisite_state', hint = format('delete from %s, or first select outbox.watch(%L, history => false)', rel, rel);
end $$;
comment on function outbox.refuse_truncate(regclass) is 'internal: fails, saying why a table cannot be truncated';

-- What the function of a watch with history does first.
create function outbox.history_source(w outbox.watches) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  shape text := coalesce((select s.id::text from outbox.shapes s where s.rel = w.rel and s.columns = outbox.columns(w.rel)), 'null');
  o text := case when w.per_row then 'old' else 'o' end;
  n text := case when w.per_row then 'new' else 'n' end;
  old_key text := outbox.key_text(o, w.rel, w.key_columns);
  new_key text := outbox.key_text(n, w.rel, w.key_columns);
  old_image text := outbox.image(o, w.rel);
  new_hash text := format('pg_catalog.hashtextextended(%s, 0)', outbox.image(n, w.rel));
  pairs text;
  body text;
begin
  if w.per_row then
    body := format($f$insert into outbox.previous (shape, key, now) values (%1$s, %3$s, %5$s);
  elsif tg_op operator(pg_catalog.=) 'DELETE' then
    insert into outbox.previous (shape, key, old) values (%1$s, %2$s, %4$s);
  elsif old operator(pg_catalog.*=) new then
    return null;
  elsif %2$s operator(pg_catalog.=) %3$s collate pg_catalog."C" then
    insert into outbox.previous (shape, key, old, now) values (%1$s, %3$s, %4$s, %5$s);
  else
    insert into outbox.previous (shape, key, old, now) values (%1$s, %2$s, %4$s, null), (%1$s, %3$s, null, %5$s);$f$,
      shape, old_key, new_key, old_image, new_hash);
  else
    select string_agg(case when p.type in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'oid'::regtype, 'bool'::regtype, 'uuid'::regtype)
                        then format('o.%1$I operator(pg_catalog.=) n.%1$I', p.name)
                        else format('o.%1$I::pg_catalog.text operator(pg_catalog.=) n.%1$I::pg_catalog.text collate pg_catalog."C"', p.name) end,
                      ' and ' order by p.place)
      into pairs from outbox.key_parts(w.rel, w.key_columns) p;
    body := format($f$insert into outbox.previous (shape, key, now) select %1$s, %3$s, %5$s from outbox_new n;
  elsif tg_op operator(pg_catalog.=) 'DELETE' then
    insert into outbox.previous (shape, key, old) select %1$s, %2$s, %4$s from outbox_old o;
  else
    insert into outbox.previous (shape, key, old, now)
    select %1$s, case when n.%6$I is null then %2$s else %3$s end, case when o.%6$I is not null then %4$s end, case when n.%6$I is not null then %5$s end
      from outbox_old o full join outbox_new n on %7$s
     where o.%6$I is null or n.%6$I is null or o.* operator(pg_catalog.*<>) n.*;$f$,
      shape, old_key, new_key, old_image, new_hash, w.key_columns[1], pairs);
  end if;
  return format($f$
begin
  if tg_op operator(pg_catalog.=) 'TRUNCATE' then
    perform outbox.refuse_truncate(%L);
  elsif tg_op operator(pg_catalog.=) 'INSERT' then
    %s
  end if;
  if found then
    insert into outbox.transactions default values on conflict do nothing;
  end if;$f$, w.rel, body);
end $$;
comment on function outbox.history_source(outbox.watches) is 'internal: the beginning of the source of a watch''s function, when it keeps history';

create or replace function outbox.watch_source(w outbox.watches) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select case when w.history then outbox.history_source(w) || substr(s.source, length(E'\nbegin') + 1) else s.source end
    from (select case when w.per_row then outbox.row_source(w.kind, w.rel, w.key_columns)
                      else outbox.statement_source(w.kind, w.rel, w.key_columns) end) s(source)
$$;

create or replace function outbox.set_function(w outbox.watches) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  name text := outbox.watch_function(w.kind);
begin
  if w.history then
    insert into outbox.shapes (rel, columns) values (w.rel, outbox.columns(w.rel)) on conflict do nothing;
  end if;
  if outbox.has_function(w) then
    return;
  end if;
  execute format('create or replace function %s() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp %s as %L',
                 name, case when w.history then outbox.image_settings() else '' end, outbox.watch_source(w));
  execute format('revoke execute on function %s() from public', name);
  execute format('alter function %s() owner to %I', name, (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = 'outbox.log'::regclass));
  execute format('comment on function %s() is %L', name, 'generated by outbox.watch for kind ' || w.kind);
end $$;

create or replace function outbox.watch_refusal(w outbox.watches) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select string_agg(p.problem, '; ') from (
    select format('%s cannot be watched: %s', m, outbox.table_problem(m)) from unnest(w.members) m where outbox.table_problem(m) is not null
    union all
    select format('%s is watched already, as kind %s: unwatch it', m, x.kind)
      from unnest(w.members) m, outbox.watches x where x.rel <> w.rel and m = any (x.members)
    union all
    select format('history of %s cannot be kept: %s is its child, and no partition', w.rel, m)
      from unnest(w.members) m join pg_class c on c.oid = m where w.history and m <> w.rel and not c.relispartition
    union all
    select format('the key of %s: %s', w.rel, k) from outbox.key_problem(w.rel, w.key_columns) k where k is not null) p(problem)
$$;

drop function outbox.watch(regclass, text, text[], boolean);
create function outbox.watch(rel regclass, kind text default null, key_columns text[] default null, per_row boolean default null, history boolean default null) returns void
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
  w.history := coalesce($5, was.history, false);
  if rel <> root and (w.kind, w.key_columns, w.per_row, w.history) is distinct from (was.kind, was.key_columns, was.per_row, was.history) then
    raise exception 'outbox.watch: % belongs to %, which is watched as kind % with key (%)', rel, root, was.kind, array_to_string(was.key_columns, ', ')
      using errcode = 'object_not_in_prerequisite_state', hint = 'a partition or child has the kind and key of its parent';
  end if;
  if (w.kind, w.key_columns, w.by_primary_key, w.per_row, w.history) is not distinct from (was.kind, was.key_columns, was.by_primary_key, was.per_row, was.history)
     and not exists (select from outbox.watch_drift(was)) then
    return; -- as every start of a worker finds it: no locks
  end if;
  -- Before the watch's row, as DDL does. History begins between transactions, not within one: writers are waited for.
  execute format('lock table %s in %s mode', root, case when w.history and not was.history then 'share row exclusive' else 'share update exclusive' end);
  perform outbox.unwatch(x.rel) from outbox.watches x where not exists (select from pg_class c where c.oid = x.rel);
  if was.kind <> w.kind or was.key_columns <> w.key_columns then
    perform outbox.unwatch(root);
  end if;
  perform outbox.claim_kind(w.kind, root);
  insert into outbox.watches as x (rel, kind, key_columns, by_primary_key, per_row, history) select w.rel, w.kind, w.key_columns, w.by_primary_key, w.per_row, w.history
  on conflict on constraint watches_pkey do update set by_primary_key = excluded.by_primary_key, per_row = excluded.per_row, history = excluded.history;
  perform outbox.refresh_watch(root, false);
  if was.kind <> w.kind or was.key_columns <> w.key_columns or was.kind is null then
    perform outbox.check_rows(w);
  end if;
end $$;

comment on function outbox.watch(regclass, text, text[], boolean, boolean) is
  'worker: watches a table: its changes go into the log as changes of the kind (default: the table''s name), keyed by these columns (default, and {}: the primary key), by triggers for each statement or for each row (default: false), keeping previous rows for outbox.revert or not (default: false). Again: makes the watch right for what the table is now; null then means: as it is';

create function outbox.is_watched(rel regclass, kind text, key_columns text[], per_row boolean, history boolean) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select outbox.is_watched($1, $2, $3, $4) and exists (select from outbox.watches w where w.rel = $1 and w.history = $5)
$$;
comment on function outbox.is_watched(regclass, text, text[], boolean, boolean) is 'worker: outbox.watch with these arguments would change nothing';

-- Transactions of a former history had other ids: what is kept of them could be taken for that of new ones.
create function outbox.forget_previous() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  delete from outbox.previous;
  delete from outbox.transactions;
  return null;
end $$;
comment on function outbox.forget_previous() is 'internal: a new history begins';
create trigger forget_previous after insert on outbox.history for each statement execute function outbox.forget_previous();

create function outbox.prune_history(retention interval, most int) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  t xid8;
  n bigint := 0;
  gone bigint;
begin
  for t in select x.tx from outbox.transactions x where x.at < clock_timestamp() - retention order by x.at limit most for update skip locked loop
    update outbox.transactions x set pruned = true where x.tx = t and not x.pruned;
    delete from outbox.previous p where p.tx = t and p.id in (select q.id from outbox.previous q where q.tx = t order by q.id limit most - n);
    get diagnostics gone = row_count;
    n := n + gone;
    exit when n >= most;
    delete from outbox.transactions x where x.tx = t;
    n := n + 1;
    exit when n >= most;
  end loop;
  return n;
end $$;
comment on function outbox.prune_history(interval, int) is 'worker: deletes previous rows of the oldest transactions that are older than the retention, about so many rows; answers how many';

-- Reverting ------------------------------------------------------------------------------------------------

-- How a row of the table, by its alias, is found by the text of a key, as the key columns' own type, so that their index
-- serves. Types without a catalogue's "=" are compared as text.
create function outbox.key_match(alias text, key text, w outbox.watches) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select string_agg(case when p.type < 16384
           then format('%s.%I operator(pg_catalog.=) (%s)::%s', $1, p.name, v.value, format_type(a.atttypid, a.atttypmod))
           else format('%s.%I::pg_catalog.text operator(pg_catalog.=) (%s)', $1, p.name, v.value) end
           || coalesce((select format(' collate %I.%I', n.nspname, c.collname) from pg_collation c join pg_namespace n on n.oid = c.collnamespace
                         where c.oid = a.attcollation and p.type < 16384), ''), ' and ' order by p.place)
    from outbox.key_parts(w.rel, w.key_columns) p
    join pg_attribute a on a.attrelid = w.rel and a.attname = p.name,
         lateral (select case when cardinality(w.key_columns) = 1 then $2
                              else format('(%s::pg_catalog.jsonb operator(pg_catalog.->>) %s)', $2, p.place - 1) end) v(value)
$$;
comment on function outbox.key_match(text, text, outbox.watches) is 'internal: the condition that a row has the key';

-- The rows that transactions changed, each once: what it was before the first of them, and whether it is now as the last
-- of them left it. Rows that are there are locked.
create function outbox.undo_read(w outbox.watches, txs xid8[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp set datestyle = 'ISO, YMD' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
set lc_monetary = 'C' set xmloption = 'content' set quote_all_identifiers = off set row_security = off set plan_cache_mode = force_custom_plan as $$
declare
  undo text := format('pg_temp.outbox_undo_%s', w.rel::oid);
begin
  execute format('drop table if exists %s', undo);
  execute format('create temp table outbox_undo_%s (key text primary key, old %s, was boolean not null, there boolean not null default false, now bigint, wrong text) on commit drop',
    w.rel::oid, w.rel);
  execute format($f$
    insert into %s (key, old, was, now, wrong)
    select k.key, k.old::%s, k.old is not null, k.now, case when k.broken then 'was changed by others in between' end
      from (select e.key, max(e.old) filter (where e.first) as old, max(e.now) filter (where e.last) as now,
                   bool_or(not e.first and hashtextextended(e.old, 0) is distinct from e.before) as broken
              from (select p.key, p.old, p.now, lag(p.now) over b as before, row_number() over b = 1 as first, lead(p.id) over b is null as last
                      from outbox.previous p join outbox.shapes s on s.id = p.shape
                     where p.tx = any ($1) and s.rel = $2 window b as (partition by p.key order by p.id)) e
             group by e.key) k
     where k.broken or hashtextextended(k.old, 0) is distinct from k.now$f$, undo, w.rel) using txs, w.rel::oid;
  execute format('analyze %s', undo);
  execute format('select from %s t join %s u on %s for update of t', w.rel, undo, outbox.key_match('t', 'u.key', w));
  execute format($f$
    update %2$s u set there = true, wrong = case when hashtextextended(%3$s, 0) is distinct from u.now then coalesce(u.wrong, 'changed since') else u.wrong end
      from %1$s t where %4$s$f$, w.rel, undo, outbox.image('t', w.rel), outbox.key_match('t', 'u.key', w));
  execute format('update %s u set wrong = case when u.now is not null then coalesce(u.wrong, ''deleted since'') else u.wrong end where not u.there', undo);
end $$;
comment on function outbox.undo_read(outbox.watches, xid8[]) is 'worker: reads into a temporary table what outbox.undo shall do to one table';

-- Statements that restore one table. They run outside of this function, under the settings that the caller has: the
-- table's own triggers shall find theirs.
create function outbox.undo_source(w outbox.watches) returns table (op text, statement text)
language sql stable set search_path = pg_catalog, pg_temp as $$
  with c as (
    select string_agg(format('%I', a.attname), ', ' order by a.attnum) as names,
           string_agg(format('(u.old).%I', a.attname), ', ' order by a.attnum) as vals,
           string_agg(format('%1$I = (u.old).%1$I', a.attname), ', ' order by a.attnum)
             filter (where a.attname <> all (w.key_columns) and a.attidentity <> 'a') as sets
      from pg_attribute a where a.attrelid = w.rel and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
  ), u as (select format('pg_temp.outbox_undo_%s', w.rel::oid) as name)
  select 'insert', format('insert into %s (%s) overriding system value select %s from %s u where u.was and not u.there', w.rel, c.names, c.vals, u.name) from c, u
  union all
  select 'update', format('update %s t set %s from %s u where u.was and u.there and %s', w.rel, c.sets, u.name, outbox.key_match('t', 'u.key', w)) from c, u where c.sets is not null
  union all
  select 'delete', format('delete from %s t using %s u where not u.was and u.there and %s', w.rel, u.name, outbox.key_match('t', 'u.key', w)) from u
$$;
comment on function outbox.undo_source(outbox.watches) is 'worker: statements that restore a table, as its temporary table says';

-- Deleting a row whose foreign keys cascade would change rows of others, which nobody asked for.
create function outbox.undo_cascades(w outbox.watches) returns table (child text, statement text)
language sql stable set search_path = pg_catalog, pg_temp as $$
  select f.conrelid::regclass::text,
         format('select exists (select from %s c join %s t on %s join pg_temp.outbox_undo_%s u on %s where not u.was and u.there%s)',
           f.conrelid::regclass, w.rel,
           (select string_agg(format('c.%I = t.%I', ca.attname, ta.attname), ' and ')
              from unnest(f.conkey, f.confkey) k(c, t)
              join pg_attribute ca on ca.attrelid = f.conrelid and ca.attnum = k.c
              join pg_attribute ta on ta.attrelid = f.confrelid and ta.attnum = k.t),
           w.rel::oid, outbox.key_match('t', 'u.key', w),
           case when f.conrelid = w.rel then format(' and not exists (select from pg_temp.outbox_undo_%s x where not x.was and x.there and %s)',
                                                    w.rel::oid, outbox.key_match('c', 'x.key', w)) else '' end)
    from pg_constraint f where f.contype = 'f' and f.confrelid = w.rel and f.conparentid = 0 and f.confdeltype in ('c', 'n', 'd')
$$;
comment on function outbox.undo_cascades(outbox.watches) is 'worker: statements that ask whether a deletion would go on to rows of another table';

-- What became of one table: keys that are there and should not be, or the other way round; rows that are not as they were.
create function outbox.undo_check(w outbox.watches, out amiss text[], out altered bigint)
language plpgsql
set search_path = pg_catalog, pg_temp set datestyle = 'ISO, YMD' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
set lc_monetary = 'C' set xmloption = 'content' set quote_all_identifiers = off set row_security = off as $$
begin
  execute format($f$
    select array(select u.key from pg_temp.outbox_undo_%1$s u left join %2$s t on %3$s where (t.%5$I is not null) <> u.was order by 1 limit 20),
           (select count(*) from pg_temp.outbox_undo_%1$s u join %2$s t on %3$s where %4$s <> u.old::text)$f$,
    w.rel::oid, w.rel, outbox.key_match('t', 'u.key', w), outbox.image('t', w.rel), w.key_columns[1]) into amiss, altered;
end $$;
comment on function outbox.undo_check(outbox.watches) is 'worker: compares a table with what it was restored to';

-- Why transactions cannot be reverted at all, as far as that can be told without looking at rows.
create function outbox.undo_problems(txs xid8[]) returns setof text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select 'nothing is left to revert: no transaction of it is known that stands' where coalesce(cardinality(txs), 0) = 0
  union all
  select case when x.x = pg_current_xact_id_if_assigned() then format('transaction %s is the present one: roll it back instead', x.x)
              when t.tx is null then format('nothing is kept of transaction %s: it changed no row of a kind with history, was rolled back, or is older than what is kept', x.x)
              when t.pruned then format('transaction %s is older than what is kept of history', x.x)
              else format('transaction %s was reverted already, by transaction %s', x.x, t.reverted_by) end
    from unnest(txs) x left join outbox.transactions t on t.tx = x.x
   where t.tx is null or t.pruned or t.reverted_by is not null or x.x = pg_current_xact_id_if_assigned()
  union all
  select distinct case when w.rel is null then format('table %s is not watched with history any more', s.rel::regclass)
                       else format('the columns of table %s are not what they were: %s', w.rel, d.what) end
    from outbox.previous p join outbox.shapes s on s.id = p.shape
    left join outbox.watches w on w.rel = s.rel and w.history
    left join lateral (
      select string_agg(c.text, ', ') as what from (
        select format('%s came', n.value->>1) from jsonb_array_elements(outbox.columns(w.rel)) n
         where not exists (select from jsonb_array_elements(s.columns) o where o.value->0 = n.value->0)
        union all
        select format('%s went', o.value->>1) from jsonb_array_elements(s.columns) o
         where not exists (select from jsonb_array_elements(outbox.columns(w.rel)) n where o.value->0 = n.value->0)
        union all
        select format('%s has another name or type', o.value->>1) from jsonb_array_elements(s.columns) o, jsonb_array_elements(outbox.columns(w.rel)) n
         where o.value->0 = n.value->0 and o.value <> n.value) c(text)) d on true
   where p.tx = any (txs) and (w.rel is null or s.columns <> outbox.columns(w.rel))
  union all
  select distinct format('transaction %s changed records of kind %s, of which no history was kept', g.tx, g.kind)
    from unnest(txs) x join outbox.log g on g.tx = x.x
   where g.backend is null
     and not exists (select from outbox.previous p join outbox.shapes s on s.id = p.shape join outbox.watches w on w.rel = s.rel
                      where p.tx = g.tx and w.kind = g.kind)
$$;
comment on function outbox.undo_problems(xid8[]) is 'worker: why transactions cannot be reverted';

-- Runs statements until none is left. One that fails because of another table's rows is tried again after the others.
create function outbox.undo_run(pending text[][], force boolean) returns void
language plpgsql as $$
declare
  left_over text[][];
  one text[];
  progress boolean;
  found_child boolean;
  why text;
  c record;
begin
  loop
    left_over := '{}';
    progress := false;
    foreach one slice 1 in array pending loop
      begin
        if one[2] = 'delete' and not force then
          for c in select q.child, q.statement from outbox.watches w, outbox.undo_cascades(w) q where w.rel = one[1]::pg_catalog.oid loop
            execute c.statement into found_child;
            if found_child then
              raise exception 'rows of table % refer to rows of table % that would be deleted, and would be changed with them', c.child, one[1]::pg_catalog.oid::pg_catalog.regclass
                using errcode = 'foreign_key_violation';
            end if;
          end loop;
        end if;
        execute one[3];
        progress := true;
      exception when integrity_constraint_violation then
        why := sqlerrm;
        left_over := left_over || array[one];
      end;
    end loop;
    exit when left_over = '{}';
    if not progress then
      raise exception 'outbox.revert: %', why using errcode = 'object_not_in_prerequisite_state', hint = 'nothing was changed';
    end if;
    pending := left_over;
  end loop;
end $$;
comment on function outbox.undo_run(text[][], boolean) is 'worker: runs statements, each as soon as it can';

-- Whether what was restored is what it was, and nothing else was changed on the way.
create function outbox.undo_verify(watches outbox.watches[], since bigint, force boolean) returns bigint
language plpgsql as $$
declare
  w outbox.watches;
  c record;
  altered bigint := 0;
  others text;
begin
  foreach w in array watches loop
    select * into c from outbox.undo_check(w);
    altered := altered + c.altered;
    if c.amiss <> '{}' then
      raise exception 'outbox.revert: rows of kind % could not be restored, a trigger of the table may be in the way: %', w.kind, pg_catalog.array_to_string(c.amiss, ', ')
        using errcode = 'object_not_in_prerequisite_state', hint = 'nothing was changed';
    end if;
    execute pg_catalog.format('select pg_catalog.string_agg(q.key, '', '') from (select distinct p.key from outbox.previous p join outbox.shapes s on s.id = p.shape
      where p.tx = pg_catalog.pg_current_xact_id() and p.id > $1 and s.rel = $2 and not exists (select from pg_temp.outbox_undo_%s u where u.key = p.key) order by 1 limit 20) q',
      w.rel::pg_catalog.oid) into others using since, w.rel::pg_catalog.oid;
    if others is not null and not force then
      raise exception 'outbox.revert: other rows of kind % would be changed, too, by cascades or triggers: %', w.kind, others
        using errcode = 'object_not_in_prerequisite_state', hint = 'nothing was changed';
    end if;
  end loop;
  return altered;
end $$;
comment on function outbox.undo_verify(outbox.watches[], bigint, boolean) is 'worker: fails if rows are not what they should be after outbox.undo_run; answers how many are not equal to what they were';

-- Finds out what reverting the transactions would do, and does it unless it is asked not to, or must not.
create function outbox.undo(txs xid8[], force boolean, dry boolean, headers jsonb) returns jsonb
language plpgsql as $$
declare
  problems text[];
  watches outbox.watches[] := '{}';
  w outbox.watches;
  one jsonb;
  tables jsonb := '[]';
  conflicts bigint := 0;
  samples jsonb := '[]';
  inserts text[][] := '{}';
  updates text[][] := '{}';
  deletes text[][] := '{}';
  top bigint;
  altered bigint := 0;
  said text := pg_catalog.current_setting('outbox.headers', true);
begin
  perform from outbox.transactions t where t.tx = any (txs) order by t.tx for update;
  problems := array(select p from outbox.undo_problems(txs) p);
  if problems <> '{}' and not (force and not exists (select from pg_catalog.unnest(problems) p where p not like '%no history was kept')) then
    return pg_catalog.jsonb_build_object('done', false, 'problems', problems, 'transactions', txs::text[]);
  end if;
  for w in select x.* from outbox.watches x
            where x.rel::pg_catalog.oid in (select s.rel from outbox.previous p join outbox.shapes s on s.id = p.shape where p.tx = any (txs)) order by x.kind loop
    perform outbox.undo_read(w, txs);
    watches := watches || w;
    execute pg_catalog.format('select pg_catalog.jsonb_build_object(''kind'', $1::text, ''table'', $2::text, ''inserted'', count(*) filter (where u.was and not u.there),
        ''updated'', count(*) filter (where u.was and u.there), ''deleted'', count(*) filter (where not u.was and u.there), ''wrong'', count(u.wrong),
        ''samples'', coalesce((select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(''kind'', $1::text, ''key'', x.key, ''why'', x.wrong))
                               from (select * from pg_temp.outbox_undo_%1$s x where x.wrong is not null order by x.key limit 100) x), ''[]''))
      from pg_temp.outbox_undo_%1$s u', w.rel::pg_catalog.oid) into one using w.kind, w.rel::text;
    conflicts := conflicts + (one->>'wrong')::bigint;
    samples := samples || (one->'samples');
    tables := tables || (one - 'samples' - 'wrong');
    inserts := inserts || array(select array[w.rel::pg_catalog.oid::text, s.op, s.statement] from outbox.undo_source(w) s where s.op = 'insert');
    updates := updates || array(select array[w.rel::pg_catalog.oid::text, s.op, s.statement] from outbox.undo_source(w) s where s.op = 'update');
    deletes := deletes || array(select array[w.rel::pg_catalog.oid::text, s.op, s.statement] from outbox.undo_source(w) s where s.op = 'delete');
  end loop;
  one := pg_catalog.jsonb_build_object('done', false, 'problems', problems, 'transactions', txs::text[], 'tables', tables, 'conflicts', conflicts, 'samples', samples);
  if dry or conflicts > 0 and not force then
    return one;
  end if;
  select coalesce(pg_catalog.max(p.id), 0) into top from outbox.previous p where p.tx = pg_catalog.pg_current_xact_id();
  perform pg_catalog.set_config('outbox.headers', (coalesce(nullif(said, '')::jsonb, '{}') - 'on_reject' - 'load' || headers)::text, true);
  if tables <> '[]' then
    set constraints all deferred;
    perform outbox.undo_run(inserts || updates || deletes, force);
    set constraints all immediate;
  end if;
  altered := outbox.undo_verify(watches, top, force);
  perform pg_catalog.set_config('outbox.headers', coalesce(said, ''), true);
  update outbox.transactions t set reverted_by = null where t.reverted_by = any (txs);
  update outbox.transactions t set reverted_by = pg_catalog.pg_current_xact_id() where t.tx = any (txs);
  return one || pg_catalog.jsonb_build_object('done', true, 'altered', altered, 'transaction', pg_catalog.pg_current_xact_id()::text);
end $$;
comment on function outbox.undo(xid8[], boolean, boolean, jsonb) is 'worker: what outbox.revert does, or would do';

create function outbox.load_transactions(load text) returns xid8[]
language sql stable set search_path = pg_catalog, pg_temp as $$
  select array(
    select t.tx from outbox.transactions t where t.headers ? 'load' and t.headers->>'load' = $1 and t.reverted_by is null
    union
    select g.tx from outbox.log g where g.headers->>'load' = $1 and g.backend is null and not exists (select from outbox.transactions t where t.tx = g.tx)
    order by 1)
$$;
comment on function outbox.load_transactions(text) is 'worker: transactions of a load that stand, as far as anything is kept of them';

create function outbox.insist(result jsonb) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if (result->>'done')::boolean then
    return coalesce((select sum((t->>'inserted')::bigint + (t->>'updated')::bigint + (t->>'deleted')::bigint) from jsonb_array_elements(result->'tables') t), 0);
  elsif result->'problems' <> '[]' then
    raise exception 'outbox.revert: %', (select string_agg(p, '; ') from jsonb_array_elements_text(result->'problems') p)
      using errcode = 'object_not_in_prerequisite_state';
  end if;
  raise exception 'outbox.revert: % rows were changed since', result->>'conflicts'
    using errcode = 'object_not_in_prerequisite_state', hint = 'force => true takes them back to what they were all the same',
          detail = (select string_agg(format('%s %s %s', s->>'kind', s->>'key', s->>'why'), '; ') from jsonb_array_elements(result->'samples') s);
end $$;
comment on function outbox.insist(jsonb) is 'worker: how many rows outbox.undo has restored; fails if it has not done it';

create function outbox.revert(tx xid8, force boolean default false) returns bigint
language sql as $$ select outbox.insist(outbox.undo(array[$1], $2, false, pg_catalog.jsonb_build_object('reverts', $1::text))) $$;
comment on function outbox.revert(xid8, boolean) is 'worker: restores the rows that a transaction changed, where history is kept, and answers how many; fails, and changes nothing, where rows were changed since, unless forced';

create function outbox.revert_load(load text, force boolean default false) returns bigint
language sql as $$ select outbox.insist(outbox.undo(outbox.load_transactions($1), $2, false, pg_catalog.jsonb_build_object('reverts', $1))) $$;
comment on function outbox.revert_load(text, boolean) is 'worker: outbox.revert for all transactions whose header load has this value';

revoke execute on function outbox.columns(regclass), outbox.image_settings(), outbox.image(text, regclass), outbox.refuse_truncate(regclass),
  outbox.history_source(outbox.watches), outbox.watch(regclass, text, text[], boolean, boolean),
  outbox.is_watched(regclass, text, text[], boolean, boolean), outbox.forget_previous(), outbox.prune_history(interval, int),
  outbox.key_match(text, text, outbox.watches), outbox.undo_read(outbox.watches, xid8[]), outbox.undo_source(outbox.watches),
  outbox.undo_cascades(outbox.watches), outbox.undo_check(outbox.watches), outbox.undo_problems(xid8[]), outbox.undo_run(text[][], boolean),
  outbox.undo_verify(outbox.watches[], bigint, boolean), outbox.undo(xid8[], boolean, boolean, jsonb), outbox.load_transactions(text),
  outbox.insist(jsonb), outbox.revert(xid8, boolean), outbox.revert_load(text, boolean) from public;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
select outbox.watch(w.rel, history => false) from outbox.watches w where w.history;
drop function outbox.revert_load(text, boolean), outbox.revert(xid8, boolean), outbox.insist(jsonb), outbox.load_transactions(text),
  outbox.undo(xid8[], boolean, boolean, jsonb), outbox.undo_verify(outbox.watches[], bigint, boolean), outbox.undo_run(text[][], boolean),
  outbox.undo_problems(xid8[]), outbox.undo_check(outbox.watches), outbox.undo_cascades(outbox.watches), outbox.undo_source(outbox.watches),
  outbox.undo_read(outbox.watches, xid8[]), outbox.key_match(text, text, outbox.watches);
drop trigger forget_previous on outbox.history;
drop function outbox.watch(regclass, text, text[], boolean, boolean),
  outbox.is_watched(regclass, text, text[], boolean, boolean), outbox.forget_previous(), outbox.prune_history(interval, int);
create or replace function outbox.watch_source(w outbox.watches) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select case when w.per_row then outbox.row_source(w.kind, w.rel, w.key_columns) else outbox.statement_source(w.kind, w.rel, w.key_columns) end
$$;
create or replace function outbox.set_function(w outbox.watches) returns void
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
create or replace function outbox.watch_refusal(w outbox.watches) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select string_agg(p.problem, '; ') from (
    select format('%s cannot be watched: %s', m, outbox.table_problem(m)) from unnest(w.members) m where outbox.table_problem(m) is not null
    union all
    select format('%s is watched already, as kind %s: unwatch it', m, x.kind)
      from unnest(w.members) m, outbox.watches x where x.rel <> w.rel and m = any (x.members)
    union all
    select format('the key of %s: %s', w.rel, k) from outbox.key_problem(w.rel, w.key_columns) k where k is not null) p(problem)
$$;
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
revoke execute on function outbox.watch(regclass, text, text[], boolean) from public;
drop function outbox.history_source(outbox.watches), outbox.refuse_truncate(regclass), outbox.image(text, regclass), outbox.image_settings(), outbox.columns(regclass);
drop table outbox.previous, outbox.transactions, outbox.shapes;
alter table outbox.watches drop history;
-- +goose StatementEnd
