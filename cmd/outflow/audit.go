package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/config"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// auditOptions are the flags of audit.
type auditOptions struct {
	kind, backend, since string
	limit                int
	live, json           bool
}

// trailJSON is what audit --json writes.
type trailJSON struct {
	*outbox.Trail
	Holdings []jobs.Holding `json:"holdings,omitempty"`
}

func (a *app) audit() *cobra.Command {
	var o auditOptions
	cmd := &cobra.Command{
		Use:   "audit KEY",
		Short: "Tells what happened to a record: who changed it, and what each backend made of it",
		Long: `Tells what happened to a record, the oldest first: which transactions changed it, when, by which
user and application, in which trace; which page brought that into each backend, when, and who
acknowledged it; whether the record was written, deleted or parked there; why it was logged
again; and what operators and the engine did to it, its kind and its backends. The kind need
only be named when several kinds have the key.

It reads the log from its end, without an index: all that is kept of the kind, if the record
changed seldom; --since bounds that. What is older than the retention of the log, or than
worker.audit, has left no trace. With --live the stores are asked what they hold now.

With --json the output is {"kind", "key", "changes": [{"transaction", "row", "at", "who", "app",
"trace", "load", "headers", "why", "only", "all", "cause_from", "cause_to", "deliveries":
[{"backend", "state", "error", "page": {"id", "lane", "owner", "epoch", "version_from",
"version_to", "position", "written", "deleted", "stale", "parked", "saved_at"}}]}], "events",
"parked", "holdings": [{"backend", "target", "held", "version", "digest", "problem"}]}, the
latest first.`,
		Example:     "  outflow audit 4711 --kind symbol --live\n  outflow audit '[\"4711\", \"calls\", \"4712\"]' --since 24h --json",
		Annotations: exits(map[int]string{exitOK: "told", exitNotWell: "nothing is known of the record"}),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("want one key: see %s --help", cmd.CommandPath())}
			}
			return nil
		},
		RunE: a.withConfig(func(ctx context.Context, c *config.Config, pool *pgxpool.Pool, args []string) error {
			return a.runAudit(ctx, c, pool, o, args[0])
		}),
	}
	f := cmd.Flags()
	f.StringVar(&o.kind, "kind", "", "the `KIND` of the record")
	f.StringVar(&o.backend, "backend", "", "only what concerns this `BACKEND`")
	f.StringVar(&o.since, "since", "", "only what happened since this `TIME`: 2h, 7d, or 2026-01-31T12:00:00Z")
	f.IntVar(&o.limit, "limit", 20, "so many changes and events `AT MOST`, the latest")
	f.BoolVar(&o.live, "live", false, "ask the stores, too")
	f.BoolVar(&o.json, "json", false, "write JSON")
	return cmd
}

// moment reads a point in time, or how long ago that was.
func moment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		if _, err := fmt.Sscanf(days+"!", "%d!", &n); err == nil && n >= 0 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, usageError{fmt.Errorf("--since %s: want a time span such as 2h or 7d, or a time such as 2026-01-31T12:00:00Z", text)}
	}
	return t, nil
}

func (a *app) runAudit(ctx context.Context, c *config.Config, pool *pgxpool.Pool, o auditOptions, key string) error {
	since, err := moment(o.since, time.Now())
	if err != nil {
		return err
	}
	if o.kind == "" {
		if o.kind, err = onlyKind(ctx, pool, key, since); err != nil {
			return err
		}
	}
	trail, err := outbox.Audit(ctx, pool, outbox.AuditQuery{Kind: o.kind, Key: key, Backend: o.backend, Since: since, Limit: o.limit})
	if err != nil {
		return err
	}
	told := trailJSON{Trail: trail}
	if o.live {
		if told.Holdings, err = jobs.Held(ctx, c.Jobs(pool, a.logger(c)), o.backend, o.kind, key); err != nil {
			return err
		}
	}
	if o.json {
		err = a.writeJSON(told)
	} else {
		fmt.Fprint(a.out, trailText(told))
	}
	if err == nil && len(trail.Changes)+len(trail.Events)+len(trail.Parked)+len(told.Holdings) == 0 {
		return errDiffers
	}
	return err
}

// onlyKind is the kind that has the key.
func onlyKind(ctx context.Context, pool *pgxpool.Pool, key string, since time.Time) (string, error) {
	kinds, err := outbox.AuditKinds(ctx, pool, key, since)
	switch {
	case err != nil:
		return "", err
	case len(kinds) == 0:
		return "", fmt.Errorf("nothing is known of a record with key %q: name its kind by --kind for what concerns all of its records", key)
	case len(kinds) > 1:
		return "", usageError{fmt.Errorf("several kinds have the key %q: name one of %s by --kind", key, strings.Join(kinds, ", "))}
	}
	return kinds[0], nil
}
