-- What operators and the engine did to backends and records, and why.
-- +goose Up
-- +goose StatementBegin
create table outbox.events (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  what text not null check (what <> ''),
  who text not null check (who <> ''),
  backend text,
  kind text,
  key text,
  reason text not null default '',
  details jsonb not null default '{}'
);
create index events_at on outbox.events (at);
create index events_key on outbox.events (kind, key) where key is not null;
comment on table outbox.events is 'what operators and the engine did to backends and records, and why; kept as long as the audit is';
comment on column outbox.events.what is 'a verb in the past tense, such as paused, resumed, dropped';
comment on column outbox.events.who is 'engine, or who is logged in to the database';

-- The rights of workers, by rule: a new table of the schema is theirs to write unless it says what the truth is, and a
-- function is theirs to call when its comment says so.
create or replace function outbox.grant_worker(role regrole) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  account regclass := to_regclass('public.goose_db_version');
  only_read regclass[] := '{outbox.kinds, outbox.dependants, outbox.watches, outbox.records, outbox.lag}';
  one text;
begin
  execute format('grant usage on schema outbox, river to %s', role);
  for one in select c.oid::regclass from pg_class c where c.relnamespace = 'outbox'::regnamespace and c.relkind in ('r', 'p') and c.oid <> all (only_read) loop
    execute format('grant select, insert, update, delete on %s to %s', one, role);
  end loop;
  foreach one in array only_read::text[] loop
    execute format('grant select on %s to %s', one, role);
  end loop;
  execute format('grant select, update on sequence outbox.idle to %s', role);
  for one in select p.oid::regprocedure from pg_proc p
              where p.pronamespace = 'outbox'::regnamespace
                and (p.proname = any ('{wake, rebase, is_watched, add_backend, watch, kind, depend, undepend}') or obj_description(p.oid, 'pg_proc') like 'worker: %') loop
    execute format('grant execute on function %s to %s', one, role);
  end loop;
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
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
drop table outbox.events;
create or replace function outbox.grant_worker(role regrole) returns void
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
-- +goose StatementEnd
