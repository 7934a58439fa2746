package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/outflow-db/outflow/alerts"
	"github.com/outflow-db/outflow/jobs"
)

// maxFile bounds the configuration file, so that a wrong path to something huge fails soon.
const maxFile = 4 << 20

// Config is a whole configuration: checked, its references replaced, its defaults filled in. It holds secrets;
// what it prints and logs of itself leaves them out.
type Config struct {
	Name        string // the file, as named to Load or Parse
	Database    string // the PostgreSQL that holds the truth; empty: what PGHOST and its like say
	Log         Log
	Console     Console
	Worker      jobs.Settings   // what the file leaves out is zero: the default
	Alerts      alerts.Settings // as Worker; holds secrets
	Verify      jobs.Schedule   // when backends are verified that do not say so themselves; zero: never
	Kinds       []Kind          // in the order of the file, as the lists below
	Backends    []Backend
	Projections []Projection
}

// Log says how the program logs.
type Log struct {
	Level  slog.Level // default: info
	Format string     // text or json; default: text
}

// Console is where workers are watched over HTTP. It holds secrets.
type Console struct {
	Listen   string // host:port, or off; empty: the default, see package console
	User     string // with Password; both or neither
	Password string
	Token    string // a bearer token; empty: none
}

// Off says that there shall be no console.
func (c Console) Off() bool { return c.Listen == "off" }

// String is where it listens.
func (c Console) String() string {
	if c.Listen == "" {
		return "console at the default address"
	}
	return "console at " + c.Listen
}

// GoString is String, so that %#v does not show secrets either.
func (c Console) GoString() string { return c.String() }

// Kind is a class of records.
type Kind struct {
	Name       string
	Table      string            // the watched table; empty: the records are in outbox.records, or where List says
	List       string            // without a table: the query that yields every key; outbox.changed says what changes
	Key        []string          // the table's key columns; empty: its primary key
	PerRow     bool              // row triggers instead of statement triggers
	History    bool              // previous rows are kept
	Dependants map[string]string // kind to the query that yields its keys for changed keys of this one
	Line       int               // where the file names it
}

// Backend is a configured store.
type Backend struct {
	Name     string
	Type     string         // one of backends.Types
	Settings map[string]any // never nil; may hold secrets
	Worker   jobs.Limits    // how it is written, where it differs from the file's worker, and when it is verified
	Line     int
}

// Projection is a query and a target that turn one kind into one backend's records.
type Projection struct {
	Kind, Backend, Target string
	Query                 string         // $1: the keys, text[]; yields a column key and any others
	Settings              map[string]any // never nil
	Line                  int
}

// Load reads the file at path. env looks up variables of the environment; nil means os.LookupEnv. The error is
// an *Error.
func Load(path string, env func(string) (string, bool)) (*Config, error) {
	data, err := contents(path)
	if err != nil {
		for next := err; next != nil; next = errors.Unwrap(next) {
			err = next
		}
		return nil, &Error{Problems: []Problem{{File: path, Text: err.Error()}}}
	}
	return Parse(path, data, env)
}

// contents is what the file holds.
func contents(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("the file is larger than %d MiB", maxFile>>20)
	}
	return data, err
}

// Parse reads a configuration that is in memory already. name stands for it in problems, and its folder is where
// relative paths of ${file:..} start. The error is an *Error.
func Parse(name string, data []byte, env func(string) (string, bool)) (*Config, error) {
	if env == nil {
		env = os.LookupEnv
	}
	r := &reader{file: name, expander: expander{dir: filepath.Dir(name), env: env}}
	c := &Config{Name: name, Log: Log{Format: "text"}}
	if root, ok := r.document(data); ok {
		r.config(c, root)
		r.check()
		r.anywhere(c)
	}
	if err := sorted(r.problems); err != nil {
		return nil, err
	}
	return c, nil
}

// dependantsOf lists the kinds that depend on a kind, sorted.
func (c *Config) dependantsOf(kind string) []string {
	for _, k := range c.Kinds {
		if k.Name == kind {
			return slices.Sorted(maps.Keys(k.Dependants))
		}
	}
	return nil
}
