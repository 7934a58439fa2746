package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/config"
	"github.com/outflow-db/outflow/outbox"
)

// shownRecord is a parked record with what its projection makes of it now.
type shownRecord struct {
	outbox.ParkedRecord
	Content json.RawMessage `json:"content"`           // null: the projection yields nothing, so it is to be deleted
	Problem string          `json:"problem,omitempty"` // why the content cannot be shown
}

func (a *app) parkedShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show BACKEND KIND KEY",
		Short: "Shows a parked record with what its projection makes of it now",
		Long: `Shows why a record is parked, what to do about it, and what its projection makes of it now.

With --json the output is {"records": [{..., "content", "problem"}]}: the fields of parked
list --keys; content is null when the record is to be deleted, problem says why it cannot be
shown.`,
		Example:     `  outflow parked show search relation '["4711", "calls", "4712"]'`,
		Annotations: exits(map[int]string{exitOK: "shown", exitNotWell: "it is not parked"}),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 3 {
				return usageError{fmt.Errorf("want a backend, a kind and a key: see %s --help", cmd.CommandPath())}
			}
			return nil
		},
		RunE: a.withConfig(func(ctx context.Context, c *config.Config, pool *pgxpool.Pool, args []string) error {
			return a.runParkedShow(ctx, c, pool, outbox.ParkedFilter{Backend: args[0], Kind: args[1], Keys: args[2:]}, asJSON)
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func (a *app) runParkedShow(ctx context.Context, c *config.Config, pool *pgxpool.Pool, f outbox.ParkedFilter, asJSON bool) error {
	records, err := outbox.ParkedRecords(ctx, pool, f, 100)
	if err != nil {
		return err
	}
	if len(records) == 0 {
		return fmt.Errorf("key %q of kind %s is not parked by backend %s", f.Keys[0], f.Kind, f.Backend)
	}
	var shown []shownRecord
	for _, r := range records {
		s := shownRecord{ParkedRecord: r}
		if s.Content, err = contentNow(ctx, pool, c, r); err != nil {
			s.Content, s.Problem = nil, inLine(err.Error())
		}
		shown = append(shown, s)
	}
	if asJSON {
		return a.writeJSON(map[string]any{"records": shown})
	}
	for _, s := range shown {
		a.printParked(s)
	}
	return nil
}

// contentNow is what the record's projection makes of it now.
func contentNow(ctx context.Context, pool *pgxpool.Pool, c *config.Config, r outbox.ParkedRecord) (json.RawMessage, error) {
	for _, p := range c.Projections {
		if p.Backend != r.Backend || p.Kind != r.Kind || p.Target != r.Target {
			continue
		}
		var content json.RawMessage
		err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			query := strings.TrimRight(strings.TrimSpace(p.Query), "; \n\t")
			return tx.QueryRow(ctx, "select to_jsonb(q) - 'key' from ("+query+"\n) q limit 1", []string{r.Key}).Scan(&content)
		})
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, nil
		}
		return content, err
	}
	return nil, errors.New("the configuration has no such projection")
}

func (a *app) printParked(s shownRecord) {
	fmt.Fprintf(a.out, "%s of kind %s, refused by %s for %s\n", s.Key, s.Kind, s.Backend, s.Target)
	fmt.Fprintf(a.out, "  why      %s (%s)\n", inLine(s.Error), s.Class)
	fmt.Fprintf(a.out, "  to do    %s\n", inLine(s.Advice))
	fmt.Fprintf(a.out, "  group    %s\n", s.Group)
	fmt.Fprintf(a.out, "  refused  %s, first %s, last %s\n", counted(int64(s.Attempts), "time"), s.First.UTC().Format(time.RFC3339), s.Last.UTC().Format(time.RFC3339))
	switch {
	case s.Problem != "":
		fmt.Fprintf(a.out, "  content  cannot be shown: %s\n", s.Problem)
	case s.Content == nil:
		fmt.Fprintln(a.out, "  content  none: the record is to be deleted")
	default:
		fmt.Fprintf(a.out, "  content  %s\n", s.Content)
	}
}
