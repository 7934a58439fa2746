package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/config"
	"github.com/outflow-db/outflow/internal/progress"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/migrations"
)

// demoOptions are the flags of demo.
type demoOptions struct {
	files, dir string
	keep       bool
}

// demo is one run of the demo.
type demo struct {
	a       *app
	options demoOptions
	most    int // files; 0: all
	dir     string
	on      *demoDatabase
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

PostgreSQL is the server of --database or DATABASE_URL, where a database outflow_demo is made
and dropped again; else a private server, of the programs on this machine or fetched ones.
At the end, and after an interrupt, nothing is left.`,
		Example: `  outflow demo
  outflow demo --files all --keep
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
	var started atomic.Bool
	line := progress.Start(d.a.err, d.a.width, func() string {
		if started.Load() {
			return ""
		}
		return "starting PostgreSQL"
	})
	d.on, err = d.a.demoServer(ctx)
	started.Store(true)
	line.Stop()
	if err != nil {
		return err
	}
	env := (&app{env: d.a.env, database: d.on.url}).environment()
	if d.config, err = config.Parse("built-in configuration", builtIn, env); err == nil {
		d.pool, err = connect(ctx, d.on.url, 2*len(d.config.Backends)*max(1, d.config.Worker.Lanes)+12)
	}
	if err != nil {
		return errors.Join(err, d.on.close())
	}
	return nil
}

// close leaves nothing behind.
func (d *demo) close() error {
	d.pool.Close()
	return d.on.close()
}

// setUp migrates the database and sets the engine up.
func (d *demo) setUp(ctx context.Context) error {
	d.say("server", d.on.about)
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
