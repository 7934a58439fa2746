package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/outbox"
)

// parkedFlags choose parked records.
type parkedFlags struct {
	outbox.ParkedFilter
	all bool
}

func (a *app) parked() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "parked",
		Short: "Lists, shows, retries or drops what backends refused",
		Long: `A record that a backend refuses for good is parked, with the reason, and the work goes on.
A later write of its key that the backend takes ends that by itself. When the cause is
mended without such a write, in the store for example, retry has the records written again.`,
		Example:     "  outflow parked list\n  outflow parked show search symbol 4711\n  outflow parked retry --backend search --kind symbol",
		Annotations: exits(nil),
		Args:        noArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.parkedList(), a.parkedShow(), a.parkedRetry(), a.parkedDrop())
	return cmd
}

func (a *app) parkedList() *cobra.Command {
	var f parkedFlags
	var json, keys bool
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Lists what is parked, by reason or by record",
		Long: `Lists what is parked, grouped by backend, kind and reason; with --keys record by record, those
refused last first.

With --json the output is {"groups": [{"backend", "kind", "target", "class", "error",
"advice", "records", "key", "first_at", "last_at"}]}, where key is the one refused last; with
--keys {"records": [{"backend", "kind", "target", "key", "class", "error", "advice",
"attempts", "version", "first_at", "last_at"}]}.`,
		Example:     "  outflow parked list\n  outflow parked list --backend search --keys --json | jq -r '.records[].key'",
		Annotations: exits(map[int]string{exitOK: "told, whatever it is", exitNotWell: "PostgreSQL refused a statement"}),
		Args:        noArgs,
		RunE: a.withPool(func(ctx context.Context, pool *pgxpool.Pool, _ []string) error {
			if keys {
				return a.listParkedRecords(ctx, pool, f.ParkedFilter, limit, json)
			}
			return a.listParkedGroups(ctx, pool, f.ParkedFilter, json)
		}),
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&keys, "keys", false, "list records instead of groups")
	cmd.Flags().IntVar(&limit, "limit", 100, "records `AT MOST`, with --keys")
	cmd.Flags().BoolVar(&json, "json", false, "write JSON")
	return cmd
}

func (f *parkedFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.Backend, "backend", "", "only of this `BACKEND`")
	cmd.Flags().StringVar(&f.Kind, "kind", "", "only of this `KIND`")
	cmd.Flags().StringVar(&f.Target, "target", "", "only of this `TARGET`")
	cmd.Flags().StringVar(&f.Class, "class", "", "only of this `CLASS` of errors, such as rejected")
	cmd.Flags().StringArrayVar(&f.Keys, "key", nil, "only this `KEY`; can be repeated")
}

func (a *app) listParkedGroups(ctx context.Context, pool *pgxpool.Pool, f outbox.ParkedFilter, json bool) error {
	groups, err := outbox.ParkedGroups(ctx, pool, f)
	if err != nil {
		return err
	}
	if json {
		return a.writeJSON(map[string]any{"groups": orEmpty(groups)})
	}
	if len(groups) == 0 {
		fmt.Fprintln(a.out, "nothing is parked")
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "BACKEND\tKIND\tTARGET\tRECORDS\tLAST\tSUCH AS\tWHY")
	for _, g := range groups {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s ago\t%s\t%s\n", g.Backend, g.Kind, g.Target, number(g.Records), since(g.Last), g.Key, inLine(g.Error))
	}
	return w.Flush()
}

func (a *app) listParkedRecords(ctx context.Context, pool *pgxpool.Pool, f outbox.ParkedFilter, limit int, json bool) error {
	records, err := outbox.ParkedRecords(ctx, pool, f, limit)
	if err != nil {
		return err
	}
	if json {
		return a.writeJSON(map[string]any{"records": orEmpty(records)})
	}
	if len(records) == 0 {
		fmt.Fprintln(a.out, "nothing is parked")
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "BACKEND\tKIND\tTARGET\tKEY\tTRIES\tLAST\tWHY")
	for _, r := range records {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s ago\t%s\n", r.Backend, r.Kind, r.Target, r.Key, r.Attempts, since(r.Last), inLine(r.Error))
	}
	return w.Flush()
}

func (a *app) parkedRetry() *cobra.Command {
	var f parkedFlags
	cmd := &cobra.Command{
		Use:   "retry",
		Short: "Has parked records written again",
		Long: `Puts the keys of parked records into the log again, for their backends. They stay parked until
they are written; those refused again count one try more. Choose by flags, or take --all.`,
		Example:     "  outflow parked retry --backend search\n  outflow parked retry --all",
		Annotations: exits(map[int]string{exitOK: "they are in the log", exitNotWell: "PostgreSQL refused a statement"}),
		Args:        noArgs,
		RunE: a.chosen(&f, func(ctx context.Context, pool *pgxpool.Pool) error {
			n, err := outbox.RetryParked(ctx, pool, f.ParkedFilter)
			if err == nil {
				fmt.Fprintf(a.out, "%s will be written again\n", counted(n, "record"))
			}
			return err
		}),
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.all, "all", false, "all that is parked")
	return cmd
}

func (a *app) parkedDrop() *cobra.Command {
	var f parkedFlags
	cmd := &cobra.Command{
		Use:   "drop",
		Short: "Forgets parked records",
		Long: `Forgets parked records. Their backends keep what they have of them: verify reports them as
missing or different from then on. Better take them out of the projection by a condition.
Choose by flags, or take --all.`,
		Example:     "  outflow parked drop --backend search --kind symbol --key 4711",
		Annotations: exits(map[int]string{exitOK: "they are forgotten", exitNotWell: "PostgreSQL refused a statement"}),
		Args:        noArgs,
		RunE: a.chosen(&f, func(ctx context.Context, pool *pgxpool.Pool) error {
			n, err := outbox.DropParked(ctx, pool, f.ParkedFilter)
			if err == nil {
				fmt.Fprintf(a.out, "%s forgotten\n", counted(n, "record"))
			}
			return err
		}),
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.all, "all", false, "all that is parked")
	return cmd
}

// chosen runs fn if the flags choose something: all only when that is said.
func (a *app) chosen(f *parkedFlags, fn func(context.Context, *pgxpool.Pool) error) func(*cobra.Command, []string) error {
	run := a.withPool(func(ctx context.Context, pool *pgxpool.Pool, _ []string) error { return fn(ctx, pool) })
	return func(cmd *cobra.Command, args []string) error {
		if none := f.Backend+f.Kind+f.Target+f.Class == "" && len(f.Keys) == 0; none != f.all {
			return usageError{errors.New("choose records by flags, or all of them by --all, and not both")}
		}
		return run(cmd, args)
	}
}

func since(t time.Time) string { return span(max(0, time.Since(t))) }

// orEmpty is list, or an empty one that JSON shows as such.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
