-- The ready-made model of source code: files, their symbols, the relations between them, embeddings.
-- Package ast loads it and documents how the ids are made.
-- +goose Up
-- +goose StatementBegin
create schema ast;
comment on schema ast is 'Outflow: the ready-made model of source code';

create table ast.files (
  id         uuid primary key,
  repository text not null,
  path       text not null,
  language   text not null default '',
  bytes      bigint not null default 0,
  lines      int not null default 0,
  content    text,
  unique (repository, path)
);
comment on table  ast.files is 'source files';
comment on column ast.files.id is 'UUIDv5 in the namespace UUIDv5(URL, ''https://github.com/outflow-db/outflow/ast'') of repository, NUL, path';
comment on column ast.files.content is 'the text, if it was loaded';

create table ast.symbols (
  id         uuid primary key,
  file_id    uuid not null references ast.files on delete cascade,
  kind       text not null,
  name       text not null,
  qualified  text not null,
  ordinal    int not null default 0,
  signature  text not null default '',
  doc        text not null default '',
  line_start int not null default 0,
  line_end   int not null default 0
);
comment on table  ast.symbols is 'what a file declares';
comment on column ast.symbols.id is 'UUIDv5 in the namespace file_id of kind, NUL, qualified and, unless it is 0, NUL, ordinal';
comment on column ast.symbols.kind is 'package, function, method, type, field, const, var or another word';
comment on column ast.symbols.ordinal is 'tells symbols of a file apart that share kind and qualified name: 0, 1, 2 ...';
comment on column ast.symbols.line_start is 'counted from 1; 0: not known';
create index symbols_file on ast.symbols (file_id);

-- Both ends are ids of files or symbols. A relation belongs to its source. Its target may be absent: the file
-- is not loaded, or not yet. A column of a key is bounded, as that spares a watch the test of each key's length.
create table ast.relations (
  source uuid not null,
  type   varchar(63) not null,
  target uuid not null,
  primary key (source, type, target)
);
comment on table  ast.relations is 'directed edges between files and symbols';
comment on column ast.relations.type is 'contains, calls, references, imports, embeds or another word';

create table ast.embeddings (
  symbol_id  uuid not null,
  model      varchar(200) not null,
  dimensions int not null check (dimensions = cardinality(vector)),
  vector     real[] not null,
  primary key (symbol_id, model)
);
-- Floats do not compress: a vector too long for its page is stored as it is.
alter table ast.embeddings alter column vector set storage external;
comment on table ast.embeddings is 'vectors of symbols, one for each model';

-- Not to be watched: every load touches it.
create table ast.loaded (
  file_id uuid primary key references ast.files on delete cascade,
  digest  bytea not null,
  load    text not null,
  at      timestamptz not null default now()
) with (fillfactor = 50);
comment on table  ast.loaded is 'for each file the load that had it last';
comment on column ast.loaded.digest is 'SHA-256 of all that the load said about the file: equal means there is nothing to do';

-- Relations and embeddings go with their file or symbol, and with a symbol what was noted about the load of its
-- file, so that the next load puts it back. Foreign keys would look up each of the two hundred rows of a file
-- besides, which is a third of the cost of a load.
-- Execute plans anew: a plan kept from one row would serve badly for all, and the other way round.
create function ast.follow() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  execute 'delete from ast.relations where source in (select id from gone)';
  if tg_table_name = 'symbols' then
    execute 'delete from ast.embeddings where symbol_id in (select id from gone)';
    execute 'delete from ast.loaded where file_id in (select file_id from gone)';
  end if;
  return null;
end $$;
create trigger follow after delete on ast.files referencing old table as gone for each statement execute function ast.follow();
create trigger follow after delete on ast.symbols referencing old table as gone for each statement execute function ast.follow();

create function ast.follow_truncate() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if tg_table_name = 'files' then
    truncate ast.relations;
    return null;
  end if;
  truncate ast.embeddings;
  delete from ast.loaded;
  delete from ast.relations r where not exists (select from ast.files f where f.id = r.source);
  return null;
end $$;
create trigger follow_truncate after truncate on ast.files for each statement execute function ast.follow_truncate();
create trigger follow_truncate after truncate on ast.symbols for each statement execute function ast.follow_truncate();

-- What identifies a row, and with it the id, stays: what others show of it needs no second look.
create function ast.keep_identity() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'ast: what identifies a row of % cannot change', tg_table_name
    using errcode = 'integrity_constraint_violation', hint = 'delete the row and insert another one';
end $$;
create trigger keep_identity before update of id, repository, path on ast.files for each row
  when ((old.id, old.repository, old.path) is distinct from (new.id, new.repository, new.path)) execute function ast.keep_identity();
create trigger keep_identity before update of id, file_id, kind, qualified, ordinal on ast.symbols for each row
  when ((old.id, old.file_id, old.kind, old.qualified, old.ordinal) is distinct from (new.id, new.file_id, new.kind, new.qualified, new.ordinal))
  execute function ast.keep_identity();
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
drop schema ast cascade;
-- +goose StatementEnd
