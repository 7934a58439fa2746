// Package estest gives tests an Elasticsearch: one server per test binary (package esserver), or a real one that is named.
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(estest.Stopping(m))) }
//
//	b := open(estest.URL(t), estest.Prefix(t))
//
// The same tests run unchanged on a real cluster:
//
//	OUTFLOW_TEST_ELASTICSEARCH=url   use the running cluster with this address, which may hold user:password@
//
// A server that cannot be started fails the test: it is never left out.
package estest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outflow-db/outflow/internal/esserver"
)

// shared is what all tests of a binary share.
var shared struct {
	sync.Mutex
	started bool
	err     error // of the start: every test fails with it
	server  *esserver.Server
}

// URL is the address of a server that tests share: use names that begin with a Prefix. It is there until the binary
// ends.
func URL(tb testing.TB) string {
	tb.Helper()
	if url := os.Getenv("OUTFLOW_TEST_ELASTICSEARCH"); url != "" {
		return strings.TrimRight(url, "/")
	}
	shared.Lock()
	defer shared.Unlock()
	if !shared.started {
		shared.started = true
		shared.server, shared.err = esserver.Start(context.WithoutCancel(tb.Context()), esserver.Config{})
	}
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	return shared.server.URL()
}

// Start is a server of the test's own, to make faults in. It is closed at the end of the test.
func Start(tb testing.TB, cfg esserver.Config) *esserver.Server {
	tb.Helper()
	s, err := esserver.Start(context.WithoutCancel(tb.Context()), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("closing Elasticsearch: %v", err)
		}
	})
	return s
}

// Runner runs tests, as testing.M does.
type Runner interface{ Run() int }

type stopping struct{ Runner }

// Stopping runs the tests and closes the server that they shared.
func Stopping(m Runner) Runner { return stopping{m} }

// Run returns the code to exit with.
func (s stopping) Run() int {
	code := s.Runner.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		return code
	}
	if err := shared.server.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "estest:", err)
		return max(code, 1)
	}
	return code
}

const cleanTime = time.Minute

// Prefix is what the names of the test's indices and aliases begin with. At the end of the test they are removed.
func Prefix(tb testing.TB) string {
	tb.Helper()
	prefix, url := "test-"+strings.ToLower(rand.Text()[:12])+"-", URL(tb)
	tb.Cleanup(func() {
		if err := clean(url, prefix); err != nil {
			tb.Errorf("removing indices: %v", err)
		}
	})
	return prefix
}

// clean removes the indices whose name begins with a prefix, with their aliases, one by one: a cluster may forbid to
// name many by a pattern.
func clean(url, prefix string) error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanTime)
	defer cancel()
	var indices map[string]json.RawMessage
	if err := call(ctx, http.MethodGet, url+"/"+prefix+"*/_alias?expand_wildcards=all", &indices); err != nil {
		return err
	}
	var errs []error
	for name := range indices {
		var done any
		errs = append(errs, call(ctx, http.MethodDelete, url+"/"+name, &done))
	}
	return errors.Join(errs...)
}

// client keeps no connections, which would be taken for leaks.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// call asks the server something, and reads its answer, none if it was not found.
func call(ctx context.Context, method, url string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode == http.StatusNotFound:
		return nil
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s answered %s: %s", req.URL.Redacted(), resp.Status, body)
	}
	return json.Unmarshal(body, answer)
}
