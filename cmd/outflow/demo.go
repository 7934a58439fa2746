package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/backends/elasticsearch"
	"github.com/outflow-db/outflow/config"
	"github.com/outflow-db/outflow/internal/esserver"
	"github.com/outflow-db/outflow/internal/progress"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/migrations"
)

// demoOptions are the flags of demo.
type demoOptions struct {
	files, dir          string
	keep, elasticsearch bool
}

// demo is one run of the demo.
type demo struct {
	a       *app
	options demoOptions
	most    int // files; 0: all
	dir     string
	on      *demoDatabase
	search  *esserver.Server // nil: not wanted
	config  *config.Config
	pool    *pgxpool.Pool
	jobs    jobs.Config
	out     outcome
}

func (a *app) demo() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Loads real source code, projects it, and proves that it arrived",
		Long: `Loads the Go source code of this machine into PostgreSQL, in transactions that log what
they changed, while workers project it into the read model; then compares both, record by
record, and asks the read model three questions.

With --elasticsearch it goes into a private Elasticsearch as well, which is fetched once with
Maven, and needs Java 17 or newer.

PostgreSQL is the server of --database or DATABASE_URL, where a database outflow_demo is made
and dropped again; else a private server, of the programs on this machine or fetched ones.
At the end, and after an interrupt, nothing is left.`,
		Example: `  outflow demo
  outflow demo --files all --keep
  outflow demo --elasticsearch
  outflow demo --dir ~/src/project`,
		Annotations: exits(map[int]string{
			exitOK:      "everything arrived: the read model agrees with PostgreSQL",
			exitNotWell: "something differs, or failed",
		}),
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runDemo(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.files, "files", "1000", "how many `FILES`: a number, or all")
	f.StringVar(&o.dir, "dir", "", "`DIRECTORY` of Go source (default: the Go tree of this machine)")
	f.BoolVar(&o.elasticsearch, "elasticsearch", false, "project files and symbols into a private Elasticsearch, too")
	f.BoolVar(&o.keep, "keep", false, "keep the database and the workers afterwards, until Ctrl-C")
	return cmd
}

func (a *app) runDemo(ctx context.Context, o demoOptions) (err error) {
	d := &demo{a: a, options: o}
	if err := d.choose(ctx); err != nil {
		return err
	}
	if err := d.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.setUp(ctx); err != nil {
		return err
	}
	return d.work(ctx)
}

// choose finds out what to load.
func (d *demo) choose(ctx context.Context) error {
	if d.options.files != "all" {
		n, err := strconv.Atoi(d.options.files)
		if err != nil || n < 1 {
			return usageError{fmt.Errorf("--files is %q: want a number above 0, or all", d.options.files)}
		}
		d.most = n
	}
	d.dir = d.options.dir
	if d.dir == "" {
		root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
		if err != nil {
			return usageError{fmt.Errorf("asking go for its source code: %w: name a directory of Go source with --dir", err)}
		}
		d.dir = filepath.Join(strings.TrimSpace(string(root)), "src")
	}
	if info, err := os.Stat(d.dir); err != nil || !info.IsDir() {
		return usageError{fmt.Errorf("%s is no directory of Go source: name one with --dir", d.dir)}
	}
	return nil
}

// open makes the database and connects to it.
func (d *demo) open(ctx context.Context) (err error) {
	var what atomic.Value
	what.Store("starting PostgreSQL")
	line := progress.Start(d.a.err, d.a.width, func() string { return what.Load().(string) })
	d.on, err = d.a.demoServer(ctx)
	if err == nil && d.options.elasticsearch {
		what.Store("starting Elasticsearch")
		if d.search, err = esserver.Start(ctx, esserver.Config{}); err != nil {
			err = errors.Join(err, d.on.close())
		}
	}
	what.Store("")
	line.Stop()
	if err != nil {
		return err
	}
	env := (&app{env: d.a.env, database: d.on.url}).environment()
	if d.config, err = config.Parse("built-in configuration", builtIn, env); err == nil {
		d.searchable()
		d.pool, err = connect(ctx, d.on.url, 2*len(d.config.Backends)*max(1, d.config.Worker.Lanes)+12)
	}
	if err != nil {
		return errors.Join(err, d.end())
	}
	return nil
}

// searchable has files and symbols projected into Elasticsearch as well, as into the read model.
func (d *demo) searchable() {
	if d.search == nil {
		return
	}
	d.config.Backends = append(d.config.Backends, config.Backend{Name: "search", Type: elasticsearch.Type, Settings: map[string]any{"addresses": d.search.URL()}})
	for _, p := range slices.Clone(d.config.Projections) {
		if p.Kind == "file" || p.Kind == "symbol" {
			p.Backend, p.Settings = "search", map[string]any{"replicas": 0}
			d.config.Projections = append(d.config.Projections, p)
		}
	}
}

// close leaves nothing behind.
func (d *demo) close() error {
	d.pool.Close()
	return d.end()
}

// end ends the servers.
func (d *demo) end() error {
	err := d.on.close()
	if d.search != nil {
		err = errors.Join(err, d.search.Close())
	}
	return err
}

// setUp migrates the database and sets the engine up.
func (d *demo) setUp(ctx context.Context) error {
	d.say("server", d.on.about)
	if d.search != nil {
		d.say("server", "Elasticsearch, a private server at "+d.search.URL())
	}
	started := time.Now()
	applied, err := migrations.Up(ctx, d.pool)
	if err != nil {
		return err
	}
	d.say("schemas", fmt.Sprintf("%s applied in %s", counted(int64(len(applied)), "migration"), span(time.Since(started))))
	log := slog.New(slog.NewTextHandler(d.a.err, &slog.HandlerOptions{Level: max(slog.LevelWarn, d.config.Log.Level)}))
	d.jobs = d.config.Jobs(d.pool, log)
	if err := jobs.Setup(ctx, d.jobs); err != nil {
		return err
	}
	d.say("source", d.dir)
	return nil
}

// work loads and projects at the same time, then proves and shows what came of it.
func (d *demo) work(ctx context.Context) (err error) {
	engine, err := jobs.New(ctx, d.jobs)
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	ctx, giveUp := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		defer giveUp() // without workers there is nothing to wait for
		ended <- engine.Run(working)
	}()
	defer func() {
		stop()
		err = errors.Join(<-ended, err)
	}()
	if err := d.fill(ctx); err != nil {
		return err
	}
	// Nobody has had time to gather statistics about what was loaded just now.
	if _, err := d.pool.Exec(ctx, "analyze"); err != nil {
		return fmt.Errorf("gathering statistics: %w", err)
	}
	if d.out.report, err = d.a.compare(ctx, d.jobs, verifyOptions{limit: 5}); err != nil {
		return err
	}
	if err := d.summary(ctx); err != nil {
		return err
	}
	if d.options.keep {
		d.stay(ctx)
	}
	if !d.out.report.OK() {
		return errDiffers
	}
	return nil
}

// say tells one fact about the demo.
func (d *demo) say(what, fact string) { fmt.Fprintf(d.a.out, "%-12s %s\n", what, fact) }
