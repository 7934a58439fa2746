-- What tables and columns can be watched, and the source of the functions that watches generate.
-- +goose Up
-- +goose StatementBegin
create function outbox.members(rel regclass) returns regclass[]
language sql stable set search_path = pg_catalog, pg_temp as $$
  with recursive m(rel, depth) as (
    select $1, 0 union all select i.inhrelid::regclass, m.depth + 1 from pg_inherits i join m on i.inhparent = m.rel
  ), once as (select m.rel, min(m.depth) as depth from m group by m.rel)
  select array_agg(o.rel order by o.depth, o.rel::oid) from once o
$$;
comment on function outbox.members(regclass) is 'internal: the table, then its partitions and children, parents first';

create function outbox.base_type(inout type oid, inout typmod int)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  t pg_type;
begin
  loop
    select * into t from pg_type y where y.oid = type and y.typtype = 'd';
    exit when not found; -- also for a column that does not exist
    typmod := case when t.typtypmod = -1 then typmod else t.typtypmod end;
    type := t.typbasetype;
  end loop;
end $$;
comment on function outbox.base_type(oid, int) is 'internal: what a domain is made of';

-- A key's text must be the same whatever the settings, and must not change without a write. That holds for these
-- types, for domains over them, and for those that are stored as text (citext). It does not hold for times
-- (DateStyle, TimeZone), bytea (bytea_output), floats (extra_float_digits) and enums (a label can be renamed).
create function outbox.key_parts(rel regclass, columns text[])
returns table (place bigint, name text, problem text, type oid, bytes int)
language sql stable set search_path = pg_catalog, pg_temp as $$
  select u.place, u.name,
         case when a.attnum is null then format('column %I does not exist', u.name)
              when count(*) over (partition by u.name) > 1 then format('column %I is named twice', u.name)
              when not a.attnotnull then format('column %I can be null', u.name)
              when a.attgenerated = 'v' or b.type is null
                then format('column %I has type %s, whose text can differ without a write', u.name, format_type(a.atttypid, a.atttypmod))
         end,
         b.type,
         case b.type when 'int2'::regtype then 6 when 'int4'::regtype then 11 when 'int8'::regtype then 20 when 'oid'::regtype then 10
                     when 'bool'::regtype then 5 when 'uuid'::regtype then 36 when 'name'::regtype then 63 * 6
                     when 'numeric'::regtype then case when b.typmod >= 0 then ((b.typmod - 4) >> 16) + 1003 end
                     else case when b.typmod >= 0 then (b.typmod - 4) * 6 end end
    from unnest(columns) with ordinality u(name, place)
    left join pg_attribute a on a.attrelid = rel and a.attname = u.name and a.attnum > 0 and not a.attisdropped
    left join lateral (
      select t.type, t.typmod from outbox.base_type(a.atttypid, a.atttypmod) t
       where a.attnum is not null
         and (t.type in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'oid'::regtype, 'bool'::regtype, 'uuid'::regtype,
                         'name'::regtype, 'numeric'::regtype, 'text'::regtype, 'varchar'::regtype)
              or t.type = 'bpchar'::regtype and t.typmod >= 0
              or exists (select from pg_cast c where c.castsource = t.type and c.casttarget = 'text'::regtype and c.castmethod = 'b'))
    ) b on true
$$;
comment on function outbox.key_parts(regclass, text[]) is 'internal: the columns of a key, what is wrong with each, its base type, the most bytes its text can have';

create function outbox.key_problem(rel regclass, columns text[]) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select case
    when columns is null then 'it has no primary key: name key columns'
    when cardinality(columns) = 0 then 'no key columns are named'
    else coalesce((select string_agg(p.problem, '; ' order by p.place) from outbox.key_parts(rel, columns) p),
      case when not exists (
        select from pg_index i
         where i.indrelid = rel and i.indisunique and i.indisvalid and i.indpred is null
           and not exists (select from unnest(i.indkey::int2[]) with ordinality k(attnum, n)
                             left join pg_attribute a on a.attrelid = rel and a.attnum = k.attnum
                            where k.n <= i.indnkeyatts and (k.attnum = 0 or a.attname <> all (columns))))
      then format('its columns (%s) are not unique: a key stands for one record', array_to_string(columns, ', ')) end)
  end
$$;
comment on function outbox.key_problem(regclass, text[]) is 'internal: why the columns cannot be the key of the table';

create function outbox.primary_key(rel regclass) returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
  select array_agg(a.attname::text order by k.n)
    from pg_index i, unnest(i.indkey::int2[]) with ordinality k(attnum, n), pg_attribute a
   where i.indrelid = rel and i.indisprimary and k.n <= i.indnkeyatts and a.attrelid = rel and a.attnum = k.attnum
$$;
comment on function outbox.primary_key(regclass) is 'internal: the columns of the primary key; null: it has none';

create function outbox.table_problem(rel regclass) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select case
    when c.oid is null then 'there is no such table'
    when c.relkind in ('v', 'm') then 'it is a view: watch the tables behind it'
    when c.relkind = 'f' then 'it is a foreign table: its changes happen elsewhere'
    when c.relkind not in ('r', 'p') then 'it is no table'
    when c.relpersistence = 't' then 'it is a temporary table: readers cannot see it'
    when c.relpersistence = 'u' then 'it is unlogged: a crash empties it without a trace'
    when n.nspname in ('pg_catalog', 'information_schema', 'pg_toast', 'outbox') then 'it belongs to the system or to Outflow'
    when not pg_has_role(c.relowner, 'USAGE') then format('its owner is %I, not %I', pg_get_userbyid(c.relowner), current_user)
    end
    from (values ($1)) v(rel) left join pg_class c on c.oid = v.rel left join pg_namespace n on n.oid = c.relnamespace
$$;
comment on function outbox.table_problem(regclass) is 'internal: why the table cannot be watched by the current user';

create function outbox.shape(rel regclass) returns table (entry text, filled boolean)
language sql stable set search_path = pg_catalog, pg_temp as $$
  select format('column %I %s', a.attname, format_type(a.atttypid, a.atttypmod)), a.atthasdef or a.attidentity <> ''
    from pg_attribute a where a.attrelid = rel and a.attnum > 0 and not a.attisdropped
  union
  select format('label %s %L', format_type(e.enumtypid, null), e.enumlabel), false
    from pg_attribute a join pg_enum e on e.enumtypid = a.atttypid
   where a.attrelid = rel and a.attnum > 0 and not a.attisdropped
$$;
comment on function outbox.shape(regclass) is 'internal: the columns of the table; filled: adding it now gives old rows a value';

-- The generated function --------------------------------------------------------------------------

create function outbox.watch_function(kind text) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select format('outbox.%I', 'watch_' || case when length(kind) <= 57 then kind else left(kind, 24) || '_' || md5(kind) end)
$$;
comment on function outbox.watch_function(text) is 'internal: the name of the function that a kind''s triggers call';

create function outbox.key_text(alias text, rel regclass, columns text[]) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select case when count(*) = 1 then min(format('%s.%I::pg_catalog.text', alias, p.name))
         else format('pg_catalog.jsonb_build_array(%s)::pg_catalog.text',
                string_agg(format('%s.%I', alias, p.name) || case when p.type < 16384 then '' else '::pg_catalog.text' end, ', ' order by p.place)) end
    from outbox.key_parts(rel, columns) p
$$;
comment on function outbox.key_text(text, regclass, text[]) is 'internal: the expression of the key''s text';

-- The bound is tested only where a key can break it. It cannot where writes are not tested: in old rows.
create function outbox.key_guarded(rel regclass, columns text[]) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select sum(p.bytes + 4) is null or count(*) <> count(p.bytes) or sum(p.bytes + 4) > 2000
      or count(*) = 1 and bool_or(p.type not in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'oid'::regtype,
                                                 'bool'::regtype, 'uuid'::regtype, 'numeric'::regtype))
    from outbox.key_parts(rel, columns) p
$$;
comment on function outbox.key_guarded(regclass, text[]) is 'internal: a key can be empty or longer than 2000 bytes';

-- In the generated code every name is qualified: it does not depend on anybody's search_path.
create function outbox.log_query(kind text, key_query text) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select format($f$insert into outbox.log (kind, keys)
      select %L, pg_catalog.array_agg(p.key)
        from (select q.key, (pg_catalog.row_number() over () operator(pg_catalog.-) 1) operator(pg_catalog./) 500 as part
                from (%s) q) p
       group by p.part$f$, kind, key_query)
$$;
comment on function outbox.log_query(text, text) is 'internal: the statement that logs any number of keys, 500 in a row';

-- The form for each statement. One statement logs up to 500 keys, which is the cheapest form for one row. An update pairs old and new rows by their key's text, byte by byte, in a full
-- join: an inner join's plan, made for one row and kept, was a nested loop for any number. Rows are compared as images:
-- not every type has an "=".
create function outbox.statement_source(kind text, rel regclass, columns text[]) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  old_key text := outbox.key_text('o', rel, columns);
  new_key text := outbox.key_text('n', rel, columns);
  pairs text;
begin
  select string_agg(case when p.type in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'oid'::regtype, 'bool'::regtype, 'uuid'::regtype)
                      then format('o.%1$I operator(pg_catalog.=) n.%1$I', p.name)
                      else format('o.%1$I::pg_catalog.text operator(pg_catalog.=) n.%1$I::pg_catalog.text collate pg_catalog."C"', p.name) end,
                    ' and ' order by p.place)
    into pairs from outbox.key_parts(rel, columns) p;
  if outbox.key_guarded(rel, columns) then
    new_key := outbox.key_guard(kind, new_key);
  end if;
  return format($f$
begin
  if tg_op operator(pg_catalog.=) 'INSERT' then%1$s
  elsif tg_op operator(pg_catalog.=) 'DELETE' then%2$s
  elsif tg_op operator(pg_catalog.=) 'UPDATE' then%3$s
  else
    perform outbox.log_all(%4$L);
  end if;
  if found and pg_catalog.pg_sequence_last_value('outbox.idle') operator(pg_catalog.>) 0 then
    perform outbox.wake();
  end if;
  return null;
end $f$,
    outbox.log_source(kind, format('select %s as key from outbox_new n', new_key), 'outbox_new', 500),
    outbox.log_source(kind, format('select %s as key from outbox_old o', old_key), 'outbox_old', 500),
    outbox.log_source(kind, format('select case when n.%1$I is null then %2$s else %3$s end as key
              from outbox_old o full join outbox_new n on %4$s
             where o.%1$I is null or n.%1$I is null or o.* operator(pg_catalog.*<>) n.*', columns[1], old_key, new_key, pairs), 'outbox_new', 250),
    kind);
end $$;
comment on function outbox.statement_source(text, regclass, text[]) is 'internal: the source of a watch''s function, called for each statement';

create function outbox.log_source(kind text, key_query text, transition text, enough int) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select format($f$
    insert into outbox.log (kind, keys)
    select %1$L, s.keys
      from (select array(%2$s
             limit 501) as keys offset 0) s
     where pg_catalog.cardinality(s.keys) operator(pg_catalog.>) 0 and pg_catalog.cardinality(s.keys) operator(pg_catalog.<=) 500;
    if not found then -- none, or more than 500
      if exists (select from %3$s offset %4$s) then
      %5$s;
      end if;
    end if;$f$, kind, key_query, transition, enough, outbox.log_query(kind, key_query))
$$;
comment on function outbox.log_source(text, text, text, int) is 'internal: statements that log the keys of a query; so many rows of the transition table have at most 500';

create function outbox.key_guard(kind text, key text) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select format($f$case when pg_catalog.octet_length(%1$s) operator(pg_catalog.>) 0 and pg_catalog.octet_length(%1$s) operator(pg_catalog.<=) 2000 then %1$s else outbox.refuse_key(%2$L, %1$s) end$f$, key, kind)
$$;
comment on function outbox.key_guard(text, text) is 'internal: the expression of a key that can be empty or too long';

-- The form for each row: cheaper for one row, several times dearer for many, and the only one that logical
-- replication fires on the receiving side.
create function outbox.row_source(kind text, rel regclass, columns text[]) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  old_key text := outbox.key_text('old', rel, columns);
  new_key text := outbox.key_text('new', rel, columns);
  guarded text := case when outbox.key_guarded(rel, columns) then outbox.key_guard(kind, new_key) else new_key end;
begin
  return format($f$
begin
  if tg_op operator(pg_catalog.=) 'INSERT' then
    insert into outbox.log (kind, keys) values (%1$L, array[%4$s]);
  elsif tg_op operator(pg_catalog.=) 'DELETE' then
    insert into outbox.log (kind, keys) values (%1$L, array[%2$s]);
  elsif tg_op operator(pg_catalog.=) 'UPDATE' then
    if old operator(pg_catalog.*=) new then
      return null;
    elsif %2$s operator(pg_catalog.=) %3$s collate pg_catalog."C" then
      insert into outbox.log (kind, keys) values (%1$L, array[%4$s]);
    else
      insert into outbox.log (kind, keys) values (%1$L, array[%2$s, %4$s]);
    end if;
  else
    perform outbox.log_all(%1$L);
  end if;
  if pg_catalog.pg_sequence_last_value('outbox.idle') operator(pg_catalog.>) 0 then
    perform outbox.wake();
  end if;
  return null;
end $f$, kind, old_key, new_key, guarded);
end $$;
comment on function outbox.row_source(text, regclass, text[]) is 'internal: the source of a watch''s function, called for each row';

revoke execute on function outbox.members(regclass), outbox.base_type(oid, int), outbox.key_parts(regclass, text[]),
  outbox.key_problem(regclass, text[]), outbox.primary_key(regclass), outbox.table_problem(regclass), outbox.shape(regclass),
  outbox.watch_function(text), outbox.key_text(text, regclass, text[]), outbox.key_guarded(regclass, text[]),
  outbox.log_query(text, text), outbox.statement_source(text, regclass, text[]), outbox.log_source(text, text, text, int),
  outbox.key_guard(text, text), outbox.row_source(text, regclass, text[]) from public;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
drop function outbox.members(regclass), outbox.base_type(oid, int), outbox.key_parts(regclass, text[]),
  outbox.key_problem(regclass, text[]), outbox.primary_key(regclass), outbox.table_problem(regclass), outbox.shape(regclass),
  outbox.watch_function(text), outbox.key_text(text, regclass, text[]), outbox.key_guarded(regclass, text[]),
  outbox.log_query(text, text), outbox.statement_source(text, regclass, text[]), outbox.log_source(text, text, text, int),
  outbox.key_guard(text, text), outbox.row_source(text, regclass, text[]);
-- +goose StatementEnd
