package console

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/outflow-db/outflow/alerts"
	"github.com/outflow-db/outflow/health"
	"github.com/outflow-db/outflow/outbox"
)

// describe makes the description of a metric.
func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("outflow_"+name, help, labels, nil)
}

// What the database is asked for, for each scrape, but not more often than each stateFor. All processes show the same.
var (
	descUp         = describe("database_up", "1 if the database answered this scrape; what it knows is missing otherwise.")
	descLagChanges = describe("lag_changes", "Changes in the log that the lane has not applied; a key counts in every lane.", "backend", "lane")
	descLagSeconds = describe("lag_seconds", "Seconds since the oldest of them was logged; 0 if there is none.", "backend", "lane")
	descHeld       = describe("lane_held", "1 if a worker holds the lane.", "backend", "lane")
	descPaused     = describe("backend_paused", "1 if the backend is paused.", "backend")
	descParked     = describe("parked_records", "Records that the backend refused for good.", "backend")
	descJobs       = describe("river_jobs", "River's jobs.", "queue", "state")
	descHealth     = describe("backend_health", "1 for the state that the backend is in, all workers taken together; 0 for the others.", "backend", "state")
	descByEngine   = describe("backend_paused_by_engine", "1 if the engine paused the backend, because it cannot go on without an operator.", "backend")
	descAlert      = describe("alert_firing", "1 for each alert that fires.", "rule", "backend", "kind", "severity")
	descLogBytes   = describe("log_bytes", "Bytes of the log, with its indexes.")
	descOldest     = describe("oldest_transaction_seconds", "Age of the oldest transaction of the database that this role may see; 0 if there is none.")
)

// stateFor is how long an answer of the database is good for.
const stateFor = 2 * time.Second

// databaseState collects what the database knows.
type databaseState struct {
	pool *pgxpool.Pool
	log  *slog.Logger

	mu      sync.Mutex
	at      time.Time
	metrics []prometheus.Metric
}

func newState(pool *pgxpool.Pool, log *slog.Logger) *databaseState {
	return &databaseState{pool: pool, log: log}
}

// Describe names the metrics.
func (*databaseState) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descUp, descLagChanges, descLagSeconds, descHeld, descPaused, descParked, descJobs, descHealth, descByEngine, descAlert, descLogBytes, descOldest} {
		out <- d
	}
}

// Collect asks the database, one scrape at a time.
func (s *databaseState) Collect(out chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.at) > stateFor {
		s.metrics = s.ask()
		s.at = time.Now()
	}
	for _, m := range s.metrics {
		out <- m
	}
}

// ask makes the metrics of now.
func (s *databaseState) ask() []prometheus.Metric {
	ctx, cancel := context.WithTimeout(context.Background(), statusTime/2)
	defer cancel()
	backends, err := outbox.Status(ctx, s.pool)
	var list []prometheus.Metric
	if err == nil {
		list, err = s.jobs(ctx)
	}
	if err == nil {
		var more []prometheus.Metric
		more, err = s.wellness(ctx)
		list = append(list, more...)
	}
	if err != nil {
		s.log.WarnContext(ctx, "metrics could not ask the database", "error", err)
		return []prometheus.Metric{gauge(descUp, 0)}
	}
	list = append(list, gauge(descUp, 1))
	for _, b := range backends {
		list = append(list, gauge(descPaused, one(b.Paused != ""), b.Name), gauge(descParked, float64(b.Parked), b.Name))
		for _, l := range b.Lanes {
			lane := strconv.Itoa(l.Lane)
			list = append(list, gauge(descLagChanges, float64(l.Changes), b.Name, lane),
				gauge(descLagSeconds, l.Lag.Seconds(), b.Name, lane), gauge(descHeld, one(l.Owner != ""), b.Name, lane))
		}
	}
	return list
}

// jobs counts River's jobs.
func (s *databaseState) jobs(ctx context.Context) ([]prometheus.Metric, error) {
	rows, err := s.pool.Query(ctx, `select queue, state::text, count(*) from river.river_job group by 1, 2`)
	if err != nil {
		return nil, fmt.Errorf("counting jobs: %w", err)
	}
	var list []prometheus.Metric
	var queue, state string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&queue, &state, &n}, func() error {
		list = append(list, gauge(descJobs, float64(n), queue, state))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("counting jobs: %w", err)
	}
	return list, nil
}

// wellness tells how the backends and the log are, and which alerts fire.
func (s *databaseState) wellness(ctx context.Context) ([]prometheus.Metric, error) {
	backends, err := health.Read(ctx, s.pool)
	if err != nil {
		return nil, err
	}
	firing, err := alerts.List(ctx, s.pool, false)
	if err != nil {
		return nil, err
	}
	var bytes int64
	var oldest float64
	if err := s.pool.QueryRow(ctx, `
select pg_total_relation_size('outbox.log'), coalesce((select extract(epoch from clock_timestamp() - min(xact_start)) from pg_stat_activity
 where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'), 0)::float8`).Scan(&bytes, &oldest); err != nil {
		return nil, fmt.Errorf("looking at the log: %w", err)
	}
	list := []prometheus.Metric{gauge(descLogBytes, float64(bytes)), gauge(descOldest, max(oldest, 0))}
	for _, b := range backends {
		list = append(list, gauge(descByEngine, one(b.PausedBy == outbox.ByEngine || b.PausedBy == outbox.ByLimit), b.Name))
		for _, state := range health.States {
			list = append(list, gauge(descHealth, one(b.State == state), b.Name, string(state)))
		}
	}
	for _, a := range firing {
		list = append(list, gauge(descAlert, 1, a.Rule, a.Backend, a.Kind, string(a.Severity)))
	}
	return list, nil
}

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// The use of the engine's pool.
var (
	descConnections = describe("pool_connections", "Connections of the engine's pool: in use, idle, being made.", "state")
	descMost        = describe("pool_connections_max", "Connections that the engine's pool may have.")
	descAcquired    = describe("pool_acquires_total", "Connections taken from the pool.")
	descWaited      = describe("pool_waits_total", "Times that a connection was waited for, because none was idle.")
	descWaitSeconds = describe("pool_wait_seconds_total", "Seconds spent taking connections from the pool.")
)

// poolUse collects the use of a pool.
type poolUse struct{ pool *pgxpool.Pool }

// Describe names the metrics.
func (poolUse) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descConnections, descMost, descAcquired, descWaited, descWaitSeconds} {
		out <- d
	}
}

// Collect asks the pool.
func (p poolUse) Collect(out chan<- prometheus.Metric) {
	s := p.pool.Stat()
	count := func(d *prometheus.Desc, v float64) prometheus.Metric {
		return prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
	for _, m := range []prometheus.Metric{
		gauge(descConnections, float64(s.AcquiredConns()), "in_use"), gauge(descConnections, float64(s.IdleConns()), "idle"),
		gauge(descConnections, float64(s.ConstructingConns()), "making"), gauge(descMost, float64(s.MaxConns())),
		count(descAcquired, float64(s.AcquireCount())), count(descWaited, float64(s.EmptyAcquireCount())), count(descWaitSeconds, s.AcquireDuration().Seconds()),
	} {
		out <- m
	}
}
