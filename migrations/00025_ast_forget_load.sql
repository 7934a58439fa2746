-- A load that was reverted is looked at again.
-- +goose Up
-- +goose StatementBegin
-- The digests of what a load had say nothing any more once it, or its reversal, was reverted: the next load looks again.
create function ast.forget_load() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  delete from ast.loaded l where l.load = new.headers->>'load';
  return null;
end $$;
create trigger forget_load after update of reverted_by on outbox.transactions
  for each row when (old.reverted_by is distinct from new.reverted_by and new.headers ? 'load') execute function ast.forget_load();
revoke execute on function ast.forget_load() from public;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
drop trigger forget_load on outbox.transactions;
drop function ast.forget_load();
-- +goose StatementEnd
