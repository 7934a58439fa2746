package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/outbox"
)

func (a *app) lanes() *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "lanes [BACKEND...]",
		Short: "Lists the lanes of backends, and splits them",
		Long: `Lists the lanes of the backends, or of all: the share of the keys that a lane has, how far it
is behind, who works it, and for how long the lease still holds. A backend's lanes are worked
side by side, by any number of processes; one lane has one worker at a time.

With --json the output is {"lanes": [{"backend", "lane", "share", "changes", "lag_seconds",
"owner", "lease_seconds", "saved_at", "position"}]}: share is from 0 to 1, owner is null when
nobody holds the lane, and lease_seconds then as well.`,
		Example: `  outflow lanes
  outflow lanes search --json
  outflow lanes split search 4`,
		Annotations: exits(map[int]string{exitOK: "listed", exitNotWell: "PostgreSQL refused a statement", exitUsage: "no such backend; or wrong flags, configuration or set-up"}),
		Args:        func(*cobra.Command, []string) error { return nil },
		RunE: a.withPool(func(ctx context.Context, pool *pgxpool.Pool, backends []string) error {
			return a.showLanes(ctx, pool, json, backends)
		}),
	}
	cmd.Flags().BoolVar(&json, "json", false, "write JSON")
	cmd.AddCommand(a.splitLanes())
	return cmd
}

// laneRow is a lane, as --json shows it.
type laneRow struct {
	Backend string    `json:"backend"`
	Lane    int       `json:"lane"`
	Share   float64   `json:"share"`
	Changes int64     `json:"changes"`
	Lag     float64   `json:"lag_seconds"`
	Owner   *string   `json:"owner"`
	Lease   *float64  `json:"lease_seconds"`
	Saved   time.Time `json:"saved_at"`
	Pos     string    `json:"position"`
}

const laneRowsSQL = `
select g.backend, g.lane, (l.hi - l.lo) / 4294967296.0::float8 as share, g.keys::bigint as changes, g.seconds as lag,
       case when g.expires > clock_timestamp() then g.owner end as owner,
       case when g.expires > clock_timestamp() and g.owner is not null then extract(epoch from g.expires - clock_timestamp())::float8 end as lease,
       g.saved_at as saved, g.position::text as pos
  from outbox.lag g join outbox.lanes l on l.backend = g.backend and l.lane = g.lane
 where $1::text[] = '{}' or g.backend = any($1) order by g.backend, l.lo`

func laneRows(ctx context.Context, db outbox.DB, backends []string) ([]laneRow, error) {
	rows, err := db.Query(ctx, laneRowsSQL, append([]string{}, backends...))
	if err != nil {
		return nil, fmt.Errorf("reading the lanes: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[laneRow])
	if err != nil {
		return nil, fmt.Errorf("reading the lanes: %w", err)
	}
	for _, name := range backends {
		if !slices.ContainsFunc(list, func(l laneRow) bool { return l.Backend == name }) {
			return nil, usageError{fmt.Errorf("this database has no backend %q: outflow status lists them", name)}
		}
	}
	return append([]laneRow{}, list...), nil
}

func (a *app) showLanes(ctx context.Context, pool *pgxpool.Pool, json bool, backends []string) error {
	list, err := laneRows(ctx, pool, backends)
	if err != nil {
		return err
	}
	if json {
		return a.writeJSON(map[string]any{"lanes": list})
	}
	if len(list) == 0 {
		fmt.Fprintln(a.out, "no backend follows this database yet: outflow apply sets up those that are configured")
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LANE\tSHARE\tLAG\tWORKER\tLEASE\tSAVED")
	for _, l := range list {
		owner, lease := "none", "none"
		if l.Owner != nil {
			owner, lease = *l.Owner, span(time.Duration(*l.Lease*float64(time.Second)))
		}
		fmt.Fprintf(w, "%s/%d\t%.3g %%\t%s\t%s\t%s\t%s ago\n", l.Backend, l.Lane, l.Share*100,
			lag(l.Changes, time.Duration(l.Lag*float64(time.Second))), owner, lease, span(max(0, time.Since(l.Saved))))
	}
	return w.Flush()
}

// splitOptions are the flags of lanes split.
type splitOptions struct {
	lane    int
	timeout time.Duration
	json    bool
}

func (a *app) splitLanes() *cobra.Command {
	var o splitOptions
	cmd := &cobra.Command{
		Use:   "split BACKEND N",
		Short: "Splits a lane of a backend into N lanes",
		Long: `Divides a lane into N lanes of equal shares, which start exactly where it was: nothing is lost
and nothing is written twice. Its worker finishes its page and lets go; workers take the parts
up. Lanes are not joined again. Each lane needs two connections of every process that may work
it: see pool_max_conns in the database's URL.

The output, also with --json, is that of outflow lanes BACKEND afterwards.`,
		Example: `  outflow lanes split search 4
  outflow lanes split search 2 --lane 3`,
		Annotations: exits(map[int]string{
			exitOK: "split", exitNotWell: "the lane's worker did not let go in time: nothing was changed",
			exitUsage: "no such backend or lane, or N is not 2 to 256; or wrong flags, configuration or set-up",
		}),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageError{fmt.Errorf("want a backend and a number of lanes: see %s --help", cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			parts, err := strconv.Atoi(args[1])
			if err != nil || parts < 2 || parts > 256 {
				return usageError{fmt.Errorf("%q is no number of lanes: want 2 to 256", args[1])}
			}
			return a.withPool(func(ctx context.Context, pool *pgxpool.Pool, args []string) error {
				return a.runSplit(ctx, pool, o, args[0], parts)
			})(cmd, args)
		},
	}
	cmd.Flags().IntVar(&o.lane, "lane", -1, "split this `LANE`; needed when there are several")
	cmd.Flags().DurationVar(&o.timeout, "timeout", time.Minute, "give up when the lane is not free after this `TIME`")
	cmd.Flags().BoolVar(&o.json, "json", false, "write JSON")
	return cmd
}

func (a *app) runSplit(ctx context.Context, pool *pgxpool.Pool, o splitOptions, backend string, parts int) error {
	list, err := laneRows(ctx, pool, []string{backend})
	if err != nil {
		return err
	}
	lane, err := o.which(list)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeoutCause(ctx, o.timeout, errors.New("its worker did not let go in time"))
	defer cancel()
	if err := outbox.Split(limited, pool, backend, lane, parts); err != nil {
		return err
	}
	return a.showLanes(ctx, pool, o.json, []string{backend})
}

// which is the lane to split.
func (o splitOptions) which(list []laneRow) (int, error) {
	var have []string
	for _, l := range list {
		if l.Lane == o.lane || o.lane < 0 && len(list) == 1 {
			return l.Lane, nil
		}
		have = append(have, strconv.Itoa(l.Lane))
	}
	text := strings.Join(have, ", ")
	if o.lane < 0 {
		return 0, usageError{fmt.Errorf("which lane? Name one by --lane: backend %s has %s", list[0].Backend, text)}
	}
	return 0, usageError{fmt.Errorf("backend %s has no lane %d: it has %s", list[0].Backend, o.lane, text)}
}
