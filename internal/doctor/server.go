package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// server looks at PostgreSQL's version: 13 is the oldest that has what the log needs, 18 the newest that was tried.
func server(ctx context.Context, p *patient) ([]Finding, error) {
	var number int
	var text string
	if err := p.pool.QueryRow(ctx, `select current_setting('server_version_num')::int, current_setting('server_version')`).Scan(&number, &text); err != nil {
		return nil, err
	}
	return judgeVersion(number, text), nil
}

func judgeVersion(number int, text string) []Finding {
	switch major := number / 10_000; {
	case major < 13:
		return one(Problem, "upgrade to 13 or newer", "PostgreSQL %s lacks what the log needs", text)
	case major > 18:
		return one(Warning, "look for a newer Outflow", "PostgreSQL %s is newer than what this version was tested with", text)
	default:
		return one(Note, "", "PostgreSQL %s", text)
	}
}

// wrongSettings are settings that take away what the log promises, or hold it back: each condition says when.
const wrongSettings = `
select name, setting, level, advice from pg_settings join (values
  ('fsync', 'off', 'problem', 'a crash of the machine may lose the database: turn it on'),
  ('full_page_writes', 'off', 'warning', 'a crash of the machine may damage the database, unless the disk writes pages whole: turn it on'),
  ('autovacuum', 'off', 'problem', 'the log and the positions bloat: turn it on'),
  ('default_transaction_read_only', 'on', 'problem', 'workers cannot save positions: turn it off for their role'),
  ('session_replication_role', 'replica', 'problem', 'other triggers than those of watches do not fire: set it to origin'),
  ('synchronous_commit', 'off', 'note', 'a crash of the server may lose the last commits, and their changes with them; positions never run ahead of what is on disk')
) w (name, bad, level, advice) using (name) where setting = bad
union all
select name, setting || coalesce(' ' || unit, ''), 'warning', 'pages and verifies are cut off in the middle: raise it for the workers'' role to 10 minutes or more, or to 0'
  from pg_settings where name in ('statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout') and setting::bigint between 1 and 59999
union all
select name, setting, 'warning', 'snapshots of long reads become invalid: set it to -1' from pg_settings where name = 'old_snapshot_threshold' and setting <> '-1'`

// settings looks at what is set for this database and role.
func settings(ctx context.Context, p *patient) ([]Finding, error) {
	rows, err := p.pool.Query(ctx, wrongSettings+` order by 1`)
	if err != nil {
		return nil, err
	}
	var list []Finding
	var name, value, advice string
	var level Level
	_, err = pgx.ForEachRow(rows, []any{&name, &value, &level, &advice}, func() error {
		list = append(list, Finding{Level: level, Text: fmt.Sprintf("%s is %s", name, value), Advice: advice})
		return nil
	})
	return list, err
}

// clockMost is how far the clocks of a worker and of PostgreSQL may differ. Leases are safe whatever they say; spans
// that are shown are not right.
const clockMost = 5 * time.Second

// clock compares this machine's clock with PostgreSQL's.
func clock(ctx context.Context, p *patient) ([]Finding, error) {
	var there time.Time
	before := time.Now()
	if err := p.pool.QueryRow(ctx, `select clock_timestamp()`).Scan(&there); err != nil {
		return nil, err
	}
	return judgeClock(before, there, time.Now()), nil
}

// judgeClock takes the time there between two times here.
func judgeClock(before, there, after time.Time) []Finding {
	ahead := max(before.Sub(there), there.Sub(after))
	if ahead > clockMost {
		return one(Warning, "let both follow the same time server", "the clocks of this machine and of PostgreSQL differ by %s or more", ahead.Round(time.Second))
	}
	return nil
}

// history looks whether positions mean something in this database.
func history(ctx context.Context, p *patient) ([]Finding, error) {
	var trouble string
	if err := p.pool.QueryRow(ctx, `select coalesce(outbox.trouble(), '')`).Scan(&trouble); err != nil {
		return nil, err
	}
	switch trouble {
	case "":
		return nil, nil
	case "standby":
		return one(Problem, "connect to the primary", "this server is a standby"), nil
	default:
		return one(Warning, "start a worker: it takes the positions over and queues a verify with repair; in a copy that must not feed the same stores set worker.refuse_copy instead",
			"the database has a new history (%s)", trouble), nil
	}
}

// connections looks whether workers find enough connections.
func connections(ctx context.Context, p *patient) ([]Finding, error) {
	var most, reserved, used int
	if err := p.pool.QueryRow(ctx, `
select current_setting('max_connections')::int, current_setting('superuser_reserved_connections')::int, (select count(*) from pg_stat_activity where backend_type = 'client backend')`).
		Scan(&most, &reserved, &used); err != nil {
		return nil, err
	}
	need := int(p.pool.Config().MaxConns)
	if free := most - reserved - used; free < need {
		return one(Warning, "raise max_connections, or lower pool_max_conns in the URL of the database",
			"%d of %d connections are free, and a worker with this configuration may use %d", max(free, 0), most, need), nil
	}
	return nil, nil
}
