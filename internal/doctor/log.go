package doctor

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// watches looks for what triggers cannot see.
func watches(ctx context.Context, p *patient) ([]Finding, error) {
	rows, err := p.pool.Query(ctx, `select coalesce(rel::text, '?'), coalesce(kind, ''), problem, advice from outbox.check_watches()`)
	if err != nil {
		return nil, err
	}
	var list []Finding
	var rel, kind, problem, advice string
	_, err = pgx.ForEachRow(rows, []any{&rel, &kind, &problem, &advice}, func() error {
		list = append(list, Finding{Level: Problem, Text: fmt.Sprintf("%s (kind %s): %s", rel, kind, problem), Advice: advice})
		return nil
	})
	return list, err
}

// holders are what keeps dead rows from being removed: transactions, prepared ones, slots and standbys.
const holders = `
select 'transaction', format('process %s, %s, user %s', pid, coalesce(nullif(application_name, ''), 'no name'), usename), clock_timestamp() - xact_start,
       format('end it; else select pg_terminate_backend(%s)', pid)
  from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null
union all
select 'prepared transaction', format('%L', gid), clock_timestamp() - prepared, format('commit prepared %L, or roll it back', gid)
  from pg_prepared_xacts where database = current_database()
union all
select 'replication slot', slot_name, null, format('let its consumer go on; else select pg_drop_replication_slot(%L)', slot_name)
  from pg_replication_slots where not active and (xmin is not null or catalog_xmin is not null)`

// oldTransactions looks for what holds dead rows. A change of an open transaction waits for its commit, others do not.
func oldTransactions(ctx context.Context, p *patient) ([]Finding, error) {
	rows, err := p.pool.Query(ctx, `select h.what, h.which, h.age, h.advice from (`+holders+`) h (what, which, age, advice)
 where h.age is null or h.age > $1 order by h.age desc nulls last limit 10`, p.old)
	if err != nil {
		return nil, err
	}
	var list []Finding
	var what, which, advice string
	var age *time.Duration
	_, err = pgx.ForEachRow(rows, []any{&what, &which, &age, &advice}, func() error {
		text := fmt.Sprintf("a %s keeps dead rows: %s", what, which)
		if age != nil {
			text += fmt.Sprintf(", %s old", age.Round(time.Second))
		}
		list = append(list, Finding{Level: Warning, Text: text, Advice: advice})
		return nil
	})
	return list, err
}

// logSize tells how large the log is, and whether it is vacuumed.
func logSize(ctx context.Context, p *patient) ([]Finding, error) {
	var size string
	var live, dead int64
	var oldest *time.Time
	if err := p.pool.QueryRow(ctx, `
select pg_size_pretty(pg_total_relation_size('outbox.log')), coalesce(s.n_live_tup, 0), coalesce(s.n_dead_tup, 0), (select at from outbox.log order by tx, id limit 1)
  from (select) one left join pg_stat_user_tables s on s.relid = 'outbox.log'::regclass`).Scan(&size, &live, &dead, &oldest); err != nil {
		return nil, err
	}
	list := one(Note, "", "%s, about %d rows", size, live)
	if dead > 100_000 && dead > live {
		list = append(list, one(Warning, "look what keeps them (old transactions), then: vacuum outbox.log", "about %d dead rows have not been removed", dead)...)
	}
	// Pruning runs each minute; an hour more than the retention is a backend that holds it back, or no worker.
	if keep := cmp.Or(p.c.Settings.Retention, 7*24*time.Hour) + time.Hour; oldest != nil && time.Since(*oldest) > keep {
		list = append(list, one(Warning, "see which backend is behind: outflow status; one that does not come back must be removed",
			"rows are kept since %s, longer than the retention", oldest.UTC().Format(time.RFC3339))...)
	}
	return list, nil
}
