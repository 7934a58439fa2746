package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outflow-db/outflow/config"
	"github.com/outflow-db/outflow/jobs"
)

// changes counts what an engine was asked to change to, and answers an error.
type changes struct {
	n   int
	err error
}

func (c *changes) Change(context.Context, jobs.Config) error { c.n++; return c.err }

// reloading is a reloader of what the test says, with its log.
func reloading(file *config.Config, wrong *error) (*reloader, *changes, *bytes.Buffer) {
	var log bytes.Buffer
	engine := &changes{}
	return &reloader{
		read: func() (*config.Config, error) { return file, *wrong }, engine: engine,
		try: func(context.Context, *config.Config) error { return nil },
		log: slog.New(slog.NewTextHandler(&log, nil)), runs: &config.Config{},
	}, engine, &log
}

// A changed file is taken when it has been read twice the same, or at once when somebody asks.
func TestReloadWaitsForAWholeFile(t *testing.T) {
	t.Parallel()
	var wrong error
	file := &config.Config{Kinds: []config.Kind{{Name: "a", Line: 3}}}
	r, engine, _ := reloading(file, &wrong)
	for i, want := range []int{0, 1, 1} {
		if r.look(t.Context(), false); engine.n != want {
			t.Errorf("look %d: %d changes, want %d", i+1, engine.n, want)
		}
	}
	file.Kinds = []config.Kind{{Name: "a", Line: 99}}
	if r.look(t.Context(), true); engine.n != 1 {
		t.Error("another line is another configuration")
	}
	file.Kinds = []config.Kind{{Name: "b"}}
	if r.look(t.Context(), true); engine.n != 2 {
		t.Error("it was asked for and not taken")
	}
}

// What cannot be taken is told once, and again only when somebody asks; what failed is tried again.
func TestReloadTellsOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		unread, change error
		tries          int
	}{
		"cannot be read": {errors.New("x.yaml:1:1: wrong\nx.yaml:2:1: wrong"), nil, 0},
		"cannot work":    {nil, &jobs.PlanError{Problems: []jobs.Trouble{{Text: "wrong"}}}, 1},
		"failed":         {nil, errors.New("connection lost: postgres://u:geheim@h/d"), 5},
	} {
		wrong := c.unread
		r, engine, log := reloading(&config.Config{Database: ""}, &wrong)
		r.runs = &config.Config{Kinds: []config.Kind{{Name: "a"}}}
		engine.err = c.change
		for range 6 {
			if next := r.look(t.Context(), false); next != nil {
				t.Errorf("%s: a restart", name)
			}
		}
		if n := strings.Count(log.String(), "the old one goes on"); n != 1 || engine.n != c.tries || strings.Contains(log.String(), "geheim") {
			t.Errorf("%s: told %d times, tried %d times: %s", name, n, engine.n, log)
		}
		if r.look(t.Context(), true); name == "cannot be read" && strings.Count(log.String(), "the old one goes on") != 2 {
			t.Errorf("%s: asked, it says nothing", name)
		}
		wrong, engine.err = nil, nil
		r.read = func() (*config.Config, error) { return r.runs, nil }
		if r.look(t.Context(), false); !strings.Contains(log.String(), "the configuration is as it was") {
			t.Errorf("%s: nobody is told that it is well again", name)
		}
	}
}

// Other settings of workers, another database or log need another engine, if one can run with them.
func TestReloadWithAnotherEngine(t *testing.T) {
	t.Parallel()
	var wrong error
	for _, c := range []struct {
		file  *config.Config
		tried error
		again bool
	}{
		{&config.Config{Database: "host=other"}, nil, true},
		{&config.Config{Log: config.Log{Format: "json"}}, nil, true},
		{&config.Config{Database: "host=other"}, errors.New("no such host"), false},
		{&config.Config{Database: "host=other"}, &jobs.PlanError{Problems: []jobs.Trouble{{Text: "wrong"}}}, false},
	} {
		r, engine, _ := reloading(c.file, &wrong)
		r.try = func(context.Context, *config.Config) error { return c.tried }
		asked := make(chan os.Signal, 1)
		asked <- os.Interrupt
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if !c.again {
			r.log = slog.New(stopping{slog.DiscardHandler, cancel})
		}
		if next := r.follow(ctx, asked); (next != nil) != c.again || engine.n != 0 {
			t.Errorf("%+v: %v, %d changes", c, next, engine.n)
		}
		cancel()
	}
}

// stopping calls stop at the first thing that is logged.
type stopping struct {
	slog.Handler
	stop func()
}

func (s stopping) Enabled(context.Context, slog.Level) bool  { return true }
func (s stopping) Handle(context.Context, slog.Record) error { s.stop(); return nil }

// What differs is named, and no secret with it.
func TestChanged(t *testing.T) {
	t.Parallel()
	was := &config.Config{
		Database: "a", Kinds: []config.Kind{{Name: "k"}, {Name: "gone"}}, Backends: []config.Backend{{Name: "b", Settings: map[string]any{"password": "geheim"}}},
		Projections: []config.Projection{{Backend: "b", Target: "t"}},
	}
	is := &config.Config{
		Database: "b", Log: config.Log{Format: "json"}, Worker: jobs.Settings{Lanes: 2}, Kinds: []config.Kind{{Name: "k", PerRow: true}, {Name: "new"}},
		Backends: []config.Backend{{Name: "b", Settings: map[string]any{"password": "anders"}}}, Projections: []config.Projection{{Backend: "b", Target: "t"}},
	}
	want := []string{"~ database", "~ log", "~ worker", "~ kind k", "+ kind new", "- kind gone", "~ backend b"}
	if d := cmp.Diff(want, changed(was, is)); d != "" {
		t.Error(d)
	}
	if got := changed(is, is); len(got) > 0 {
		t.Errorf("of the same: %v", got)
	}
}

// What cannot be run is tried again after a while, without another word, and taken when it can.
func TestReloadTriesRefusedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var wrong error
		r, engine, log := reloading(&config.Config{Kinds: []config.Kind{{Name: "a"}}}, &wrong)
		engine.err = &jobs.PlanError{Problems: []jobs.Trouble{{Backend: "vectors", Text: "it needs a rebuild"}}}
		for i, want := range []int{0, 1, 1} {
			if r.look(t.Context(), false); engine.n != want {
				t.Errorf("look %d: %d changes, want %d", i+1, engine.n, want)
			}
		}
		time.Sleep(refusedEvery)
		if r.look(t.Context(), false); engine.n != 2 || strings.Count(log.String(), "needs a rebuild") != 1 {
			t.Errorf("%d changes; told: %s", engine.n, log)
		}
		time.Sleep(refusedEvery)
		engine.err = nil
		if r.look(t.Context(), false); engine.n != 3 || !strings.Contains(log.String(), "the configuration has changed") {
			t.Errorf("%d changes; told: %s", engine.n, log)
		}
	})
}
