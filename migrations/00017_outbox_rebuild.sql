-- A target's generations: a rebuild fills a new one beside the one that readers see.
-- +goose Up
-- +goose StatementBegin
alter table outbox.projections
  add generation  int not null default 1,
  add generations int not null default 1,
  add query       text,
  add settings    text,
  add building    int,
  add phase       text check (phase in ('logged', 'filling', 'finishing', 'verifying', 'ready', 'switching')),
  add next_digest text,
  add next_query  text,
  add next_settings text,
  add passing     pg_snapshot,
  add passing_at  timestamptz,
  add note        text,
  add dropping    int,
  add rebuilder   text,
  add rebuilder_until timestamptz,
  add check ((building is null) = (phase is null) and (building is null) = (next_digest is null)
         and (building is null) = (next_query is null) and (building is null) = (next_settings is null)),
  add check ((rebuilder is null) = (rebuilder_until is null) and (passing is null) = (passing_at is null));
comment on column outbox.projections.generation is 'the generation of the target that readers see';
comment on column outbox.projections.generations is 'how many generations of the target there have been: none is named twice';
comment on column outbox.projections.query is 'what digest identifies, so that this generation can be kept up while another definition fills the next; null: recorded by an older version';
comment on column outbox.projections.settings is 'as query: a JSON object';
comment on column outbox.projections.building is 'the generation that is being filled; null: none is';
comment on column outbox.projections.phase is 'how far that is; switching: nobody writes the generation that readers see any more';
comment on column outbox.projections.next_digest is 'what the generation that is being filled is filled with, as its query and settings';
comment on column outbox.projections.passing is 'what the backend must have applied before the next phase';
comment on column outbox.projections.note is 'what the rebuild waits for; null: nothing';
comment on column outbox.projections.dropping is 'a generation that is to be removed from the store';
comment on column outbox.projections.rebuilder is 'the job that sees to the rebuild, until its time is over';
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
alter table outbox.projections drop generation, drop generations, drop query, drop settings, drop building, drop phase, drop next_digest,
  drop next_query, drop next_settings, drop passing, drop passing_at, drop note, drop dropping, drop rebuilder, drop rebuilder_until;
-- +goose StatementEnd
