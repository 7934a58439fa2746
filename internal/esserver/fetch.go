package esserver

import (
	"archive/zip"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/outflow-db/outflow/internal/child"
	"github.com/outflow-db/outflow/internal/filelock"
)

// The distribution that is fetched: what Elastic publishes for integration tests, the server with the modules
// transport-netty4, x-pack-core and x-pack-security.
const (
	version  = "8.19.21"
	artifact = "org.elasticsearch.distribution.integ-test-zip:elasticsearch:" + version + ":zip"
	sum      = "cf6b0a93860d329937ae7f913ec5073b0c726c77639764b93fc83a304aa1dd9d4defcfa2849948eea3b0b47c2065f994908603939fc2a4774c9c4d868c5ec1dd"
	copier   = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
)

// accounts are the users that run the server for root, which Elasticsearch refuses.
var accounts = []string{"nobody"}

// Fetch is the directory of a distribution: the one that OUTFLOW_ELASTICSEARCH_DIST names, or else one of Elastic's for
// tests, 107 MB, which it fetches with Maven, and thus by Maven's settings, unless it has before. It is checked against
// its sum and kept in the user's cache directory, or in /var/cache if that one is closed to the user that the server
// runs as. Processes that fetch at the same time wait for each other.
func Fetch(ctx context.Context) (string, error) {
	if dist := os.Getenv("OUTFLOW_ELASTICSEARCH_DIST"); dist != "" {
		if _, err := os.Stat(launcher(dist)); err != nil {
			return "", fmt.Errorf("OUTFLOW_ELASTICSEARCH_DIST is no distribution of Elasticsearch: %w", err)
		}
		return dist, nil
	}
	account, err := child.Lookup(accounts...)
	if err != nil {
		return "", err
	}
	cache, err := account.Cache("elasticsearch")
	if err != nil {
		return "", err
	}
	home := filepath.Join(cache, version)
	if err := fetch(ctx, cache, home); err != nil {
		return "", fmt.Errorf("fetching Elasticsearch %s (or name one that is there in OUTFLOW_ELASTICSEARCH_DIST): %w", version, err)
	}
	return home, nil
}

// launcher is the program of a distribution that starts a server.
func launcher(dist string) string { return filepath.Join(dist, "bin", "elasticsearch-cli") }

// fetch unpacks the distribution beside home and moves it there once it is whole.
func fetch(ctx context.Context, cache, home string) (err error) {
	lock, err := filelock.Lock(ctx, filepath.Join(cache, "lock"))
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if _, err := os.Stat(home); err == nil {
		return nil
	}
	work, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	archive := filepath.Join(work, "elasticsearch.zip")
	if err := download(ctx, work); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(work, "elasticsearch-"+version+".zip"), archive); err != nil {
		return err
	}
	if err := checkSum(archive); err != nil {
		return err
	}
	unpacked := filepath.Join(work, "dist")
	if err := unpack(archive, unpacked); err != nil {
		return err
	}
	return os.Rename(unpacked, home)
}

// download has Maven put the archive into a directory.
func download(ctx context.Context, dir string) error {
	maven, err := exec.LookPath("mvn")
	if err != nil {
		return fmt.Errorf("install Maven: %w", err)
	}
	cmd := exec.CommandContext(ctx, maven, "-q", "-B", "-ntp", "-Dstyle.color=never", copier, "-Dartifact="+artifact, "-DoutputDirectory="+dir)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mvn: %w\n%s", err, out)
	}
	return nil
}

func checkSum(archive string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	h := sha512.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		return fmt.Errorf("the archive is another one: its SHA-512 is %s", got)
	}
	return nil
}

// unpack puts what is in the archive's only directory into dir, readable for every user.
func unpack(archive, dir string) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer func() { _ = z.Close() }()
	for _, f := range z.File {
		_, name, _ := strings.Cut(f.Name, "/")
		if !fs.ValidPath(strings.TrimSuffix(name, "/")) && name != "" {
			return fmt.Errorf("the archive holds a file with the path %q", f.Name)
		}
		if err := extract(f, filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			return err
		}
	}
	return nil
}

func extract(f *zip.File, path string) (err error) {
	if f.FileInfo().IsDir() {
		return os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	from, err := f.Open()
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, f.Mode().Perm()|0o444)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	_, err = io.Copy(to, from) //nolint:gosec // its sum was checked: it is as large as it is
	return err
}
