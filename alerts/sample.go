package alerts

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/health"
	"github.com/outflow-db/outflow/internal/trend"
	"github.com/outflow-db/outflow/outbox"
)

// samplesKept is how long samples are kept.
const samplesKept = 48 * time.Hour

// sampleShare bounds the cost of samples: counting a lag of millions takes seconds, and the next sample then waits for
// so many times as long.
const sampleShare = 20

// sample keeps how every backend and the log are now, and says when the next one is due.
func sample(ctx context.Context, tx pgx.Tx, t *turn, s Settings, all []health.Backend) error {
	began := time.Now()
	status, err := outbox.Status(ctx, tx)
	if err != nil {
		return err
	}
	oldest := time.Duration(0)
	batch := &pgx.Batch{}
	for _, b := range status {
		oldest = max(oldest, b.Lag)
		d := detailsOf(all, b.Name)
		minute := 60 / max(d.Window, 1)
		batch.Queue(`
insert into outbox.samples (at, backend, lag_changes, lag_seconds, written, refused, requests, failed, retries, p50_ms, p99_ms)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, nullif($10::float8, 0), nullif($11::float8, 0)) on conflict do nothing`,
			t.now, b.Name, b.Changes, b.Lag.Seconds(), float64(d.Written)*minute, float64(d.Refused)*minute, float64(d.Requests)*minute,
			float64(d.Failed)*minute, float64(d.Retries)*minute, d.P50, d.P99)
	}
	batch.Queue(`
insert into outbox.samples (at, backend, log_bytes, log_rows, log_seconds, disk_bytes)
select $1, '', pg_total_relation_size('outbox.log'), greatest(c.reltuples, 0), $2, case when $3 then pg_database_size(current_database()) end
  from pg_class c where c.oid = 'outbox.log'::regclass on conflict do nothing`, t.now, oldest.Seconds(), s.DiskBytes > 0)
	batch.Queue(`delete from outbox.samples where at < $1`, t.now.Add(-samplesKept))
	batch.Queue(`delete from outbox.health where at < $1`, t.now.Add(-24*time.Hour))
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("keeping a sample: %w", err)
	}
	next := t.now.Add(max(s.Sample-s.Every/4, sampleShare*time.Since(began)))
	if _, err := tx.Exec(ctx, `update outbox.lookout set sampled_at = $1, next_sample = $2`, t.now, next); err != nil {
		return fmt.Errorf("keeping a sample: %w", err)
	}
	return nil
}

func detailsOf(all []health.Backend, name string) health.Details {
	for _, b := range all {
		if b.Name == name {
			return b.Details
		}
	}
	return health.Details{}
}

// recent are the samples of the last hour and a bit, by backend; those of the log are at the empty name.
func recent(ctx context.Context, db outbox.DB) (map[string][]sampled, error) {
	rows, err := db.Query(ctx, `
select at, backend, lag_changes, lag_seconds, p99_ms, log_bytes, disk_bytes from outbox.samples where at > clock_timestamp() - interval '65 minutes' order by at`)
	if err != nil {
		return nil, fmt.Errorf("reading samples: %w", err)
	}
	all := map[string][]sampled{}
	var one sampled
	var name string
	_, err = pgx.ForEachRow(rows, []any{&one.at, &name, &one.changes, &one.lag, &one.p99, &one.log, &one.disk}, func() error {
		all[name] = append(all[name], one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading samples: %w", err)
	}
	return all, nil
}

// sampled is one sample; nil: nothing was measured.
type sampled struct {
	at                           time.Time
	changes, lag, p99, log, disk *float64
}

// series is one column of samples.
func series(all []sampled, of func(sampled) *float64) trend.Series {
	var s trend.Series
	for _, one := range all {
		if v := of(one); v != nil {
			s = append(s, trend.Point{At: one.at, V: *v})
		}
	}
	return s
}

// Growth is how far a backend was behind when it was last sampled, and whether that grows.
type Growth struct {
	Lag     time.Duration
	Growing bool
}

// Growths tells it for every backend that was sampled within the last minutes.
func Growths(ctx context.Context, db outbox.DB) (map[string]Growth, error) {
	all, err := recent(ctx, db)
	if err != nil {
		return nil, err
	}
	found := map[string]Growth{}
	for name, list := range all {
		last := list[len(list)-1]
		if name == "" || last.lag == nil {
			continue
		}
		line, ok := trend.Of(series(list, func(s sampled) *float64 { return s.lag }))
		found[name] = Growth{time.Duration(*last.lag * float64(time.Second)), ok && line.Slope > 0}
	}
	return found, nil
}

// Forecasts says what will be, if it goes on as it did. The settings must have their defaults.
func Forecasts(ctx context.Context, db outbox.DB, s Settings) ([]Forecast, error) {
	all, err := recent(ctx, db)
	if err != nil {
		return nil, err
	}
	return forecasts(all, s), nil
}
