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
A later write of its key that the backend takes ends that by itself.

Records of a kind that a target refuses for the same reason are a group. Workers try each
group again after growing pauses, from a minute to six hours: first a few of its records and,
if they are taken, the others. So it ends by itself when the cause is mended in the store as
well; retry has them written again at once.`,
		Example:     "  outflow parked list\n  outflow parked show search symbol 4711\n  outflow parked retry --group 3f0c2a91d7b4",
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
		Long: `Lists what is parked in groups of one reason, with when they are tried again; with --keys
record by record, those refused last first. TRIES is how often in a row some of a group were
tried again and none was taken; of a record, how often it was refused.

With --json the output is {"groups": [{"group", "backend", "kind", "target", "class", "error",
"advice", "records", "key", "first_at", "last_at", "tries", "next_at"}]}, where key, error and
advice are those of the record refused last; with --keys {"records": [{"backend", "kind",
"target", "key", "group", "class", "error", "advice", "attempts", "version", "first_at",
"last_at"}]}.`,
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
	cmd.Flags().StringVar(&f.Group, "group", "", "only of this `GROUP`, as list names it")
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
	fmt.Fprintln(w, "GROUP\tBACKEND\tKIND\tTARGET\tRECORDS\tLAST\tTRIES\tNEXT\tSUCH AS\tWHY")
	for _, g := range groups {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s ago\t%d\t%s\t%s\t%s\n",
			g.ID, g.Backend, g.Kind, g.Target, number(g.Records), since(g.Last), g.Tries, due(g.Next), g.Key, inLine(g.Error))
	}
	return w.Flush()
}

// due is when a group is tried again.
func due(at *time.Time) string {
	switch {
	case at == nil:
		return "-" // no worker has looked at it yet
	case time.Until(*at) <= 0:
		return "now"
	default:
		return "in " + span(time.Until(*at))
	}
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
	var reason string
	cmd := &cobra.Command{
		Use:   "retry",
		Short: "Has parked records written again",
		Long: `Puts the keys of parked records into the log again, for their backends: all of them at once,
not a few first as workers do. They stay parked until they are written; those refused again
count one try more. Choose by flags, or take --all. What was done is kept as events.`,
		Example:     "  outflow parked retry --group 3f0c2a91d7b4\n  outflow parked retry --backend search --key 4711\n  outflow parked retry --all",
		Annotations: exits(map[int]string{exitOK: "they are in the log", exitNotWell: "PostgreSQL refused a statement"}),
		Args:        noArgs,
		RunE: a.chosen(&f, func(ctx context.Context, pool *pgxpool.Pool) error {
			n, err := outbox.RetryParked(ctx, pool, f.ParkedFilter, reason)
			if err == nil {
				fmt.Fprintf(a.out, "%s will be written again\n", counted(n, "record"))
			}
			return err
		}),
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.all, "all", false, "all that is parked")
	cmd.Flags().StringVar(&reason, "reason", "", "`TEXT` that is kept with what was done")
	return cmd
}

func (a *app) parkedDrop() *cobra.Command {
	var f parkedFlags
	var reason string
	cmd := &cobra.Command{
		Use:   "drop",
		Short: "Forgets parked records",
		Long: `Forgets parked records. Their backends keep what they have of them: verify reports them as
missing or different from then on. Better take them out of the projection by a condition.
Choose by flags, or take --all. Who dropped what, and the reason, are kept as events: one for
each of up to 100 records, and one for all of more.`,
		Example:     "  outflow parked drop --backend search --kind symbol --key 4711 --reason 'generated, nobody searches it'",
		Annotations: exits(map[int]string{exitOK: "they are forgotten", exitNotWell: "PostgreSQL refused a statement"}),
		Args:        noArgs,
	}
	drop := a.chosen(&f, func(ctx context.Context, pool *pgxpool.Pool) error {
		n, err := outbox.DropParked(ctx, pool, f.ParkedFilter, reason)
		if err == nil {
			fmt.Fprintf(a.out, "%s forgotten\n", counted(n, "record"))
		}
		return err
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if reason = inLine(reason); reason == "" {
			return usageError{errors.New("say why by --reason: it is kept with what was dropped")}
		}
		return drop(cmd, args)
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.all, "all", false, "all that is parked")
	cmd.Flags().StringVar(&reason, "reason", "", "`TEXT` that is kept with what was dropped; it must be given")
	return cmd
}

// chosen runs fn if the flags choose something: all only when that is said.
func (a *app) chosen(f *parkedFlags, fn func(context.Context, *pgxpool.Pool) error) func(*cobra.Command, []string) error {
	run := a.withPool(func(ctx context.Context, pool *pgxpool.Pool, _ []string) error { return fn(ctx, pool) })
	return func(cmd *cobra.Command, args []string) error {
		if none := f.Backend+f.Kind+f.Target+f.Class+f.Group == "" && len(f.Keys) == 0; none != f.all {
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
