-- What is parked, in groups of one reason, and when each group is tried again.
-- +goose Up
-- +goose StatementBegin
alter table outbox.parked
  add pattern  text not null default '',
  add group_id text not null generated always as (left(md5(backend || ' ' || kind || ' ' || class || ' ' || length(target)::text || ' ' || target || ' '
                 || case when pattern = '' then error else pattern end), 12)) stored;
create index parked_group on outbox.parked (backend, group_id, last_at);
comment on column outbox.parked.pattern is 'the error without what differs from record to record; empty: recorded by an older version';
comment on column outbox.parked.group_id is 'the same for all records of a kind that a target refuses for the same reason';

create table outbox.retries (
  backend  text not null references outbox.backends on delete cascade,
  group_id text not null,
  kind     text not null,
  target   text not null,
  class    text not null,
  pattern  text not null,
  tries    int not null default 0,
  next_at  timestamptz not null,
  round_at timestamptz,
  sent_at  timestamptz,
  token    xid8,
  keys     text[] not null default '{}',
  tried    int not null default 0,
  taken    int not null default 0,
  limited  boolean not null default false,
  primary key (backend, group_id),
  check ((token is null) = (sent_at is null))
);
comment on table  outbox.retries is 'when each group of parked records is tried again; a group that is empty has no row';
comment on column outbox.retries.tries is 'rounds in a row in which nothing was taken';
comment on column outbox.retries.round_at is 'when the round under way began; null: none is';
comment on column outbox.retries.token is 'the transaction that logged keys, whose records the backend has not applied or refused as far as is known; null: none is awaited';
comment on column outbox.retries.keys is 'what the round has sent last';
comment on column outbox.retries.tried is 'records of the round, as far as their answers are known';
comment on column outbox.retries.limited is 'the backend is paused because of this group';

alter table outbox.backends drop constraint backends_paused_by_check;
alter table outbox.backends add constraint backends_paused_by_check check (paused_by in ('operator', 'limit', 'engine', 'breaker'));
comment on column outbox.backends.paused_by is 'operator: until somebody resumes it; limit: it refuses masses of records; engine: something must be mended; breaker: no process reaches the store';
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
update outbox.backends set paused_by = 'engine' where paused_by = 'limit';
alter table outbox.backends drop constraint backends_paused_by_check;
alter table outbox.backends add constraint backends_paused_by_check check (paused_by in ('operator', 'engine', 'breaker'));
comment on column outbox.backends.paused_by is 'operator: until somebody resumes it; engine: something must be mended; breaker: no process reaches the store';
drop table outbox.retries;
drop index outbox.parked_group;
alter table outbox.parked drop group_id, drop pattern;
-- +goose StatementEnd
