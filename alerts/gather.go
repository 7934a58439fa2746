package alerts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/health"
	"github.com/outflow-db/outflow/internal/trend"
	"github.com/outflow-db/outflow/outbox"
)

// forecasts says what the samples foretell.
func forecasts(all map[string][]sampled, s Settings) []Forecast {
	var list []Forecast
	bounds := trend.Bounds{Lag: s.Lag, Horizon: s.Horizon}
	add := func(backend string, f trend.Forecast, ok bool) {
		if ok {
			list = append(list, Forecast{backend, f.What, f.Sentence, f.Breach})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		of := all[name]
		if name == "" {
			f, ok := trend.Size("log", "the log", series(of, func(s sampled) *float64 { return s.log }), float64(s.LogBytes), Bytes(float64(s.LogBytes)), bounds)
			add("", f, ok)
			f, ok = trend.Size("disk", "the database", series(of, func(s sampled) *float64 { return s.disk }), float64(s.DiskBytes), Bytes(float64(s.DiskBytes)), bounds)
			add("", f, ok)
			continue
		}
		f, ok := trend.Lag(name, series(of, func(s sampled) *float64 { return s.lag }), bounds)
		add(name, f, ok)
		f, ok = trend.Latency(name, series(of, func(s sampled) *float64 { return s.p99 }), bounds)
		add(name, f, ok)
	}
	return list
}

// part is one thing to find out, and the rules of which nothing can be said when that fails.
type part struct {
	rules []string
	find  func(ctx context.Context, tx pgx.Tx, f *Facts) error
}

// gatherer gathers facts. It remembers when it last looked at what is looked at seldom.
type gatherer struct {
	s       Settings
	drifted time.Time
	drift   []Drift
}

// driftEvery is how often watches are compared with their tables.
const driftEvery = 5 * time.Minute

// gather finds out what is known. What cannot be found out is an error, and its rules are blind; the rest is good.
func (g *gatherer) gather(ctx context.Context, tx pgx.Tx, now time.Time, known []Alert, all []health.Backend) (Facts, error) {
	f := Facts{Health: all}
	var errs []error
	for _, p := range []part{
		{[]string{RecordsParked}, findParked},
		{[]string{LagHigh, BreachPredicted}, g.samples},
		{[]string{WorkerAbsent}, findAbsent},
		{[]string{LogLarge}, findLog},
		{[]string{TransactionOld}, findHolder},
		{[]string{VerifyDiffers}, findVerified},
		{[]string{WatchDrift}, g.watches(now)},
	} {
		if err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { return p.find(ctx, tx, &f) }); err != nil {
			f.Blind = append(f.Blind, p.rules...)
			errs = append(errs, fmt.Errorf("looking for %s: %w", p.rules[0], err))
		}
	}
	for _, a := range known { // a comparison that found something is good until another finds nothing, for a day
		if a.Rule == VerifyDiffers && now.Sub(a.Seen) < 24*time.Hour && !slices.ContainsFunc(f.Verified, func(v Verified) bool { return v.Backend == a.Backend }) {
			f.Blind = append(f.Blind, a.ID)
		}
	}
	return f, errors.Join(errs...)
}

func findParked(ctx context.Context, tx pgx.Tx, f *Facts) error {
	f.Parked = map[string]int64{}
	rows, err := tx.Query(ctx, `select backend, count(*) from outbox.parked group by 1`)
	if err != nil {
		return err
	}
	var name string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&name, &n}, func() error { f.Parked[name] = n; return nil })
	return err
}

// samples tells the lag, and what will be, from samples.
func (g *gatherer) samples(ctx context.Context, tx pgx.Tx, f *Facts) error {
	all, err := recent(ctx, tx)
	if err != nil {
		return err
	}
	f.Forecasts = forecasts(all, g.s)
	for name, list := range all {
		if last := list[len(list)-1]; last.lag != nil && last.changes != nil && slices.ContainsFunc(f.Health, func(b health.Backend) bool { return b.Name == name }) {
			f.Lag = append(f.Lag, Lag{name, int64(*last.changes), time.Duration(*last.lag * float64(time.Second))})
		}
	}
	return nil
}

// findAbsent looks for lanes that nobody works.
func findAbsent(ctx context.Context, tx pgx.Tx, f *Facts) error {
	lanes, _, err := outbox.Lanes(ctx, tx)
	if err != nil {
		return err
	}
	for _, l := range lanes {
		if l.Held || !l.Behind || l.Paused != "" {
			continue
		}
		if i := len(f.Absent) - 1; i >= 0 && f.Absent[i].Backend == l.Backend {
			f.Absent[i].Lanes++
			continue
		}
		f.Absent = append(f.Absent, Absent{l.Backend, 1})
	}
	return nil
}

func findLog(ctx context.Context, tx pgx.Tx, f *Facts) error {
	return tx.QueryRow(ctx, `select pg_total_relation_size('outbox.log')`).Scan(&f.LogBytes)
}

// findHolder looks for the oldest transaction. Those of other roles are seen by members of pg_read_all_stats only.
func findHolder(ctx context.Context, tx pgx.Tx, f *Facts) error {
	var h Holder
	err := tx.QueryRow(ctx, `
select what, age from (
  select format('a transaction of process %s (%s)', pid, coalesce(nullif(application_name, ''), 'no name')), clock_timestamp() - xact_start
    from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null and backend_type = 'client backend'
  union all
  select format('the prepared transaction %L', gid), clock_timestamp() - prepared from pg_prepared_xacts where database = current_database()
) h (what, age) order by age desc limit 1`).Scan(&h.What, &h.Age)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	f.Holder = &h
	return err
}

// findVerified looks at the latest verify jobs, which River keeps for an hour.
func findVerified(ctx context.Context, tx pgx.Tx, f *Facts) error {
	rows, err := tx.Query(ctx, `
select distinct on (1) j.args->>'backend', d.differences, d.repaired
  from river.river_job j, lateral (
    select coalesce(sum((t->>'missing')::bigint + (t->>'extra')::bigint + (t->>'different')::bigint), 0)::bigint, coalesce(sum((t->>'repaired')::bigint), 0)::bigint
      from jsonb_array_elements(case when jsonb_typeof(j.metadata->'output'->'targets') = 'array' then j.metadata->'output'->'targets' else '[]' end) t) d (differences, repaired)
 where j.kind = 'verify' and j.state = 'completed' and j.args ? 'backend'
 order by 1, j.finalized_at desc`)
	if err != nil {
		return err
	}
	f.Verified, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Verified])
	return err
}

// watches compares watches with their tables now and then; between, what was found stays.
func (g *gatherer) watches(now time.Time) func(context.Context, pgx.Tx, *Facts) error {
	return func(ctx context.Context, tx pgx.Tx, f *Facts) error {
		if now.Sub(g.drifted) < min(driftEvery, 20*g.s.Every) {
			f.Drift = g.drift
			return nil
		}
		rows, err := tx.Query(ctx, `select coalesce(rel::text, ''), coalesce(kind, ''), problem from outbox.check_watches() order by 1, 2 limit 20`)
		if err != nil {
			return err
		}
		if g.drift, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Drift]); err != nil {
			return err
		}
		g.drifted = now
		f.Drift = slices.CompactFunc(g.drift, func(a, b Drift) bool { return cmp.Or(a.Kind, a.Table) == cmp.Or(b.Kind, b.Table) })
		g.drift = f.Drift
		return nil
	}
}
