package outage

import (
	"context"
	"fmt"
	"time"

	"github.com/outflow-db/outflow/internal/benches/lab"
)

// sizes are of PostgreSQL, in bytes, and what the load has done.
type sizes struct {
	log, database int64
	changes       int64
	took          time.Duration
	at            time.Time
}

func (b *bench) sizes(ctx context.Context) (s sizes, err error) {
	s.at, s.changes = time.Now(), b.load.changes.Load()
	// A partition of the log is a table of its own.
	err = b.pool.QueryRow(ctx, `
select (select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = 'outbox' and c.relname like 'log%' and c.relkind = 'r'),
       pg_database_size(current_database())`).Scan(&s.log, &s.database)
	if err != nil {
		return s, fmt.Errorf("reading sizes: %w", err)
	}
	return s, nil
}

func (s sizes) minus(t sizes) sizes {
	return sizes{log: s.log - t.log, database: s.database - t.database, changes: s.changes - t.changes, took: s.at.Sub(t.at)}
}

// rows reports what was found.
func (b *bench) rows(f found) ([]lab.Row, error) {
	ratio := func(q float64) float64 { return b.probes.millis(oneDown, q) / b.probes.millis(bothUp, q) }
	perChange := func(bytes int64, s sizes) float64 { return float64(bytes) / float64(s.changes) }
	const mb = 1 << 20
	return []lab.Row{
		lab.AtMost("outage: the other store, commit to readable while one is down, against both up, p50", ratio(0.5), "x", 1.1),
		lab.AtMost("outage: the other store, commit to readable while one is down, against both up, p99", ratio(0.99), "x", 1.2),
		lab.Fact("outage: the other store, commit to readable while one is down, p50", b.probes.millis(oneDown, 0.5), "ms"),
		lab.Fact("outage: the other store, commit to readable while one is down, p99", b.probes.millis(oneDown, 0.99), "ms"),
		lab.Fact("outage: the other store, commit to readable while one catches up, p50", b.probes.millis(catchingUp, 0.5), "ms"),
		lab.Fact("outage: the other store, commit to readable while one catches up, p99", b.probes.millis(catchingUp, 0.99), "ms"),
		lab.AtLeast("outage: the load's time that was missed, against the time to catch up while it goes on", f.outage.Seconds()/f.catchUp.Seconds(), "x", 3).
			With(fmt.Sprintf("%.1f s, %d changes; caught up in %.1f s", f.outage.Seconds(), f.missed, f.catchUp.Seconds())),
		lab.AtMost("outage: records written to catch up, against changes missed", float64(f.written)/float64(f.missed), "x", 0.5).
			With(fmt.Sprintf("%d records", f.written)),
		lab.AtMost("outage: memory of the worker during the outage and catching up, most", float64(f.memory)/mb, "MB", 500),
		lab.AtMost("outage: growth of the log during the outage, a change", perChange(f.broken.log, f.broken), "bytes", 64).
			With(fmt.Sprintf("%.1f MB for %d changes", float64(f.broken.log)/mb, f.broken.changes)),
		lab.AtMost("outage: growth of PostgreSQL during the outage, a change, against both stores up", perChange(f.broken.database, f.broken)/perChange(f.calm.database, f.calm), "x", 1.2).
			With(fmt.Sprintf("%.0f bytes against %.0f", perChange(f.broken.database, f.broken), perChange(f.calm.database, f.calm))),
	}, nil
}
