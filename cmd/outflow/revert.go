package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/outbox"
)

// revertOptions are the flags of revert.
type revertOptions struct {
	outbox.Reversal
	json bool
}

func (a *app) revert() *cobra.Command {
	var o revertOptions
	cmd := &cobra.Command{
		Use:   "revert {--transaction ID | --load ID}",
		Short: "Restores what a transaction or a load changed",
		Long: `Restores, in one transaction, the rows that a transaction or a load changed, in the tables of
kinds that keep history (kinds.NAME.history). Every backend follows, as with any other change.
It is refused, and nothing is changed, where rows were changed since, where history is not kept
or not kept any more, and where rows of others would be changed with them; the rows are listed.
--force restores the rows that were changed since, too, and those of the kinds that have
history when others have none. The reversal is a transaction itself, and can be reverted.

The ids of transactions are in the output of outflow audit, and are what outbox.token() answers;
those of loads are what outflow load calls them.

With --json the output is {"done", "transactions", "transaction", "tables": [{"kind", "table",
"inserted", "updated", "deleted"}], "conflicts", "samples": [{"kind", "key", "why"}],
"problems", "altered"}: transaction is the reversal's, altered counts rows that did not become
quite what they were because of generated columns or triggers.`,
		Example: `  outflow revert --load 20260131-nightly --dry-run
  outflow revert --transaction 815 --reason "wrong prices"`,
		Annotations: exits(map[int]string{
			exitOK: "reverted; with --dry-run: it could be", exitNotWell: "nothing was changed, and the output says why",
		}),
		Args: func(cmd *cobra.Command, args []string) error {
			if (o.Transaction == 0) == (o.Load == "") {
				return usageError{fmt.Errorf("want either --transaction or --load: see %s --help", cmd.CommandPath())}
			}
			return noArgs(cmd, args)
		},
		RunE: a.withPool(func(ctx context.Context, pool *pgxpool.Pool, _ []string) error { return a.runRevert(ctx, pool, o) }),
	}
	f := cmd.Flags()
	f.Uint64Var(&o.Transaction, "transaction", 0, "the `ID` of the transaction")
	f.StringVar(&o.Load, "load", "", "the `ID` of the load: the value of the header load")
	f.BoolVar(&o.DryRun, "dry-run", false, "only tell what would be done")
	f.BoolVar(&o.Force, "force", false, "also restore rows that were changed since")
	f.StringVar(&o.Reason, "reason", "", "`TEXT` for the audit")
	f.BoolVar(&o.json, "json", false, "write JSON")
	return cmd
}

func (a *app) runRevert(ctx context.Context, pool *pgxpool.Pool, o revertOptions) error {
	var done *outbox.Reverted
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
		done, err = outbox.Revert(ctx, tx, o.Reversal)
		return err
	})
	_, refused := errors.AsType[*outbox.RevertError](err)
	if err != nil && !refused {
		return err
	}
	if o.json {
		err = a.writeJSON(done)
	} else {
		fmt.Fprint(a.out, revertedText(done, o.DryRun))
	}
	if err == nil && (refused || done.Conflicts > 0 && !o.Force) {
		return errDiffers
	}
	return err
}

// revertedText tells what was reverted, or why nothing was.
func revertedText(r *outbox.Reverted, dry bool) string {
	var b strings.Builder
	for _, p := range r.Problems {
		fmt.Fprintln(&b, p)
	}
	for _, t := range r.Tables {
		fmt.Fprintf(&b, "%s: %s put back, %s restored, %s removed\n", t.Table, counted(t.Inserted, "row"), number(t.Updated), number(t.Deleted))
	}
	for _, s := range r.Samples {
		fmt.Fprintf(&b, "%s %s %s\n", s.Kind, s.Key, s.Why)
	}
	switch {
	case r.Done:
		fmt.Fprintf(&b, "%s reverted by transaction %s\n", counted(int64(len(r.Transactions)), "transaction"), r.Transaction)
		if r.Altered > 0 {
			fmt.Fprintf(&b, "%s not quite as before: generated columns or triggers of the tables changed them\n", counted(r.Altered, "row"))
		}
	case r.Conflicts > 0:
		fmt.Fprintf(&b, "nothing was changed: %s changed since (--force restores them all the same)\n", counted(r.Conflicts, "row"))
	case dry:
		fmt.Fprintln(&b, "nothing was changed: this is what would be done")
	default:
		fmt.Fprintln(&b, "nothing was changed")
	}
	return b.String()
}
