-- Who wrote a row of the log, and which pages applied it.
-- +goose Up
-- +goose StatementBegin
-- Rows that are there have neither: the table is not rewritten. The login does not change inside of triggers, whose
-- functions have the rights of another role.
alter table outbox.log add who text, add app text;
alter table outbox.log alter who set default session_user, alter app set default current_setting('application_name', true);
comment on column outbox.log.who is 'who was logged in; null: written before this was kept';
comment on column outbox.log.app is 'the application_name of the session';

-- One row per save of a position that something was applied for: at most five a second per lane, whatever the number of
-- records. A row of the log was applied by the save whose position covers it and whose position before does not.
create table outbox.pages (
  id       bigint generated always as identity primary key,
  backend  text not null,
  lane     int not null,
  lo       bigint not null,
  hi       bigint not null,
  owner    text not null,
  epoch    bigint not null,
  since    pg_snapshot not null,
  since_target pg_snapshot,
  since_tx xid8,
  since_id bigint,
  position pg_snapshot not null,
  target   pg_snapshot,
  after_tx xid8,
  after_id bigint,
  pages    int not null,
  rows     bigint not null,
  version_from bigint,
  version_to   bigint,
  written  bigint not null,
  deleted  bigint not null,
  stale    bigint not null,
  parked   bigint not null,
  gone     int[] not null default '{}',
  refused  jsonb not null default '[]',
  saved_at timestamptz not null default clock_timestamp()
);
create index pages_saved on outbox.pages (backend, saved_at);
comment on table  outbox.pages is 'what was applied between two saves of a lane''s position; kept as long as the audit is';
comment on column outbox.pages.lo is 'the lane had the keys with hashes from lo up to, and without, hi';
comment on column outbox.pages.since is 'the position before, with since_target, since_tx and since_id as in outbox.lanes';
comment on column outbox.pages.rows is 'rows of the log that were read for it';
comment on column outbox.pages.version_from is 'the lowest version that its records were written with; null: none was';
comment on column outbox.pages.stale is 'records of which the store had a newer version';
comment on column outbox.pages.gone is 'hashes of keys that were deleted, unless there were more than it holds: then deleted is greater';
comment on column outbox.pages.refused is 'records that were parked, the first of them: kind, target, key, class, error';

create function outbox.acknowledged(tx xid8, id bigint, hash bigint, p outbox.pages) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select $3 >= ($4).lo and $3 < ($4).hi
     and (pg_visible_in_snapshot($1, ($4).position)
          or ($4).target is not null and pg_visible_in_snapshot($1, ($4).target) and row($1, $2) <= row(($4).after_tx, ($4).after_id))
     and not (pg_visible_in_snapshot($1, ($4).since)
              or ($4).since_target is not null and pg_visible_in_snapshot($1, ($4).since_target) and row($1, $2) <= row(($4).since_tx, ($4).since_id))
$$;
comment on function outbox.acknowledged(xid8, bigint, bigint, outbox.pages) is
  'worker: this save is the one that the row of the log was applied before, as far as it concerns a key with the hash';

create function outbox.prune_audit(retention interval, most int) returns bigint
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

revoke execute on function outbox.acknowledged(xid8, bigint, bigint, outbox.pages), outbox.prune_audit(interval, int) from public;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
drop function outbox.prune_audit(interval, int), outbox.acknowledged(xid8, bigint, bigint, outbox.pages);
drop table outbox.pages;
alter table outbox.log drop who, drop app;
-- +goose StatementEnd
