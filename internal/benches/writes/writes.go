// Package writes measures what a watch costs those who write: beside tables without one, with an outbox of payloads,
// and with a job of River for each row.
package writes

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/internal/benches/lab"
)

// contender is a table of its own and what happens when it is written.
type contender struct{ name, table, setup string }

// The names of contenders that others are compared with, or that have goals.
const (
	unwatched = "unwatched"
	watched   = "watched"
	perRow    = "watched for each row"
	payload   = "payload row for each row, row trigger"
)

var contenders = []contender{
	{unwatched, "plain", ``},
	{watched, "watched", `select outbox.watch('bench.watched')`},
	{perRow, "per_row", `select outbox.watch('bench.per_row', per_row => true)`},
	{payload, "payload_row", `
create function bench.payload_row() returns trigger language plpgsql as $$ begin
  if tg_op = 'UPDATE' and old is not distinct from new then return null; end if;
  insert into bench.payload (kind, key, op, payload) values ('r', new.id::text, tg_op, to_jsonb(new));
  return null;
end $$;
create trigger payload after insert or update on bench.payload_row for each row execute function bench.payload_row()`},
	{"payload row for each row, statement trigger", "payload_statement", `
create function bench.payload_statement() returns trigger language plpgsql as $$ begin
  insert into bench.payload (kind, key, op, payload) select 'r', n.id::text, tg_op, to_jsonb(n) from new_rows n;
  return null;
end $$;
create trigger payload after insert on bench.payload_statement referencing new table as new_rows
  for each statement execute function bench.payload_statement()`},
	{"River job for each row, statement trigger", "river_job", `
create function bench.river_job() returns trigger language plpgsql as $$ begin
  insert into river.river_job (kind, max_attempts, args, priority, queue, state, scheduled_at, metadata, tags)
  select 'index', 25, jsonb_build_object('kind', 'r', 'id', n.id), 1, 'default', 'available', now(), '{}', '{}' from new_rows n;
  return null;
end $$;
create trigger job after insert on bench.river_job referencing new table as new_rows
  for each statement execute function bench.river_job()`},
}

const schema = `
create schema bench;
create table bench.payload (id bigint generated always as identity primary key, kind text, key text, op text, at timestamptz default now(), payload jsonb)`

// light is a table with ten columns and small rows.
const light = `create table bench.%s (id bigint primary key, a int, b int, c bigint, d text, e text, f text, g timestamptz, h numeric, i boolean);
%s`

var columns = []string{"id", "a", "b", "c", "d", "e", "f", "g", "h", "i"}

// row is a light row.
func row(id int64) []any {
	return []any{
		id, int32(id % 1000), int32(7), id * 7, "some text value " + strconv.FormatInt(id, 10), "another column with text",
		"path/to/some/file/" + strconv.FormatInt(id%977, 10) + ".go", time.Unix(1_700_000_000+id, 0), float64(id) / 8, id%2 == 0,
	}
}

// clean empties all tables, the log and the outboxes, and lets what that left behind come to rest.
const clean = `truncate bench.payload, outbox.log, river.river_job, bench.plain, bench.watched, bench.per_row, bench.payload_row, bench.payload_statement, bench.river_job`

// Run measures.
func Run(ctx context.Context, l *lab.Lab) ([]lab.Row, error) {
	pool, err := l.Database(ctx, "writes", clients+1)
	if err != nil {
		return nil, err
	}
	if _, err := pool.Exec(ctx, schema); err != nil {
		return nil, fmt.Errorf("preparing the tables: %w", err)
	}
	for _, c := range contenders {
		if _, err := pool.Exec(ctx, fmt.Sprintf(light, c.table, c.setup), pgx.QueryExecModeSimpleProtocol); err != nil {
			return nil, fmt.Errorf("preparing %s: %w", c.name, err)
		}
	}
	rows, err := bulk(ctx, l, pool)
	if err != nil {
		return nil, err
	}
	for _, durable := range []bool{true, false} {
		more, err := single(ctx, l, pool, durable)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// results are the rounds of each contender, by name.
type results map[string][]float64

func (r results) add(name string, value float64) { r[name] = append(r[name], value) }

// against are the rounds' ratios of one contender to another.
func (r results) against(of, to string) []float64 { return lab.Ratios(r[of], r[to]) }

// cpu is the processor time that a backend has used. It needs /proc, which knows it to the nanosecond.
func cpu(pid uint32) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	if err != nil {
		return 0, fmt.Errorf("reading processor time: %w", err)
	}
	first, _, _ := bytes.Cut(text, []byte(" "))
	ns, err := strconv.ParseInt(string(first), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading processor time: %w", err)
	}
	return time.Duration(ns), nil
}

// begin empties everything for a new round.
func begin(ctx context.Context, l *lab.Lab, pool *pgxpool.Pool) error {
	if _, err := pool.Exec(ctx, clean); err != nil {
		return fmt.Errorf("emptying the tables: %w", err)
	}
	return l.Calm(ctx)
}
