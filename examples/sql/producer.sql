-- A producer in plain SQL: what any language with a PostgreSQL driver can do, with any client, as a role that has
-- outbox.grant_writer and rights on its own tables. Run it with psql -f, once outflow has been migrated and set up.

-- 1. A table of one's own that is watched: nothing is to be done but to write it.
begin;
set local outbox.headers = '{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}'; -- optional: the trace it belongs to
insert into shop.orders (id, title) values (1, 'red shoes'), (2, 'blue shoes');
update shop.orders set title = 'green shoes' where id = 2;
commit;

-- 2. No table of one's own: the ready-made one. A new kind is declared by its first record.
begin;
insert into outbox.records (kind, key, body) values ('note', '1', '{"text": "hello"}'), ('note', '2', '{"text": "again"}')
  on conflict (kind, key) do update set body = excluded.body;
delete from outbox.records where kind = 'note' and key = '2';
commit;

-- 3. Something changed that no table of one's own shows: say so.
begin;
select outbox.changed('order', array['1', '2']);
select outbox.token() as token; -- for others to wait for: select outbox.reached('TOKEN', 'BACKEND')
commit;
