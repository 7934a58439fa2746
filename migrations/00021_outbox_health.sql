-- How the backends are, how they were, and what operators are told of.
-- +goose Up
-- +goose StatementBegin
create table outbox.health (
  backend text not null references outbox.backends on delete cascade,
  owner   text not null,
  at      timestamptz not null default clock_timestamp(),
  state   text not null check (state in ('healthy', 'degraded', 'failing', 'down', 'paused')),
  since   timestamptz not null,
  reason  text not null,
  details jsonb not null,
  primary key (backend, owner)
) with (fillfactor = 50);
comment on table outbox.health is 'how each process finds each backend; what is older than 90 seconds, or of a process that has ended, does not count';

create table outbox.samples (
  at              timestamptz not null,
  backend         text not null,
  lag_changes     float8,
  lag_seconds     float8,
  written         float8,
  refused         float8,
  requests        float8,
  failed          float8,
  retries         float8,
  p50_ms          float8,
  p99_ms          float8,
  log_bytes       float8,
  log_rows        float8,
  log_seconds     float8,
  disk_bytes      float8,
  primary key (backend, at)
);
comment on table  outbox.samples is 'how each backend was, a row about each minute, for two days; the log''s own rows have an empty backend';
comment on column outbox.samples.written is 'records a minute, as the columns after it';
comment on column outbox.samples.log_seconds is 'since the oldest row of the log was written that some backend has not applied';
comment on column outbox.samples.disk_bytes is 'of the database; only where alerts.disk_bytes is set';

create table outbox.alerts (
  id          text primary key,
  rule        text not null,
  backend     text not null,
  kind        text not null,
  severity    text not null,
  summary     text not null,
  state       text not null check (state in ('pending', 'firing', 'resolved')),
  since       timestamptz not null,
  fired_at    timestamptz,
  seen_at     timestamptz not null,
  resolved_at timestamptz,
  told        text not null default '' check (told in ('', 'firing', 'resolved')),
  told_at     timestamptz
);
comment on table  outbox.alerts is 'conditions that operators are told of: one row for each rule, backend and kind';
comment on column outbox.alerts.state is 'pending: not for long enough yet; firing: it is, or was just now; resolved: it is over';
comment on column outbox.alerts.told is 'what the webhooks were last given';

create table outbox.lookout (
  one        boolean primary key default true check (one),
  looked_at  timestamptz not null default '-infinity',
  sampled_at timestamptz not null default '-infinity',
  next_sample timestamptz not null default '-infinity'
);
insert into outbox.lookout default values;
comment on table outbox.lookout is 'its one row is locked by the process that looks for alerts, and says when that was';
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
drop table outbox.lookout, outbox.alerts, outbox.samples, outbox.health;
-- +goose StatementEnd
