package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"

	"github.com/outflow-db/outflow/config"
)

// app is what every verb works with. Tests stand in for the process by it.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) (string, bool)
	width    func() int // of the terminal that err is; nil: it is none

	again bool // run has run an engine before: what goes wrong with the console does not end it

	file     string // --config
	database string // --database
}

// run runs a command line, says what went wrong, and is the exit status.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root() //nolint:contextcheck // cobra hands each verb its context
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && ctx.Err() != nil && !errors.Is(err, errDiffers) {
		err = ctx.Err() // what failed did so because it was interrupted
	}
	if ctx.Err() != nil && a.width != nil {
		fmt.Fprintln(a.err) // the terminal has written ^C
	}
	if message := complaint(err); message != "" {
		fmt.Fprintln(a.err, message)
	}
	return status(err)
}

// configuration reads the file that --config or OUTFLOW_CONFIG names, else ./outflow.yaml, else the built-in one.
func (a *app) configuration() (*config.Config, error) {
	env := a.environment()
	path := a.file
	if path == "" {
		path, _ = a.env("OUTFLOW_CONFIG")
	}
	if path != "" {
		return config.Load(path, env)
	}
	if _, err := os.Stat("outflow.yaml"); err == nil {
		return config.Load("outflow.yaml", env)
	}
	return config.Parse("built-in configuration", builtIn, env)
}

// environment is the process's, with --database as the variable that stands in for the file's.
func (a *app) environment() func(string) (string, bool) {
	return func(name string) (string, bool) {
		if name == "OUTFLOW_DATABASE" && a.database != "" {
			return a.database, true
		}
		return a.env(name)
	}
}

// logger logs to the standard error, as the configuration says.
func (a *app) logger(c *config.Config) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Log.Level}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(a.err, options))
	}
	return slog.New(slog.NewTextHandler(a.err, options))
}

// writeJSON writes one value to the standard output, indented for people, as jq would.
func (a *app) writeJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// widthOf tells a terminal's width, or is nil if f is none that understands more than lines.
func widthOf(f *os.File) func() int {
	if !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return nil
	}
	return func() int {
		width, _, err := term.GetSize(int(f.Fd()))
		if err != nil || width < 20 {
			return 80
		}
		return width
	}
}
