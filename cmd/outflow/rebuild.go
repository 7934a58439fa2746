package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/internal/progress"
	"github.com/outflow-db/outflow/outbox"
)

// rebuildOptions are the flags of rebuild.
type rebuildOptions struct {
	wait, json, beside, cancel bool
	timeout                    time.Duration
}

func (a *app) rebuild() *cobra.Command {
	var o rebuildOptions
	cmd := &cobra.Command{
		Use:   "rebuild BACKEND [KIND...]",
		Short: "Writes every record into a backend again",
		Long: `Puts every key of the kinds, or of all that the backend projects, into the log for this
backend alone. The workers write each record as it is now and delete what PostgreSQL does not
have; other backends do not notice. The targets stay readable all the time. It can be repeated
and interrupted: what is in the log is worked off.

With --beside the workers fill a new generation of each target, made as the configuration says
now, while readers go on to see the one before, which is written meanwhile, too. When the new
one has everything, has been compared with PostgreSQL and has caught up, readers see it from
one moment to the next, and the former one is removed. It is for changes that a target cannot
take in place, such as another mapping or another embedding model. It costs the store's space
for both. --beside --cancel gives it up. Backends of the types elasticsearch and qdrant can.

It is made with the configuration that this command reads. Workers whose file it is take it as
soon as the rebuild has begun. Others can go on with the one before until readers see the new
generation; then they leave the backend alone until they are started with the new one.

With --wait it returns when the backend has applied it all, with --beside when readers see it,
and shows how far it is.

With --json the output is {"backend", "kinds", "token", "waited_ms"}; the token is for
outflow wait, and waited_ms is null without --wait. With --beside it is {"backend", "targets":
[{"backend", "kind", "target", "generation", "building", "dropping", "phase", "note"}],
"waited_ms"}, where generation is what readers see and 0 means none, and with --cancel
{"backend", "cancelled"}.`,
		Example: `  outflow rebuild search
  outflow rebuild search order customer --wait --timeout 1h
  outflow rebuild search order --beside --wait
  outflow rebuild search order --beside --cancel`,
		Annotations: exits(map[int]string{
			exitOK:          "every key is in the log; with --wait: the backend has applied it",
			exitNotWell:     "the time was over, and the backend goes on by itself; or the rebuild was given up, or could not be begun",
			exitUsage:       "no such backend, or it does not project the kind; or wrong flags, configuration or set-up",
			exitUnreachable: "PostgreSQL, or with --beside the store, could not be reached",
		}),
		Args: someBackends,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.cancel && (!o.beside || o.wait):
				return usageError{errors.New("--cancel goes with --beside, and without --wait")}
			case o.beside:
				return a.runBeside(cmd.Context(), o, args[0], args[1:])
			default:
				return a.runRebuild(cmd.Context(), o, args[0], args[1:])
			}
		},
	}
	cmd.Flags().BoolVar(&o.beside, "beside", false, "fill a new generation beside the one that readers see")
	cmd.Flags().BoolVar(&o.cancel, "cancel", false, "with --beside, give up what is being filled")
	cmd.Flags().BoolVar(&o.wait, "wait", false, "return when the backend has applied it")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 0, "with --wait, give up after this `TIME`, such as 30s; 0: never")
	cmd.Flags().BoolVar(&o.json, "json", false, "write JSON")
	return cmd
}

// rebuilt is what --json shows.
type rebuilt struct {
	Backend string   `json:"backend"`
	Kinds   []string `json:"kinds"`
	Token   string   `json:"token"`
	Waited  *int64   `json:"waited_ms"`
}

func (a *app) runRebuild(ctx context.Context, o rebuildOptions, backend string, kinds []string) error {
	_, pool, err := a.ready(ctx, 0)
	if err != nil {
		return err
	}
	defer pool.Close()
	r := rebuilt{Backend: backend}
	if r.Kinds, err = kindsToRebuild(ctx, pool, backend, kinds); err != nil {
		return err
	}
	if r.Token, err = relog(ctx, pool, backend, r.Kinds); err != nil {
		return err
	}
	if !o.json {
		fmt.Fprintf(a.out, "%s: every %s is in the log; its token is %s\n", backend, strings.Join(r.Kinds, ", "), r.Token)
	}
	if o.wait {
		began := time.Now()
		if err := a.awaitRebuild(ctx, o, pool, r); err != nil {
			return err
		}
		ms := time.Since(began).Milliseconds()
		r.Waited = &ms
	}
	switch {
	case o.json:
		return a.writeJSON(r)
	case o.wait:
		fmt.Fprintf(a.out, "%s has applied it, after %s\n", backend, span(time.Duration(*r.Waited)*time.Millisecond))
	}
	return nil
}

// kindsToRebuild lists the kinds that the backend projects, of those that were asked for. It refuses others: to do
// nothing would look like success.
func kindsToRebuild(ctx context.Context, db outbox.DB, backend string, asked []string) ([]string, error) {
	var known bool
	var have []string
	err := db.QueryRow(ctx, `
select exists (select from outbox.backends where name = $1),
       array(select distinct kind from outbox.projections where backend = $1 order by kind)`, backend).Scan(&known, &have)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading what backend %s projects: %w", backend, err)
	case !known:
		return nil, usageError{fmt.Errorf("this database has no backend %q: outflow status lists them", backend)}
	case len(have) == 0:
		return nil, usageError{fmt.Errorf("backend %s projects nothing", backend)}
	case len(asked) == 0:
		return have, nil
	}
	for _, kind := range asked {
		if !slices.Contains(have, kind) {
			return nil, usageError{fmt.Errorf("backend %s does not project kind %q: it projects %s", backend, kind, strings.Join(have, ", "))}
		}
	}
	slices.Sort(asked)
	return slices.Compact(asked), nil
}

// relog logs all keys of the kinds in one transaction, and answers its token.
func relog(ctx context.Context, pool *pgxpool.Pool, backend string, kinds []string) (token string, err error) {
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		for _, kind := range kinds {
			if err := outbox.RelogAllFor(ctx, tx, outbox.Rebuild, backend, kind, outbox.Cause{}); err != nil {
				return err
			}
			if err := outbox.Note(ctx, tx, outbox.Event{What: "rebuild begun", Backend: backend, Kind: kind}); err != nil {
				return err
			}
		}
		token, err = outbox.Token(ctx, tx)
		return err
	})
	return token, err
}

// awaitRebuild waits for the backend and shows what is left meanwhile.
func (a *app) awaitRebuild(ctx context.Context, o rebuildOptions, pool *pgxpool.Pool, r rebuilt) error {
	ctx, cancel := within(ctx, o.timeout)
	defer cancel()
	var left atomic.Int64
	line := progress.Start(a.err, a.width, func() string {
		return fmt.Sprintf("rebuilding %s  %s in the log", r.Backend, counted(left.Load(), "change"))
	})
	defer line.Stop()
	counting, stop := context.WithCancel(ctx)
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		count(counting, pool, r.Backend, &left)
	}()
	defer func() { stop(); <-counted }()
	return outbox.Wait(ctx, pool, r.Token, r.Backend)
}

// count keeps left at what the log has for the backend. What it cannot learn is only not shown.
func count(ctx context.Context, pool *pgxpool.Pool, backend string, left *atomic.Int64) {
	for ctx.Err() == nil {
		var n int64
		if err := pool.QueryRow(ctx, `select coalesce(max(keys), 0)::bigint from outbox.lag where backend = $1`, backend).Scan(&n); err == nil {
			left.Store(n)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}
