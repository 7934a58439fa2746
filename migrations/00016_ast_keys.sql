-- Loads of source code are logged for less: bounded columns of keys spare a watch the test of each key's length, and
-- lists of keys are compressed by LZ4 where this PostgreSQL has it.
-- +goose Up
-- +goose StatementBegin
alter table ast.relations alter column type type varchar(63);
alter table ast.embeddings alter column model type varchar(200);
do $$
begin
  if current_setting('server_version_num')::int >= 140000
     and exists (select from pg_settings where name = 'default_toast_compression' and 'lz4' = any (enumvals)) then
    execute 'alter table outbox.log alter column keys set compression lz4';
  end if;
end $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
do $$
begin
  if current_setting('server_version_num')::int >= 140000 then
    execute 'alter table outbox.log alter column keys set compression default';
  end if;
end $$;
alter table ast.embeddings alter column model type text;
alter table ast.relations alter column type type text;
-- +goose StatementEnd
