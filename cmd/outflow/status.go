package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/alerts"
	"github.com/outflow-db/outflow/config"
	"github.com/outflow-db/outflow/health"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

func (a *app) status() *cobra.Command {
	var json bool
	var watch time.Duration
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Tells how far every backend is",
		Long: `Tells for every backend whether it works, how far it is behind PostgreSQL, and how many
records it has refused and parked. LAG is what is in the log and not yet applied: changes,
and the time since the oldest of them was written. HEALTH is what workers find of the store:
outflow health tells why. Rebuilds beside that go on are told with their phase, and with what
they wait for.

With --json the output is {"backends": [{"name", "type", "paused", "changes",
"lag_seconds", "parked", "health", "reason", "lanes": [{"lane", "position", "owner", "changes",
"lag_seconds", "saved_at"}]}], "rebuilds": [{"backend", "kind", "target", "generation",
"building", "dropping", "phase", "note"}], "predictions": [{"backend", "what", "sentence",
"breach"}], "alerts": [...]}, where paused is why it is paused, or null, owner the worker that
holds the lane, or null, generation what readers see, and alerts those that fire, as outflow
alerts list shows them; with --watch one such value after the other.`,
		Example:     "  outflow status\n  outflow status --watch\n  outflow status --json | jq '.backends[] | select(.paused)'",
		Annotations: exits(map[int]string{exitOK: "told, whatever it is", exitNotWell: "PostgreSQL refused a statement"}),
		Args:        noArgs,
		RunE: a.withConfig(func(ctx context.Context, c *config.Config, pool *pgxpool.Pool, _ []string) error {
			return a.runStatus(ctx, c, pool, json, watch)
		}),
	}
	cmd.Flags().BoolVar(&json, "json", false, "write JSON")
	cmd.Flags().DurationVar(&watch, "watch", 0, "tell again every `TIME`, 2s if none is given, until interrupted")
	cmd.Flags().Lookup("watch").NoOptDefVal = "2s"
	return cmd
}

func (a *app) runStatus(ctx context.Context, c *config.Config, pool *pgxpool.Pool, json bool, watch time.Duration) error {
	if watch <= 0 {
		return a.tellStatus(ctx, c, pool, json)
	}
	for {
		if a.width != nil && !json {
			fmt.Fprint(a.out, "\x1b[H\x1b[2J") // the terminal's page is written anew
		}
		if err := a.tellStatus(ctx, c, pool, json); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(watch):
		}
		if a.width == nil && !json {
			fmt.Fprintln(a.out)
		}
	}
}

// tellStatus tells it once.
func (a *app) tellStatus(ctx context.Context, c *config.Config, pool *pgxpool.Pool, json bool) error {
	if json {
		all, err := statusOf(ctx, c, pool)
		if err != nil {
			return err
		}
		return a.writeJSON(all)
	}
	all, rebuilds, err := progressOf(ctx, pool)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		fmt.Fprintln(a.out, "no backend follows this database yet: outflow run sets up those that are configured")
		return nil
	}
	well, err := health.Read(ctx, pool)
	if err != nil {
		return err
	}
	if err := printBackends(a.out, all, well); err != nil {
		return err
	}
	fmt.Fprintln(a.out)
	if err := printLanes(a.out, all, time.Now()); err != nil || len(rebuilds) == 0 {
		return err
	}
	return printRebuilds(a.out, rebuilds)
}

// progressOf is how far every backend is, and every rebuild beside.
func progressOf(ctx context.Context, pool *pgxpool.Pool) (all []outbox.BackendStatus, rebuilds []jobs.TargetState, err error) {
	if all, err = outbox.Status(ctx, pool); err != nil {
		return nil, nil, err
	}
	targets, err := jobs.Targets(ctx, pool, "")
	return all, slices.DeleteFunc(targets, func(t jobs.TargetState) bool { return !t.Rebuilding() }), err
}

// printBackends is the part of the screen that tells whether all is well.
func printBackends(out io.Writer, all []outbox.BackendStatus, well []health.Backend) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "BACKEND\tTYPE\tLAG\tPARKED\tHEALTH\tSTATE")
	for _, b := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", b.Name, b.Type, lag(b.Changes, b.Lag), number(b.Parked), wellOf(well, b.Name).State, state(b))
	}
	return w.Flush()
}

// printLanes is the part of the screen that tells what is going on.
func printLanes(out io.Writer, all []outbox.BackendStatus, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LANE\tLAG\tWORKER\tSAVED\tPOSITION")
	for _, b := range all {
		for _, l := range b.Lanes {
			owner := l.Owner
			if owner == "" {
				owner = "none"
			}
			fmt.Fprintf(w, "%s/%d\t%s\t%s\t%s ago\t%s\n", b.Name, l.Lane, lag(l.Changes, l.Lag), owner, span(max(0, now.Sub(l.Saved))), shortened(l.Position))
		}
	}
	return w.Flush()
}

// wellOf is how the backend with the name is.
func wellOf(well []health.Backend, name string) health.Backend {
	i := slices.IndexFunc(well, func(b health.Backend) bool { return b.Name == name })
	if i < 0 {
		return health.Backend{Name: name, State: health.Unknown}
	}
	return well[i]
}

// state is what a backend does, and why or for what.
func state(b outbox.BackendStatus) string {
	switch s := b.State(); s {
	case outbox.StatePaused:
		return "paused: " + b.Paused
	case outbox.StateWaiting:
		return "waiting for a worker"
	default:
		return string(s)
	}
}

// lag is how far something is behind.
func lag(changes int64, since time.Duration) string {
	if changes == 0 {
		return "none"
	}
	return counted(changes, "change") + ", " + span(since)
}

// shortened keeps a position with many running transactions on the screen.
func shortened(position string) string {
	const most = 40
	if len(position) > most {
		return position[:most] + "..."
	}
	return position
}

// statusDocument is what status --json and the console show.
type statusDocument struct {
	Backends    []backendJSON      `json:"backends"`
	Rebuilds    []jobs.TargetState `json:"rebuilds"` // beside, that go on
	Predictions []alerts.Forecast  `json:"predictions"`
	Alerts      []alerts.Alert     `json:"alerts"` // that fire
}

type backendJSON struct {
	Name       string     `json:"name"`
	Type       string     `json:"type"`
	Paused     *string    `json:"paused"`
	Changes    int64      `json:"changes"`
	LagSeconds float64    `json:"lag_seconds"`
	Parked     int64      `json:"parked"`
	Health     string     `json:"health"`
	Reason     string     `json:"reason"` // of the health
	Lanes      []laneJSON `json:"lanes"`
}

type laneJSON struct {
	Lane       int       `json:"lane"`
	Position   string    `json:"position"`
	Owner      *string   `json:"owner"`
	Changes    int64     `json:"changes"`
	LagSeconds float64   `json:"lag_seconds"`
	SavedAt    time.Time `json:"saved_at"`
}

// statusOf finds out all that status --json shows.
func statusOf(ctx context.Context, c *config.Config, pool *pgxpool.Pool) (d statusDocument, err error) {
	all, rebuilds, err := progressOf(ctx, pool)
	if err != nil {
		return d, err
	}
	well, err := health.Read(ctx, pool)
	if err != nil {
		return d, err
	}
	d = statusJSON(all, rebuilds, well)
	forecasts, err := alerts.Forecasts(ctx, pool, c.Alerts.WithDefaults())
	if err != nil {
		return d, err
	}
	firing, err := alerts.List(ctx, pool, false)
	d.Predictions, d.Alerts = orEmpty(forecasts), orEmpty(firing)
	return d, err
}

func statusJSON(all []outbox.BackendStatus, rebuilds []jobs.TargetState, well []health.Backend) statusDocument {
	list := []backendJSON{}
	for _, b := range all {
		j := backendJSON{
			Name: b.Name, Type: b.Type, Paused: orNull(b.Paused), Changes: b.Changes,
			LagSeconds: b.Lag.Seconds(), Parked: b.Parked, Lanes: []laneJSON{},
			Health: string(wellOf(well, b.Name).State), Reason: wellOf(well, b.Name).Reason,
		}
		for _, l := range b.Lanes {
			j.Lanes = append(j.Lanes, laneJSON{
				Lane: l.Lane, Position: l.Position, Owner: orNull(l.Owner), Changes: l.Changes,
				LagSeconds: l.Lag.Seconds(), SavedAt: l.Saved.UTC(),
			})
		}
		list = append(list, j)
	}
	return statusDocument{Backends: list, Rebuilds: orEmpty(rebuilds)}
}

// orNull is s, or null for an empty one.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
