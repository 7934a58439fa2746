package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	embedded "github.com/fergusstrange/embedded-postgres"

	"github.com/outflow-db/outflow/internal/child"
)

// newest is the major version that is fetched when any would do.
const newest = "18"

// releases are the builds that are fetched, by major version. They are pinned so that a day's tests are
// those of the day before.
var releases = map[string]embedded.PostgresVersion{
	"13": "13.22.0", "14": "14.24.0", "15": "15.19.0", "16": "16.15.0", "17": "17.11.0", "18": "18.6.0",
}

// Fetch is the directory of the binaries of a major version, such as "17", which it downloads unless it has
// before. They come from Maven Central, checked against their sums, or from the repository that
// OUTFLOW_MAVEN_URL names, and are kept in the user's cache directory, or in /var/cache if that one is
// closed to the user that PostgreSQL runs as.
func Fetch(ctx context.Context, version string) (string, error) {
	release, ok := releases[version]
	if !ok {
		return "", fmt.Errorf("fetching PostgreSQL %q: want a major version from 13 to 18", version)
	}
	cache, err := cacheDir()
	if err != nil {
		return "", fmt.Errorf("fetching PostgreSQL %s: %w", release, err)
	}
	home := filepath.Join(cache, string(release))
	if _, err := os.Stat(home); err != nil {
		if err := fetch(ctx, release, home); err != nil {
			return "", fmt.Errorf("fetching PostgreSQL %s: %w", release, err)
		}
	}
	return filepath.Join(home, "bin"), nil
}

// fetch unpacks a release beside home and moves it there once it has proved to be whole.
func fetch(ctx context.Context, release embedded.PostgresVersion, home string) (err error) {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(home), "fetch-")
	if err != nil {
		return err
	}
	fetched := make(chan error, 1)
	go func() { fetched <- unpack(ctx, release, work) }()
	select {
	case err = <-fetched:
	case <-ctx.Done():
		return context.Cause(ctx) // the download cannot be called off and ends by itself
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(work, "postgres"), home); err != nil && !errors.Is(err, fs.ErrExist) {
		return err // unless another process was faster
	}
	return nil
}

// unpack downloads a release and unpacks it below work, into the directory postgres. The library does so
// only on its way to starting a server, which it cannot do as root. So its start is led to fail afterwards:
// the data directory holds just what keeps it from making a cluster. What counts is whether the binaries
// run.
func unpack(ctx context.Context, release embedded.PostgresVersion, work string) error {
	home, data := filepath.Join(work, "postgres"), filepath.Join(work, "data")
	major, _, _ := strings.Cut(string(release), ".")
	if err := errors.Join(os.Mkdir(home, 0o755), os.Mkdir(data, 0o700), os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte(major), 0o600)); err != nil {
		return err
	}
	ports, err := child.FreePorts(ctx, 1)
	if err != nil {
		return err
	}
	config := embedded.DefaultConfig().Version(release).Logger(io.Discard).
		CachePath(work).RuntimePath(filepath.Join(work, "run")).BinariesPath(home).DataPath(data).
		Port(uint32(ports[0])) //nolint:gosec // a port has 16 bits
	if url := os.Getenv("OUTFLOW_MAVEN_URL"); url != "" {
		config = config.BinaryRepositoryURL(url)
	}
	failure := embedded.NewDatabase(config).Start()
	v, err := version(context.WithoutCancel(ctx), filepath.Join(home, "bin"))
	if err != nil {
		return errors.Join(failure, err)
	}
	if strconv.Itoa(v) != major {
		return fmt.Errorf("the archive holds version %d", v)
	}
	return nil
}

// cacheDir is where releases are kept.
func cacheDir() (string, error) {
	account, err := child.Lookup(accounts...)
	if err != nil {
		return "", err
	}
	return account.Cache("postgres")
}
