package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/config"
	"github.com/outflow-db/outflow/jobs"
)

// lookEvery is how often workers look whether the configuration has changed.
const lookEvery = 2 * time.Second

// refusedEvery is how often a configuration is tried again that cannot be run: what it needs may have been done
// meanwhile, such as a rebuild beside.
const refusedEvery = 10 * time.Second

// hangups are the signals that ask for the configuration to be read again. The caller calls stop in the end.
func hangups() (asked chan os.Signal, stop func()) {
	asked = make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGHUP)
	return asked, func() { signal.Stop(asked) }
}

// reloader keeps a running engine to the configuration as it is now: its file, the files that it refers to, the
// environment.
type reloader struct {
	read    func() (*config.Config, error)
	engine  changer
	try     func(context.Context, *config.Config) error // whether another engine could run with it
	log     *slog.Logger
	pool    *pgxpool.Pool
	runs    *config.Config // what the engine runs with
	seen    *config.Config // what was read last, and is not taken yet
	refused *config.Config // what cannot be run
	again   time.Time      // when that is tried again
	told    string         // what was told of one that cannot be read or taken
}

// changer is an engine.
type changer interface {
	Change(ctx context.Context, c jobs.Config) error
}

// follow takes every new configuration until ctx ends, or until one needs another engine: that is the answer.
func (r *reloader) follow(ctx context.Context, asked <-chan os.Signal) (next *config.Config) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-asked:
			next = r.look(ctx, true)
		case <-ticker.C:
			next = r.look(ctx, false)
		}
		if next != nil {
			return next
		}
	}
}

// look reads the configuration and takes it if it is another one. One that nobody asked for must have been read twice
// the same: an editor may be in the middle of writing it, and what is missing would be taken out.
func (r *reloader) look(ctx context.Context, asked bool) (next *config.Config) {
	c, err := r.read()
	if err != nil {
		r.broken(ctx, err, asked)
		return nil
	}
	c = unplaced(c)
	switch {
	case reflect.DeepEqual(c, r.runs):
		if asked || r.told != "" {
			r.log.InfoContext(ctx, "the configuration is as it was", "file", c.Name)
		}
		r.seen, r.refused, r.told = nil, nil, ""
		return nil
	case !asked && !reflect.DeepEqual(c, r.seen):
		r.seen = c
		return nil
	case !asked && reflect.DeepEqual(c, r.refused) && time.Now().Before(r.again):
		return nil
	}
	r.seen = c
	if asked {
		r.told = ""
	}
	return r.take(ctx, c)
}

// broken tells, once, what is wrong with the file.
func (r *reloader) broken(ctx context.Context, err error, asked bool) {
	r.seen = nil
	if err.Error() == r.told && !asked {
		return
	}
	r.told = err.Error()
	r.log.ErrorContext(ctx, "the configuration is wrong: the old one goes on", "problems", strings.Split(err.Error(), "\n"))
}

// take makes the engine run with c.
func (r *reloader) take(ctx context.Context, c *config.Config) (next *config.Config) {
	err := jobs.ErrRestart
	if c.Database == r.runs.Database && c.Log == r.runs.Log && c.Console == r.runs.Console {
		err = r.engine.Change(ctx, c.Jobs(r.pool, r.log))
	}
	if errors.Is(err, jobs.ErrRestart) {
		if err = r.try(ctx, c); err == nil {
			r.log.InfoContext(ctx, "the configuration has changed: the workers start anew", "changed", changed(r.runs, c))
			return c
		}
	}
	switch plan, refused := errors.AsType[*jobs.PlanError](err); {
	case err == nil:
		r.log.InfoContext(ctx, "the configuration has changed", "changed", changed(r.runs, c))
		r.runs, r.seen, r.refused, r.told = c, nil, nil, ""
	case ctx.Err() != nil:
	case refused:
		news := !reflect.DeepEqual(c, r.refused) || r.told != plan.Error()
		r.refused, r.again, r.told = c, time.Now().Add(refusedEvery), plan.Error()
		if !news {
			break
		}
		r.log.ErrorContext(ctx, "the configuration cannot work: the old one goes on", "problems", strings.Split(plan.Error(), "\n"))
	case r.told != err.Error():
		r.told = err.Error()
		r.log.WarnContext(ctx, "taking the configuration failed: the old one goes on, and this is tried again", "error", config.Redact(err.Error()))
	}
	return nil
}

// changed names what differs between two configurations, without secrets.
func changed(was, is *config.Config) []string {
	var list []string
	for _, part := range []struct {
		name   string
		differ bool
	}{
		{"database", was.Database != is.Database},
		{"log", was.Log != is.Log},
		{"console", was.Console != is.Console},
		{"worker", was.Worker != is.Worker},
		{"alerts", !reflect.DeepEqual(was.Alerts, is.Alerts)},
	} {
		if part.differ {
			list = append(list, "~ "+part.name)
		}
	}
	list = append(list, differences("kind ", was.Kinds, is.Kinds, func(k config.Kind) string { return k.Name })...)
	list = append(list, differences("backend ", was.Backends, is.Backends, func(b config.Backend) string { return b.Name })...)
	return append(list, differences("projection ", was.Projections, is.Projections, func(p config.Projection) string { return p.Backend + "/" + p.Target })...)
}

// differences names the elements that are new, that changed and that are gone.
func differences[T any](what string, was, is []T, name func(T) string) []string {
	had, has := map[string]T{}, map[string]T{}
	for _, v := range was {
		had[name(v)] = v
	}
	var list []string
	for _, v := range is {
		n := name(v)
		has[n] = v
		switch old, there := had[n]; {
		case !there:
			list = append(list, "+ "+what+n)
		case !reflect.DeepEqual(old, v):
			list = append(list, "~ "+what+n)
		}
	}
	for _, v := range was {
		if _, there := has[name(v)]; !there {
			list = append(list, "- "+what+name(v))
		}
	}
	return list
}

// unplaced is the configuration without the lines where its parts stand: they do not make it another one.
func unplaced(c *config.Config) *config.Config {
	bare := *c
	bare.Kinds, bare.Backends, bare.Projections = slices.Clone(c.Kinds), slices.Clone(c.Backends), slices.Clone(c.Projections)
	for i := range bare.Kinds {
		bare.Kinds[i].Line = 0
	}
	for i := range bare.Backends {
		bare.Backends[i].Line = 0
	}
	for i := range bare.Projections {
		bare.Projections[i].Line = 0
	}
	return &bare
}

// try finds out whether an engine could run with another configuration, without running it.
func (a *app) try(ctx context.Context, c *config.Config) error {
	pool, err := a.poolFor(ctx, c, 0)
	if err != nil {
		return err
	}
	defer pool.Close()
	settings := c.Jobs(pool, nil)
	p, err := jobs.MakePlan(ctx, settings, jobs.PlanOptions{})
	if err != nil {
		return err
	}
	if len(p.Problems) > 0 {
		return &jobs.PlanError{Problems: p.Problems}
	}
	engine, err := jobs.New(ctx, settings)
	if err != nil {
		return err
	}
	return engine.Close()
}
