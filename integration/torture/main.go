package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/internal/esserver"
	"github.com/outflow-db/outflow/internal/pgserver"
	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/migrations"
)

func main() {
	if text := os.Getenv(workerEnv); text != "" {
		os.Exit(work(text))
	}
	o := options{Out: os.Stdout, Round: 12 * time.Second, Prefix: "torture-"}
	flag.DurationVar(&o.Duration, "d", 24*time.Second, "how long to write")
	flag.Uint64Var(&o.Seed, "seed", rand.Uint64(), "of the workload")
	flag.IntVar(&o.Writers, "writers", 10, "connections that write")
	flag.IntVar(&o.Workers, "workers", 3, "processes that project")
	elastic := flag.Bool("elasticsearch", false, "a real Elasticsearch takes part; it is started, and fetched before that if need be")
	flag.BoolVar(&o.Listen, "listen", false, "notifications instead of polling, and no prepared transactions")
	flag.StringVar(&o.Dir, "logs", "", "directory for the workers' logs; kept if given")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := command(ctx, o, *elastic); err != nil {
		_, _ = fmt.Fprintf(os.Stdout, "torture: FAILED with seed %d: %v\n", o.Seed, err)
		os.Exit(1) //nolint:gocritic // cancel does nothing more
	}
	_, _ = fmt.Fprintf(os.Stdout, "torture: 0 differences with seed %d\n", o.Seed)
}

// command runs the torture on private servers.
func command(ctx context.Context, o options, elastic bool) (err error) {
	if o.Dir == "" {
		if o.Dir, err = os.MkdirTemp("", "outflow-torture-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.Dir)) }()
	}
	server, err := pgserver.Start(ctx, pgtest.Config())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	o.Source, o.Remote = server.URL("source"), server.URL("remote")
	if err := databases(ctx, server.URL("postgres"), o.Source); err != nil {
		return err
	}
	if elastic {
		es, err := esserver.Start(ctx, esserver.Config{})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, es.Close()) }()
		o.Search = es.URL()
	}
	say(o.Out, "seed %d, %v of writing", o.Seed, o.Duration)
	return run(ctx, o)
}

// databases makes both, and migrates the source.
func databases(ctx context.Context, admin, source string) error {
	pool, err := pgxpool.New(ctx, admin)
	if err != nil {
		return err
	}
	defer pool.Close()
	for _, name := range []string{"source", "remote"} {
		if _, err := pool.Exec(ctx, "create database "+name); err != nil {
			return err
		}
	}
	to, err := pgxpool.New(ctx, source)
	if err != nil {
		return err
	}
	defer to.Close()
	_, err = migrations.Up(ctx, to)
	return err
}

func say(out io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(out, format+"\n", args...) // there is nobody else to tell
}
