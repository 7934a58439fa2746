-- What triggers cannot see: found by looking, and, where event triggers are allowed, mended at once.
-- +goose Up
-- +goose StatementBegin
create function outbox.watch_problems() returns table (rel regclass, kind text, problem text, advice text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  w outbox.watches;
begin
  for w in select * from outbox.watches x order by x.kind loop
    if not exists (select from pg_class c where c.oid = w.rel) then
      return query select w.rel, w.kind, 'the table was dropped', format('select outbox.unwatch(%s)', w.rel::oid);
      continue;
    end if;
    return query
      select w.rel, w.kind, d, format('select outbox.watch(%L)', w.rel) from outbox.watch_drift(w) d
      union all
      select w.rel, w.kind, format('%s: %s', m, outbox.table_problem(m)), format('change that, then select outbox.watch(%L)', w.rel)
        from unnest(w.members) m where outbox.table_problem(m) is not null and exists (select from pg_class c where c.oid = m)
      union all
      select w.rel, w.kind, 'it is a partition or child of another table: writes through that do not fire its triggers',
             format('select outbox.unwatch(%L), outbox.watch(%L)', w.rel, i.inhparent::regclass)
        from pg_inherits i where i.inhrelid = w.rel
      union all
      select w.rel, w.kind, format('%s is the target of a subscription, which fires row triggers only', m), format('select outbox.watch(%L, per_row => true)', w.rel)
        from unnest(w.members) m where not w.per_row and exists (select from pg_subscription_rel s where s.srrelid = m);
  end loop;
  return query
    select 'outbox.records'::regclass, null::text, format('trigger %s is not enabled ALWAYS', v.name),
           format('alter table outbox.records enable always trigger %s; select outbox.changed_all(kind) from outbox.kinds where records', v.name)
      from (values ('outbox_insert'), ('outbox_delete'), ('outbox_update'), ('outbox_truncate')) v(name)
     where not exists (select from pg_trigger t where t.tgrelid = 'outbox.records'::regclass and t.tgname = v.name and t.tgenabled = 'A');
end $$;
comment on function outbox.watch_problems() is 'internal: problems of watches that do not depend on who asks';

-- With the rights of the caller: a reader asks whether it sees all that it has to.
create function outbox.check_watches() returns table (rel regclass, kind text, problem text, advice text)
language sql volatile as $$
  select * from outbox.watch_problems()
  union all
  select w.rel, w.kind, pg_catalog.format('row-level security hides rows of %s from %I', m, current_user),
         pg_catalog.format('alter role %I bypassrls', current_user)
    from outbox.watches w, unnest(w.members) m where pg_catalog.row_security_active(m::oid)
  union all
  select w.rel, k.kind, 'its list query fails: ' || q, case when w.rel is null then pg_catalog.format('select outbox.drop_kind(%L)', k.kind) else pg_catalog.format('select outbox.watch(%L)', w.rel) end
    from outbox.kinds k left join outbox.watches w on w.kind = k.kind, outbox.check_query(k.list, false) q
   where q is not null and (w.rel is null or exists (select from pg_catalog.pg_class c where c.oid = w.rel))
  union all
  select w.rel, d.kind, pg_catalog.format('the query for dependant %s fails: %s', d.dependant, q), 'call outbox.depend again'
    from outbox.dependants d left join outbox.watches w on w.kind = d.kind, outbox.check_query(d.query, true) q where q is not null
$$;
comment on function outbox.check_watches() is 'what the watches miss, or will miss, and what to do about it; no rows: nothing';

-- DDL changes content without firing triggers. After it, watches are refreshed, which logs what they missed. This
-- never fails the statement that it follows: then check_watches reports what it left behind.
create function outbox.on_ddl() returns event_trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  touched oid[];
  w outbox.watches;
begin
  if current_setting('outbox.refreshing', true) = 'on' then
    return;
  elsif tg_event = 'table_rewrite' then
    perform outbox.log_all(x.kind) from outbox.watches x
      where pg_event_trigger_table_rewrite_oid() = any (x.members::oid[])
        and pg_event_trigger_table_rewrite_reason() & 6 <> 0; -- a default or a column, not where or how it is stored
    return;
  elsif tg_event = 'sql_drop' then
    touched := array(select d.objid from pg_event_trigger_dropped_objects() d);
  else
    touched := array(select d.objid from pg_event_trigger_ddl_commands() d);
  end if;
  for w in select x.* from outbox.watches x
            where exists (select from pg_class c where c.oid = x.rel)
              and (x.members::oid[] && touched
                or exists (select from pg_inherits i where i.inhparent = any (x.members::oid[]) and i.inhrelid = any (touched))
                or exists (select from pg_attribute a where a.attrelid = x.rel and a.atttypid = any (touched))) loop
    -- Who disables a trigger shall have it disabled. Enabling it again is what makes up for it.
    if exists (select from outbox.watch_drift(w)) and not exists (
      select from unnest(w.members) m, outbox.trigger_problems(m, w.kind, w.per_row) p where p.problem = 'is disabled') then
      perform outbox.refresh_watch(w.rel, true);
    end if;
  end loop;
exception when others then
  raise warning 'outbox: a watch could not follow this statement: %', sqlerrm using hint = 'select * from outbox.check_watches()';
end $$;
comment on function outbox.on_ddl() is 'internal: refreshes watches after DDL';
revoke execute on function outbox.on_ddl() from public;

do $$
begin
  create event trigger outbox_ddl on ddl_command_end when tag in ('ALTER TABLE', 'CREATE TABLE', 'CREATE SCHEMA', 'ALTER TYPE') execute function outbox.on_ddl();
  create event trigger outbox_drop on sql_drop execute function outbox.on_ddl();
  create event trigger outbox_rewrite on table_rewrite execute function outbox.on_ddl();
  alter event trigger outbox_ddl enable always;
  alter event trigger outbox_drop enable always;
  alter event trigger outbox_rewrite enable always;
exception when insufficient_privilege then
  raise notice 'outbox: event triggers need a superuser. Without them, call outbox.watch again after DDL on a watched table; outbox.check_watches() reports what is due';
end $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
drop event trigger if exists outbox_rewrite;
drop event trigger if exists outbox_drop;
drop event trigger if exists outbox_ddl;
drop function outbox.on_ddl(), outbox.check_watches(), outbox.watch_problems();
-- +goose StatementEnd
