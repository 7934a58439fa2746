package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// ErrNotFound says that no PostgreSQL of the wanted version was found.
var ErrNotFound = errors.New("no PostgreSQL server of the wanted version was found: install PostgreSQL, or set OUTFLOW_POSTGRES_BIN to the directory of postgres and initdb")

// places are where installations put the server's binaries.
var places = []string{
	"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/usr/local/opt/postgresql*/bin",
	"/opt/homebrew/opt/postgresql*/bin", "/Applications/Postgres.app/Contents/Versions/*/bin",
}

var versionLine = regexp.MustCompile(`^postgres \(PostgreSQL\) (\d+)`)

// Find is the directory of the server's binaries. What cfg.Bin or else OUTFLOW_POSTGRES_BIN names must be
// right; otherwise it is the newest on PATH and in the usual places that is of cfg.Version.
func Find(ctx context.Context, cfg Config) (string, error) {
	for _, bin := range []string{cfg.Bin, os.Getenv("OUTFLOW_POSTGRES_BIN")} {
		if bin == "" {
			continue
		}
		v, err := version(ctx, bin)
		if err == nil && cfg.Version != "" && cfg.Version != strconv.Itoa(v) {
			err = fmt.Errorf("%s holds PostgreSQL %d, not %s", bin, v, cfg.Version)
		}
		return bin, err
	}
	best, newest := "", 0
	for _, bin := range candidates() {
		v, err := version(ctx, bin)
		if err == nil && v > newest && (cfg.Version == "" || cfg.Version == strconv.Itoa(v)) {
			best, newest = bin, v
		}
	}
	if err := context.Cause(ctx); err != nil {
		return "", err // nothing would be found
	}
	if best == "" {
		return "", ErrNotFound
	}
	return best, nil
}

// binaries finds the server's binaries or fetches them.
func binaries(ctx context.Context, cfg Config) (string, error) {
	bin, err := Find(ctx, cfg)
	if !errors.Is(err, ErrNotFound) {
		return bin, err
	}
	version := cfg.Version
	if version == "" {
		version = newest
	}
	bin, failure := Fetch(ctx, version)
	if failure != nil {
		return "", errors.Join(err, failure)
	}
	return bin, nil
}

// candidates are directories that may hold binaries.
func candidates() []string {
	bins := filepath.SplitList(os.Getenv("PATH"))
	for _, place := range places {
		found, _ := filepath.Glob(place) // the patterns are right
		bins = append(bins, found...)
	}
	return bins
}

// version is the major version of the binaries in a directory.
func version(ctx context.Context, bin string) (int, error) {
	if _, err := os.Stat(filepath.Join(bin, "initdb")); err != nil {
		return 0, fmt.Errorf("no PostgreSQL server in %s: %w", bin, err)
	}
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("asking %s for its version: %w", filepath.Join(bin, "postgres"), err)
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("asking %s for its version: got %q", filepath.Join(bin, "postgres"), out)
	}
	return strconv.Atoi(string(m[1]))
}
