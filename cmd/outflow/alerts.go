package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/alerts"
	"github.com/outflow-db/outflow/config"
)

func (a *app) alerts() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "alerts",
		Short: "Lists what needs somebody, tries the webhooks, writes rules for Prometheus",
		Long: `Workers look for what needs somebody: stores that fail, lags, parked records, watches that miss
something, and more: docs/runbook.md has them all, with what to do. Each is told once to the
webhooks of the configuration, and again when it is over.`,
		Example: `  outflow alerts list
  outflow alerts test
  outflow alerts rules > outflow.rules.yml`,
		Annotations: exits(nil),
		Args:        noArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.alertsList(), a.alertsTest(), a.alertsRules())
	return cmd
}

func (a *app) alertsList() *cobra.Command {
	var json, all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Lists the alerts that fire",
		Long: `Lists the alerts that fire, the latest first, with when their conditions began. With --all also
those that are pending, because their conditions do not hold for long enough yet, and those of
the last 30 days that are over.

With --json the output is {"alerts": [{"id", "rule", "backend", "kind", "severity", "summary",
"state", "since", "fired_at", "seen_at", "resolved_at", "told", "told_at"}]}, where told is what
the webhooks were last given, and times that were not yet are null.`,
		Example:     "  outflow alerts list\n  outflow alerts list --all --json",
		Annotations: exits(map[int]string{exitOK: "listed, whether some fire or none", exitNotWell: "PostgreSQL refused a statement"}),
		Args:        noArgs,
		RunE: a.withPool(func(ctx context.Context, pool *pgxpool.Pool, _ []string) error {
			list, err := alerts.List(ctx, pool, all)
			if err != nil {
				return err
			}
			if json {
				return a.writeJSON(map[string]any{"alerts": orEmpty(list)})
			}
			return a.printAlerts(list, time.Now())
		}),
	}
	cmd.Flags().BoolVar(&json, "json", false, "write JSON")
	cmd.Flags().BoolVar(&all, "all", false, "also those that are pending or over")
	return cmd
}

func (a *app) printAlerts(list []alerts.Alert, now time.Time) error {
	if len(list) == 0 {
		fmt.Fprintln(a.out, "no alert fires")
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ALERT\tSEVERITY\tSTATE\tSINCE\tWHAT")
	for _, one := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s ago\t%s\n", one.ID, one.Severity, one.State, span(max(0, now.Sub(one.Since))), inLine(one.Summary))
	}
	return w.Flush()
}

func (a *app) alertsTest() *cobra.Command {
	return &cobra.Command{
		Use:   "test",
		Short: "Sends a message to every webhook that says that it is a test",
		Long: `Sends a message that says that it is a test to every webhook of the configuration, from this
machine and at once, and tells which of them took it.`,
		Example:     "  outflow alerts test",
		Annotations: exits(map[int]string{exitOK: "every webhook took it", exitNotWell: "one did not", exitUsage: "no webhook is configured; or wrong flags, configuration or set-up"}),
		Args:        noArgs,
		RunE: a.withConfig(func(ctx context.Context, c *config.Config, pool *pgxpool.Pool, _ []string) error {
			return a.testWebhooks(ctx, c, pool)
		}),
	}
}

func (a *app) testWebhooks(ctx context.Context, c *config.Config, pool *pgxpool.Pool) error {
	s := c.Alerts.WithDefaults()
	if len(s.Webhooks) == 0 {
		return usageError{errors.New("no webhook is configured: see alerts.webhooks in docs/configuration.md")}
	}
	m := alerts.Trial(uuid.NewString(), pool.Config().ConnConfig.Database, time.Now(), s)
	sender, failed := alerts.NewSender(), false
	for _, hook := range s.Webhooks {
		if err := sender.Send(ctx, hook, m); err != nil {
			fmt.Fprintln(a.out, inLine(err.Error()))
			failed = true
			continue
		}
		fmt.Fprintf(a.out, "%s took it\n", hook)
	}
	if failed {
		return errDiffers
	}
	return nil
}

func (a *app) alertsRules() *cobra.Command {
	return &cobra.Command{
		Use:   "rules",
		Short: "Writes the same alerts as rules for Prometheus",
		Long: `Writes a file of rules for Prometheus to the standard output: the same conditions with the same
names and the bounds of the configuration's alerts, from what the consoles of the workers show at
/metrics, and two more that only somebody outside can notice: that no worker is scraped, and that
PostgreSQL does not answer. It needs no database.`,
		Example:     "  outflow alerts rules > /etc/prometheus/outflow.rules.yml",
		Annotations: exits(map[int]string{exitOK: "written", exitNotWell: "", exitUnreachable: ""}),
		Args:        noArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := a.configuration()
			if err != nil {
				return err
			}
			_, err = a.out.Write(alerts.PrometheusRules(c.Alerts))
			return err
		},
	}
}
