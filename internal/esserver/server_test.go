package esserver_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outflow-db/outflow/internal/esserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// status asks the server something and is the status of the answer, 0 if there is none.
func status(t *testing.T, method, url, body string) int {
	t.Helper()
	return statusWithin(t, time.Minute, method, url, body)
}

func statusWithin(t *testing.T, patience time.Duration, method, url, body string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// A server takes the settings it is given, stands still and goes on, and comes back after a crash and after a clean
// stop, at its address and with its data. After Close nothing is left.
func TestLife(t *testing.T) {
	t.Parallel()
	s, err := esserver.Start(t.Context(), esserver.Config{Settings: map[string]string{"http.max_content_length": "2kb"}})
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	t.Cleanup(func() {
		if !closed {
			_ = s.Close()
		}
	})
	if got := status(t, http.MethodPut, s.URL()+"/i/_doc/1", `{}`); got != http.StatusCreated {
		t.Errorf("a document: %d", got)
	}
	if got := status(t, http.MethodPut, s.URL()+"/i/_doc/2", fmt.Sprintf(`{"x": %q}`, strings.Repeat("x", 3000))); got != http.StatusRequestEntityTooLarge {
		t.Errorf("a document too large: %d", got)
	}
	stands(t, s)
	for _, end := range []func() error{s.Kill, s.Kill, s.Stop} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if got := status(t, http.MethodGet, s.URL()+"/i/_doc/1", ""); got != 0 {
			t.Fatalf("it answers after its end: %d", got)
		}
	}
	if s.Freeze() == nil {
		t.Error("a server that does not run was frozen")
	}
	for range 2 {
		if err := s.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := status(t, http.MethodGet, s.URL()+"/i/_doc/1", ""); got != http.StatusOK {
		t.Errorf("the document after a crash: %d", got)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	closed = true
}

func stands(t *testing.T, s *esserver.Server) {
	t.Helper()
	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	if got := statusWithin(t, time.Second, http.MethodGet, s.URL()+"/_cluster/health", ""); got != 0 {
		t.Errorf("a frozen server answers: %d", got)
	}
	if err := s.Thaw(); err != nil {
		t.Fatal(err)
	}
	if got := status(t, http.MethodGet, s.URL()+"/_cluster/health", ""); got != http.StatusOK {
		t.Errorf("a thawed server: %d", got)
	}
}

// Each start that cannot work fails with an error that says why.
func TestStartFails(t *testing.T) {
	dist, err := esserver.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	old := javaHome(t, `openjdk version "11.0.2"`)
	for name, c := range map[string]struct {
		cfg  esserver.Config
		env  [2]string
		want string
	}{
		"a setting that is wrong": {esserver.Config{Dist: dist, Settings: map[string]string{"no.such": "x"}}, [2]string{}, "no.such"},
		"no distribution":         {esserver.Config{}, [2]string{"OUTFLOW_ELASTICSEARCH_DIST", empty}, "OUTFLOW_ELASTICSEARCH_DIST is no distribution"},
		"nothing in it":           {esserver.Config{Dist: empty}, [2]string{}, "jvm.options"},
		"no Java":                 {esserver.Config{}, [2]string{"JAVA_HOME", empty}, "asking Java"},
		"an old Java":             {esserver.Config{}, [2]string{"JAVA_HOME", old}, "Java 11 in " + old + ": install 17"},
		"a strange Java":          {esserver.Config{}, [2]string{"JAVA_HOME", javaHome(t, "hello")}, `got "hello\n"`},
		"nothing on the PATH":     {esserver.Config{}, [2]string{"PATH", empty}, "install Java 17 or newer"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.env[0] != "" {
				t.Setenv(c.env[0], c.env[1])
			}
			s, err := esserver.Start(t.Context(), c.cfg)
			if err == nil {
				_ = s.Close()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error does not say %q: %v", c.want, err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := esserver.Start(ctx, esserver.Config{}); err == nil {
		_ = s.Close()
		t.Error("it started after it was called off")
	}
}

// javaHome is a Java that says to be of a version.
func javaHome(t *testing.T, says string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bin", "java"), []byte("#!/bin/sh\necho '"+says+"'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
