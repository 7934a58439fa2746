package console

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/outflow-db/outflow/jobs"
)

// Metrics counts what an engine does. It is the engine's observer.
type Metrics struct {
	records  *prometheus.CounterVec
	pages    *prometheus.CounterVec
	rows     *prometheus.CounterVec
	retries  *prometheus.CounterVec
	followed *prometheus.CounterVec
	requests *prometheus.HistogramVec
}

var _ jobs.Observer = (*Metrics)(nil)

// NewMetrics makes metrics that have counted nothing.
func NewMetrics() *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "outflow_" + name, Help: help}, labels)
	}
	return &Metrics{
		records:  counter("records_total", "Records by what came of them: written, deleted, stale (the store had a newer one), parked, unknown (sent without an answer).", "backend", "lane", "result"),
		pages:    counter("pages_total", "Pages of the log that were applied.", "backend", "lane"),
		rows:     counter("log_rows_total", "Rows of the log in these pages.", "backend", "lane"),
		retries:  counter("retries_total", "Requests that failed and were tried again.", "backend", "lane"),
		followed: counter("followed_total", "Keys that were logged because of others: fills and dependants.", "backend", "lane"),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "outflow_request_seconds", Help: "How long requests to stores took, by the class of error that they failed with, or ok.",
			Buckets: []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 30},
		}, []string{"backend", "class"}),
	}
}

// Wrote counts a request.
func (m *Metrics) Wrote(r jobs.Request) {
	class := string(r.Class)
	if class == "" {
		class = "ok"
	}
	m.requests.WithLabelValues(r.Backend, class).Observe(r.Took.Seconds())
}

// Worked counts records.
func (m *Metrics) Worked(backend string, lane int, since jobs.Output) {
	number := strconv.Itoa(lane)
	for result, n := range map[string]int{
		"written": since.Written, "deleted": since.Deleted, "stale": since.Stale, "parked": since.Parked, "unknown": since.Unknown,
	} {
		m.records.WithLabelValues(backend, number, result).Add(float64(n))
	}
	m.pages.WithLabelValues(backend, number).Add(float64(since.Pages))
	m.rows.WithLabelValues(backend, number).Add(float64(since.Rows))
	m.retries.WithLabelValues(backend, number).Add(float64(since.Retries))
	m.followed.WithLabelValues(backend, number).Add(float64(since.Followed))
}

// registry is all that /metrics shows.
func (k *Console) registry() (*prometheus.Registry, error) {
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "outflow_build_info", Help: "1, for the version that runs."}, []string{"version"})
	build.WithLabelValues(k.c.Version).Set(1)
	r := prometheus.NewRegistry()
	m := k.c.Metrics
	var errs []error
	for _, c := range []prometheus.Collector{
		m.records, m.pages, m.rows, m.retries, m.followed, m.requests, build,
		newState(k.pool, k.c.Logger),
		poolUse{k.c.Pool},
		endpointUse{k.c.Endpoints},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		errs = append(errs, r.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("registering the metrics: %w", err)
	}
	return r, nil
}
