package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/migrations"
)

// migrateOptions are the flags of migrate.
type migrateOptions struct{ status, json, roles bool }

func (a *app) migrate() *cobra.Command {
	var o migrateOptions
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Brings the database's schemas up to date",
		Long: `Applies the migrations that the database lacks: schemas outbox, river and ast. It can be
repeated, and run from several places at once: all but one wait. The plain goose command
applies the same files.

With --roles it makes the roles outflow_writer and outflow_worker besides, unless they exist,
and gives them what writers and workers need: grant them to the roles that log in. It takes
the right to make roles. Run it again after each migration.

With --json the output is {"migrations": [{"name", "state", "applied_at", "ms"}]}, where
state is applied or pending, and ms the time that applying it took just now.`,
		Example: `  outflow migrate
  outflow migrate --status
  outflow migrate --roles
  outflow migrate --database postgres://admin@db/app`,
		Annotations: exits(map[int]string{exitNotWell: "a migration failed; with --status: some are pending"}),
		Args:        noArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return a.runMigrate(cmd.Context(), o) },
	}
	cmd.Flags().BoolVar(&o.status, "status", false, "only list the migrations and their state")
	cmd.Flags().BoolVar(&o.roles, "roles", false, "also make the roles outflow_writer and outflow_worker")
	cmd.Flags().BoolVar(&o.json, "json", false, "write JSON")
	return cmd
}

// migration is one migration, as --json shows it.
type migration struct {
	Name      string     `json:"name"`
	State     string     `json:"state"`
	AppliedAt *time.Time `json:"applied_at,omitempty"`
	MS        *int64     `json:"ms,omitempty"`
}

func (a *app) runMigrate(ctx context.Context, o migrateOptions) error {
	_, pool, err := a.connect(ctx, 0)
	if err != nil {
		return err
	}
	defer pool.Close()
	if o.status {
		return a.listMigrations(ctx, pool, o)
	}
	applied, err := migrations.Up(ctx, pool)
	if err != nil {
		return err
	}
	if o.roles {
		if err := migrations.Roles(ctx, pool); err != nil {
			return err
		}
	}
	if o.json {
		return a.writeJSON(map[string]any{"migrations": appliedNow(applied)})
	}
	for _, m := range applied {
		fmt.Fprintf(a.out, "applied %s (%v)\n", m.Source.Path, m.Duration.Round(time.Millisecond))
	}
	fmt.Fprintf(a.out, "the database is up to date: %s applied now\n", counted(int64(len(applied)), "migration"))
	if o.roles {
		fmt.Fprintf(a.out, "roles %s and %s have their rights\n", migrations.Writer, migrations.Worker)
	}
	return nil
}

func appliedNow(results []*goose.MigrationResult) []migration {
	list := []migration{}
	for _, r := range results {
		ms := r.Duration.Milliseconds()
		list = append(list, migration{Name: r.Source.Path, State: "applied", MS: &ms})
	}
	return list
}

// listMigrations lists all migrations, and fails with errDiffers if some are pending.
func (a *app) listMigrations(ctx context.Context, pool *pgxpool.Pool, o migrateOptions) error {
	all, err := migrations.Status(ctx, pool)
	if err != nil {
		return err
	}
	list, pending := []migration{}, 0
	for _, s := range all {
		m := migration{Name: s.Source.Path, State: string(s.State)}
		if s.State == goose.StatePending {
			pending++
		} else {
			m.AppliedAt = &s.AppliedAt
		}
		list = append(list, m)
	}
	if err := a.printMigrations(list, o.json); err != nil {
		return err
	}
	if pending > 0 {
		return errDiffers
	}
	return nil
}

func (a *app) printMigrations(list []migration, json bool) error {
	if json {
		return a.writeJSON(map[string]any{"migrations": list})
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MIGRATION\tSTATE")
	for _, m := range list {
		state := m.State
		if m.AppliedAt != nil {
			state += m.AppliedAt.UTC().Format(" 2006-01-02 15:04:05Z")
		}
		fmt.Fprintf(w, "%s\t%s\n", m.Name, state)
	}
	return w.Flush()
}
