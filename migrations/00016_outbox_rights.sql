-- The rights of writers and workers.
-- +goose Up
-- +goose StatementBegin
-- Asking instead of doing: a worker may see that all is as configured without the right to change it.
create function outbox.is_watched(rel regclass, kind text, key_columns text[], per_row boolean) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select exists (select from outbox.watches w
                  where w.rel = $1 and w.kind = $2 and w.per_row = $4
                    and case when $3 = '{}' then w.by_primary_key else not w.by_primary_key and w.key_columns = $3 end
                    and not exists (select from outbox.watch_drift(w)))
$$;
comment on function outbox.is_watched(regclass, text, text[], boolean) is 'outbox.watch with these arguments would change nothing';

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
drop function outbox.grant_worker(regrole), outbox.grant_writer(regrole), outbox.is_watched(regclass, text, text[], boolean);
-- +goose StatementEnd
