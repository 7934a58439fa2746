package alerts

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// prometheusRule is a rule as Prometheus evaluates it.
type prometheusRule struct {
	name     string
	severity Severity
	expr     string
	wait     time.Duration
	summary  string
	advice   string
}

// Rules that only Prometheus can have: nobody else looks when no worker runs, or when PostgreSQL does not answer.
const (
	WorkersSilent  = "workers-silent"
	DatabaseSilent = "database-silent"
)

// PrometheusRules is a file of rules for Prometheus with the same conditions, bounds and names, from the metrics of the
// console.
func PrometheusRules(s Settings) []byte {
	s = s.WithDefaults()
	var b strings.Builder
	b.WriteString("# Made by outflow alerts rules, from the bounds of the configuration's alerts.\ngroups:\n  - name: outflow\n    rules:\n")
	for _, r := range s.prometheus() {
		if s.off(r.name) {
			continue
		}
		fmt.Fprintf(&b, "      - alert: Outflow%s\n        expr: %s\n        for: %s\n", camel(r.name), strconv.Quote(r.expr), promSpan(r.wait))
		fmt.Fprintf(&b, "        labels: {severity: %s, rule: %s}\n        annotations:\n          summary: %s\n          advice: %s\n          runbook_url: %s\n",
			r.severity, r.name, strconv.Quote(r.summary), strconv.Quote(r.advice), strconv.Quote(s.RunbookOf(r.name)))
	}
	return []byte(b.String())
}

// prometheus are the rules, those of this package first.
func (s Settings) prometheus() []prometheusRule {
	var all []prometheusRule
	for _, r := range rules {
		p := s.expression(r.Name)
		p.name, p.severity, p.wait, p.advice = r.Name, r.Severity, r.For(s), r.Advice
		all = append(all, p)
	}
	return append(
		all,
		prometheusRule{
			WorkersSilent, Critical, `absent(outflow_database_up)`, 2 * time.Minute, "no worker of Outflow is scraped",
			"start workers, or let Prometheus reach their consoles; nobody but Prometheus notices this",
		},
		prometheusRule{
			DatabaseSilent, Critical, `max(outflow_database_up) == 0`, time.Minute, "PostgreSQL does not answer the workers of Outflow",
			"look at PostgreSQL: nothing is projected until it answers, and nothing is lost",
		},
	)
}

// expression is the condition of a rule.
func (s Settings) expression(rule string) prometheusRule {
	seconds := func(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }
	lag := "max by (backend) (outflow_lag_seconds)"
	p := map[string]prometheusRule{
		BackendFailing:  {expr: `max by (backend) (outflow_backend_health{state=~"failing|down"}) == 1`, summary: "{{ $labels.backend }} is failing or down"},
		BackendDegraded: {expr: `max by (backend) (outflow_backend_health{state="degraded"}) == 1`, summary: "{{ $labels.backend }} is degraded"},
		BackendPaused:   {expr: `max by (backend) (outflow_backend_paused_by_engine) == 1`, summary: "{{ $labels.backend }} pauses and cannot go on without you"},
		RecordsParked:   {expr: fmt.Sprintf(`max by (backend) (outflow_parked_records) >= %d`, s.Parked), summary: "{{ $value }} records are parked by {{ $labels.backend }}"},
		LagHigh:         {expr: fmt.Sprintf(`%s > %s`, lag, seconds(s.Lag)), summary: "{{ $labels.backend }} is {{ $value | humanizeDuration }} behind"},
		BreachPredicted: {
			expr: fmt.Sprintf(`max by (backend) (predict_linear(outflow_lag_seconds[30m], %s)) > %s and %s <= %s and %s > %s and max by (backend) (deriv(outflow_lag_seconds[10m])) > 0`,
				seconds(s.Horizon), seconds(s.Lag), lag, seconds(s.Lag), lag, seconds(s.Lag/10)),
			summary: "{{ $labels.backend }} will be further behind than " + s.Lag.String() + " within " + s.Horizon.String(),
		},
		Refusals: {
			expr:    fmt.Sprintf(`sum by (backend) (increase(outflow_request_seconds_count{class=~"denied|schema|overload"}[1m])) >= %d`, s.Refusals),
			summary: "{{ $labels.backend }} refuses {{ $value | humanize }} requests a minute",
		},
		VerifyDiffers: {expr: fmt.Sprintf(`max by (backend) (outflow_alert_firing{rule=%q}) == 1`, VerifyDiffers), summary: "{{ $labels.backend }} differed from PostgreSQL"},
		WatchDrift:    {expr: fmt.Sprintf(`max by (kind) (outflow_alert_firing{rule=%q}) == 1`, WatchDrift), summary: "the watch of kind {{ $labels.kind }} misses changes"},
		WorkerAbsent: {
			expr:    `max by (backend, lane) (outflow_lag_changes) > 0 unless on (backend, lane) max by (backend, lane) (outflow_lane_held) == 1 unless on (backend) max by (backend) (outflow_backend_paused) == 1`,
			summary: "nobody works lane {{ $labels.lane }} of {{ $labels.backend }}",
		},
		LogLarge:       {expr: fmt.Sprintf(`max(outflow_log_bytes) > %d`, s.LogBytes), summary: "the log has {{ $value | humanize1024 }}B"},
		TransactionOld: {expr: `max(outflow_oldest_transaction_seconds) > ` + seconds(s.Transaction), summary: "a transaction is {{ $value | humanizeDuration }} old and keeps dead rows"},
	}
	return p[rule]
}

// PrometheusNames are the names of the rules in the file.
func PrometheusNames() []string { return append(RuleNames(), WorkersSilent, DatabaseSilent) }

// camel is backend-failing as BackendFailing.
func camel(name string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(name, "-") {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

// promSpan is a span as Prometheus reads it.
func promSpan(d time.Duration) string {
	return strconv.FormatFloat(math.Ceil(d.Seconds()), 'f', 0, 64) + "s"
}
