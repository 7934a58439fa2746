-- Reading a few rows of the log costs less: where nothing ran at the position its rows are not looked for, and whether a write
-- is late is only looked up where one asks to be reverted.
-- +goose Up
-- +goose StatementBegin
create or replace function outbox.delta(since pg_snapshot, target pg_snapshot, after_tx xid8, after_id bigint, most int, backend text)
returns setof outbox.log
language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  n bigint := 0;
begin
  if pg_snapshot_xmin($1) <> pg_snapshot_xmax($1) then
    return query
    select l.* from (select x from pg_snapshot_xip($1) x
                      where pg_visible_in_snapshot(x, coalesce($2, pg_current_snapshot())) and x >= $3 order by x) x
      cross join lateral (select * from outbox.log
                           where tx = x.x and id > case when x.x = $3 then $4 else 0 end
                             and (backend is null or backend = $6) order by tx, id limit $5) l
     order by l.tx, l.id limit $5;
    get diagnostics n = row_count;
  end if;
  return query
  select * from outbox.log
   where (tx, id) > (greatest($3, pg_snapshot_xmax($1)), case when $3 >= pg_snapshot_xmax($1) then $4 else 0 end)
     and tx < pg_snapshot_xmax(coalesce($2, pg_current_snapshot()))
     and pg_visible_in_snapshot(tx, coalesce($2, pg_current_snapshot())) and (backend is null or backend = $6)
   order by tx, id limit $5 - n;
end $$;

create function outbox.late(tx xid8, load text, at timestamptz) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return exists (select from outbox.reversals r
                  where r.what = 'load' and r.id = late.load and late.at < r.until and coalesce(not pg_visible_in_snapshot(late.tx, r.seen), true));
end $$;
comment on function outbox.late(xid8, text, timestamptz) is 'worker: a record of the load was refused, and nobody knew of the transaction then';
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
drop function outbox.late(xid8, text, timestamptz);

create or replace function outbox.delta(since pg_snapshot, target pg_snapshot, after_tx xid8, after_id bigint, most int, backend text)
returns setof outbox.log
language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
  return query
  (select l.* from (select x from pg_snapshot_xip($1) x
                     where pg_visible_in_snapshot(x, coalesce($2, pg_current_snapshot())) and x >= $3 order by x) x
    cross join lateral (select * from outbox.log
                         where tx = x.x and id > case when x.x = $3 then $4 else 0 end
                           and (backend is null or backend = $6) order by tx, id limit $5) l
    order by l.tx, l.id limit $5)
  union all
  (select * from outbox.log
    where (tx, id) > (greatest($3, pg_snapshot_xmax($1)), case when $3 >= pg_snapshot_xmax($1) then $4 else 0 end)
      and tx < pg_snapshot_xmax(coalesce($2, pg_current_snapshot()))
      and pg_visible_in_snapshot(tx, coalesce($2, pg_current_snapshot())) and (backend is null or backend = $6)
    order by tx, id limit $5)
  order by tx, id limit $5;
end $$;
-- +goose StatementEnd
