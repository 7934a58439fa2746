-- What verifies found last, and how far a scheduled one is.
-- +goose Up
-- +goose StatementBegin
create table outbox.verified (
  backend text not null references outbox.backends (name) on delete cascade,
  kind text not null,
  target text not null,
  at timestamptz not null default clock_timestamp(),
  took interval not null,
  started_by text not null check (started_by in ('command', 'job', 'schedule')),
  deep boolean not null,
  repair boolean not null,
  report jsonb not null,
  primary key (backend, kind, target)
);
comment on table outbox.verified is 'what the last verify of each target found';
comment on column outbox.verified.took is 'of a scheduled verify: the time that it worked';
comment on column outbox.verified.report is 'as `outflow verify --json` tells it';

create table outbox.verifying (
  backend text primary key references outbox.backends (name) on delete cascade,
  began timestamptz not null,
  ended timestamptz,
  state jsonb not null default '{}'
);
comment on table outbox.verifying is 'the last scheduled verify of each backend, and how far it is: another window goes on from there';
comment on column outbox.verifying.ended is 'null: it has targets left, or was cancelled';
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
drop table outbox.verifying, outbox.verified;
-- +goose StatementEnd
