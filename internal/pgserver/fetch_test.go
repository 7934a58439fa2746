package pgserver_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/outflow-db/outflow/internal/pgserver"
)

// jar is an archive as the repository has them, with programs that say to be PostgreSQL 17.99.
func jar(t *testing.T) []byte {
	t.Helper()
	archive, err := os.ReadFile("testdata/postgres.txz")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("postgres-linux-x86_64.txz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(archive); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// repository serves body as every archive, with sum as its checksum, to a process whose cache is empty. It
// returns the number of archives served.
func repository(t *testing.T, body []byte, sum string) *atomic.Int32 {
	t.Helper()
	var served atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".sha256") {
			_, _ = w.Write([]byte(sum))
			return
		}
		served.Add(1)
		_, _ = w.Write(body)
	}))
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		s.Close()
	})
	t.Setenv("OUTFLOW_MAVEN_URL", s.URL)
	cache := directory(t)
	t.Setenv("TMPDIR", cache) // where the library leaves a log
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOME", cache)
	return &served
}

func checksum(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// A version is fetched once and found by Find from then on.
func TestFetch(t *testing.T) {
	body := jar(t)
	served := repository(t, body, checksum(body))
	var bins []string
	for range 2 {
		bin, err := pgserver.Fetch(t.Context(), "17")
		if err != nil {
			t.Fatal(err)
		}
		bins = append(bins, bin)
	}
	if bins[0] != bins[1] || served.Load() != 1 {
		t.Errorf("got %v with %d downloads", bins, served.Load())
	}
	if got, err := pgserver.Find(t.Context(), pgserver.Config{Bin: bins[0], Version: "17"}); err != nil || got != bins[0] {
		t.Errorf("what was fetched does not work: %v", err)
	}
	entries, err := os.ReadDir(strings.TrimSuffix(bins[0], "/17.11.0/bin"))
	if err != nil || len(entries) != 1 {
		t.Errorf("the cache holds %v: %v", entries, err)
	}
}

// An archive that is damaged, of another version, or not there is refused and not kept.
func TestFetchFails(t *testing.T) {
	body := jar(t)
	for name, c := range map[string]struct {
		version, sum string
		body         []byte
		want         string
	}{
		"damaged":         {"17", checksum(nil), body, "checksums do not match"},
		"another version": {"16", checksum(body), body, "the archive holds version 17"},
		"no archive":      {"17", checksum([]byte("x")), []byte("x"), "not a valid zip"},
		"unknown version": {"9", "", nil, "want a major version from 13 to 18"},
	} {
		t.Run(name, func(t *testing.T) {
			repository(t, c.body, c.sum)
			for range 2 {
				if _, err := pgserver.Fetch(t.Context(), c.version); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("got %v, want %q", err, c.want)
				}
			}
		})
	}
}

// Fetching can be called off.
func TestFetchCancelled(t *testing.T) {
	repository(t, nil, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pgserver.Fetch(ctx, "17"); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// The version that OUTFLOW_TEST_PGVERSION names is fetched from the real repository, even where the machine
// has it, and runs: make test-postgres.
func TestFetchedRuns(t *testing.T) {
	want := os.Getenv("OUTFLOW_TEST_PGVERSION")
	if want == "" {
		t.Skip("no version to fetch: see make test-postgres")
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	bin, err := pgserver.Fetch(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, pgserver.Config{Bin: bin, Version: want})
	if got := query(t, s, "show server_version"); !strings.HasPrefix(got, want+".") {
		t.Errorf("got %s, want %s", got, want)
	}
}
