-- River's table of jobs is small and busy: left to the defaults, dead rows pile up and slow every fetch.
-- +goose Up
alter table river.river_job set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

-- +goose Down
alter table river.river_job reset (autovacuum_vacuum_scale_factor, autovacuum_vacuum_cost_delay);
