package main

import (
	"context"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/alerts"
	"github.com/outflow-db/outflow/config"
	"github.com/outflow-db/outflow/health"
	"github.com/outflow-db/outflow/jobs"
)

func (a *app) health() *cobra.Command {
	var json, probe bool
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Tells whether the stores are well, and what will be if it goes on like this",
		Long: `Tells for every backend, and for each of its endpoints, what the workers find: healthy,
degraded, failing, down, paused, or unknown while no worker looks at it, and why. Below that is
what the trends of the last hour foretell, if they are clear enough.

With --probe it asks the stores of the configuration itself, from connections of its own, and
tells how long each took to answer: at first, and over a connection that is there.

With --json the output is {"backends": [{"name", "state", "since", "reason", "workers",
"probe_ms", "requests", "failed", "p50_ms", "p99_ms", "endpoints": [{"address", "state",
"milliseconds", "reason"}], "probed": {"state", "reason", "first_ms", "ms", "endpoints"}}],
"predictions": [{"backend", "what", "sentence", "breach"}], "firing": N}, where requests, failed
and the percentiles are of the last minute, since is null while nothing is known, probed is null
without --probe, and firing is how many alerts fire.`,
		Example: `  outflow health
  outflow health --probe
  outflow health --json | jq '.backends[] | select(.state != "healthy")'`,
		Annotations: exits(map[int]string{exitOK: "no backend is failing or down", exitNotWell: "one is, or PostgreSQL refused a statement"}),
		Args:        noArgs,
		RunE: a.withConfig(func(ctx context.Context, c *config.Config, pool *pgxpool.Pool, _ []string) error {
			return a.runHealth(ctx, c, pool, json, probe)
		}),
	}
	cmd.Flags().BoolVar(&json, "json", false, "write JSON")
	cmd.Flags().BoolVar(&probe, "probe", false, "ask the stores as well")
	return cmd
}

// wellness is what is known about how the backends are.
type wellness struct {
	Backends    []healthJSON      `json:"backends"`
	Predictions []alerts.Forecast `json:"predictions"`
	Firing      int               `json:"firing"`
}

type healthJSON struct {
	Name      string                  `json:"name"`
	State     health.State            `json:"state"`
	Since     *time.Time              `json:"since"`
	Reason    string                  `json:"reason"`
	Workers   int                     `json:"workers"`
	ProbeMS   float64                 `json:"probe_ms"`
	Requests  int                     `json:"requests"`
	Failed    int                     `json:"failed"`
	P50       float64                 `json:"p50_ms"`
	P99       float64                 `json:"p99_ms"`
	Endpoints []health.EndpointHealth `json:"endpoints"`
	Probed    *probedJSON             `json:"probed"`
}

type probedJSON struct {
	State     health.State            `json:"state"`
	Reason    string                  `json:"reason"`
	First     float64                 `json:"first_ms"`
	MS        float64                 `json:"ms"`
	Endpoints []health.EndpointHealth `json:"endpoints"`
}

// wellnessOf asks the database, and the stores if probe says so.
func (a *app) wellnessOf(ctx context.Context, c *config.Config, pool *pgxpool.Pool, probe bool) (w wellness, err error) {
	all, err := health.Read(ctx, pool)
	if err != nil {
		return w, err
	}
	var probed []jobs.Probed
	if probe {
		if probed, err = jobs.Probe(ctx, c.Jobs(pool, nil)); err != nil {
			return w, err
		}
	}
	w.Backends = []healthJSON{}
	for _, b := range all {
		w.Backends = append(w.Backends, healthOf(b, probed))
	}
	for _, p := range probed { // that are configured and were never set up
		if !slices.ContainsFunc(all, func(b health.Backend) bool { return b.Name == p.Backend }) {
			w.Backends = append(w.Backends, healthOf(health.Backend{Name: p.Backend, State: health.Unknown, Reason: "it is not set up: outflow apply"}, probed))
		}
	}
	forecasts, err := alerts.Forecasts(ctx, pool, c.Alerts.WithDefaults())
	if err != nil {
		return w, err
	}
	firing, err := alerts.List(ctx, pool, false)
	w.Predictions, w.Firing = orEmpty(forecasts), len(firing)
	return w, err
}

func healthOf(b health.Backend, probed []jobs.Probed) healthJSON {
	j := healthJSON{
		Name: b.Name, State: b.State, Reason: b.Reason, Workers: b.Processes, ProbeMS: b.Details.ProbeMillis, Requests: b.Details.Requests,
		Failed: b.Details.Failed, P50: b.Details.P50, P99: b.Details.P99, Endpoints: orEmpty(b.Endpoints),
	}
	if !b.Since.IsZero() {
		since := b.Since.UTC()
		j.Since = &since
	}
	for _, p := range probed {
		if p.Backend == b.Name {
			j.Probed = &probedJSON{p.State, p.Reason, millis(p.First), millis(p.Took), orEmpty(p.Endpoints)}
		}
	}
	return j
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (a *app) runHealth(ctx context.Context, c *config.Config, pool *pgxpool.Pool, json, probe bool) error {
	w, err := a.wellnessOf(ctx, c, pool, probe)
	if err != nil {
		return err
	}
	if json {
		err = a.writeJSON(w)
	} else {
		err = a.printHealth(w, probe)
	}
	if err == nil && slices.ContainsFunc(w.Backends, healthJSON.bad) {
		err = errDiffers
	}
	return err
}

// bad says whether the store is failing or down, by what workers say or by what it answered.
func (j healthJSON) bad() bool { return j.State.Bad() || j.Probed != nil && j.Probed.State.Bad() }

func (a *app) printHealth(w wellness, probe bool) error {
	if len(w.Backends) == 0 {
		fmt.Fprintln(a.out, "no backend follows this database yet: outflow run sets up those that are configured")
		return nil
	}
	t := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	head := "BACKEND\tHEALTH\tSINCE\tWHY"
	if probe {
		head = "BACKEND\tHEALTH\tSINCE\tASKED\tANSWERED\tWHY"
	}
	fmt.Fprintln(t, head)
	for _, b := range w.Backends {
		b.print(t, probe)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, p := range w.Predictions {
		fmt.Fprintf(a.out, "\nprediction: %s", p.Sentence)
	}
	if len(w.Predictions) > 0 {
		fmt.Fprintln(a.out)
	}
	if w.Firing > 0 {
		fmt.Fprintf(a.out, "\n%s: outflow alerts list\n", firing(w.Firing))
	}
	return nil
}

// firing is how many alerts fire, in words.
func firing(n int) string {
	if n == 1 {
		return "1 alert fires"
	}
	return fmt.Sprintf("%d alerts fire", n)
}

// print writes a line for the backend, and one for each endpoint.
func (j healthJSON) print(t *tabwriter.Writer, probe bool) {
	since, reason := "", j.Reason
	if j.Since != nil {
		since = span(max(0, time.Since(*j.Since))) + " ago"
	}
	endpoints := j.Endpoints
	if !probe {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", j.Name, j.State, since, inLine(reason))
	} else {
		asked, took := "", ""
		if p := j.Probed; p != nil {
			endpoints, asked, took = p.Endpoints, string(p.State), fmt.Sprintf("%.1fms, first %.1fms", p.MS, p.First)
			if p.Reason != "" {
				reason = p.Reason
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", j.Name, j.State, since, asked, took, inLine(reason))
	}
	for _, e := range endpoints {
		took := ""
		if e.Millis > 0 {
			took = fmt.Sprintf("%.1fms", e.Millis)
		}
		if probe {
			fmt.Fprintf(t, "  %s\t\t\t%s\t%s\t%s\n", e.Address, e.State, took, inLine(e.Reason))
			continue
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", e.Address, e.State, took, inLine(e.Reason))
	}
}
