-- Backends whose store cannot be reached pause by themselves, and resume by themselves.
-- +goose Up
-- +goose StatementBegin
alter table outbox.backends drop constraint backends_paused_by_check;
alter table outbox.backends add constraint backends_paused_by_check check (paused_by in ('operator', 'engine', 'breaker'));
comment on column outbox.backends.paused_by is 'operator: until somebody resumes it; engine: something must be mended; breaker: no process reaches the store';
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
update outbox.backends set paused = null, paused_by = null, paused_at = null where paused_by = 'breaker';
alter table outbox.backends drop constraint backends_paused_by_check;
alter table outbox.backends add constraint backends_paused_by_check check (paused_by in ('operator', 'engine'));
comment on column outbox.backends.paused_by is null;
-- +goose StatementEnd
