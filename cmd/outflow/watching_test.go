package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/internal/pgtest"
)

// shared is a buffer that is read while it is written.
type shared struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// working is outflow run in this process.
type working struct {
	t    *testing.T
	app  *app
	pool *pgxpool.Pool
	log  *shared
}

const watchedYAML = `
console: {listen: "%s"}
kinds: {item: {table: item}}
backends: {search: {type: postgres}}
projections: [{kind: item, backend: search, target: items, query: "select id::text as key, v from item where id = any($1::text[]::int[])"}]
`

// work starts outflow run with a console at an address, until the answer is called: it waits for the end and answers
// the exit status.
func work(t *testing.T, listen string, env map[string]string) (w *working, stop func() int) {
	t.Helper()
	w = &working{t: t, pool: pgtest.New(t), log: &shared{}}
	w.exec(`create table item (id int primary key, v text)`)
	file := filepath.Join(t.TempDir(), "outflow.yaml")
	text := watchedYAML
	if listen == "" {
		text = strings.Replace(text, `console: {listen: "%s"}`, "%s", 1)
	}
	if err := os.WriteFile(file, fmt.Appendf(nil, text, listen), 0o600); err != nil {
		t.Fatal(err)
	}
	url := pgtest.URL(t, w.pool)
	w.app = &app{out: io.Discard, err: w.log, file: file, env: func(name string) (string, bool) {
		if name == "DATABASE_URL" {
			return url, true
		}
		v, ok := env[name]
		return v, ok
	}}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan int, 1)
	go func() { done <- w.app.run(ctx, []string{"run", "--config", file}) }()
	stop = sync.OnceValue(func() int { cancel(); return <-done })
	t.Cleanup(func() { stop() })
	return w, stop
}

func (w *working) exec(sql string) {
	w.t.Helper()
	if _, err := w.pool.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// says waits until the log has something that matches, and answers what the first group holds. The time is only there
// to end a test that has failed.
func (w *working) says(pattern string) string {
	w.t.Helper()
	re := regexp.MustCompile(pattern)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if found := re.FindStringSubmatch(w.log.String()); found != nil {
			return found[len(found)-1]
		}
	}
	w.t.Fatalf("never in the log: %s\n%s", pattern, w.log)
	return ""
}

// get asks the console until it answers with the status.
func (w *working) get(url string, want int) string {
	w.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		res, err := client.Get(url)
		if err != nil {
			w.t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err == nil && res.StatusCode == want {
			return string(body)
		}
		if time.Now().After(end) {
			w.t.Fatalf("%s: %d %s, %v", url, res.StatusCode, body, err)
		}
	}
}

// Workers have a console, which tells when they are ready, what status --json tells, and what they have done; it ends
// with them.
func TestRunHasAConsole(t *testing.T) {
	t.Parallel()
	w, stop := work(t, "127.0.0.1:0", nil)
	url := w.says(`the console is open" url=(\S+/)`)
	w.get(url+"readyz", 200)
	var told bytes.Buffer
	status := &app{out: &told, err: io.Discard, env: w.app.env}
	if got := status.run(t.Context(), []string{"status", "--json", "--config", w.app.file}); got != exitOK {
		t.Fatalf("status: exit status %d", got)
	}
	for _, part := range []string{`"backends": [`, `"name": "search"`, `"lag_seconds": `} {
		if body := w.get(url+"status", 200); !strings.Contains(body, part) || !strings.Contains(told.String(), part) {
			t.Errorf("%s is missing in\n%s\nor\n%s", part, body, &told)
		}
	}
	w.exec(`insert into item values (1, 'x')`)
	written := regexp.MustCompile(`outflow_records_total\{backend="search",lane="0",result="written"\} [1-9]`) // twice, if the fill finds it as well
	for !written.MatchString(w.get(url+"metrics", 200)) {
		time.Sleep(20 * time.Millisecond)
	}
	if got := stop(); got != exitOK {
		t.Errorf("exit status %d\n%s", got, w.log)
	}
	if c, err := net.Dial("tcp", strings.Trim(strings.TrimPrefix(url, "http:"), "/")); err == nil {
		c.Close()
		t.Error("the console is still there")
	}
}

// A console whose configured address is taken ends the start with the reason; one at the default address that is taken
// does without; off is off.
func TestConsoleAddresses(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	w, _ := work(t, taken.Addr().String(), nil)
	w.says(`outflow: the console cannot listen at .* address already in use`)
	if other, err := net.Listen("tcp", "127.0.0.1:8317"); err == nil {
		defer other.Close()
	}
	w, stop := work(t, "", nil)
	w.says(`level=WARN msg="no console: another program listens there`)
	stop()
	w, stop = work(t, "off", nil)
	w.says(`msg=starting`)
	if stop(); strings.Contains(w.log.String(), "console is open") {
		t.Error("it was off")
	}
}

// Traces go where the usual variable says: the page and the request that carried a change. A place that does not
// answer is told in the log, and the work goes on.
func TestTracesAreSent(t *testing.T) { // not parallel: the exporter reads a variable of the process
	got := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r.URL.Path + " " + string(body)
	}))
	defer server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	w, stop := work(t, "off", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": server.URL})
	w.says(`msg=starting`)
	w.exec(`insert into item values (1, 'x')`)
	for all := ""; !strings.Contains(all, "write search") || !strings.Contains(all, "project search"); {
		select {
		case one := <-got:
			if !strings.HasPrefix(one, "/v1/traces ") {
				t.Errorf("sent to %.40s", one)
			}
			all += one
		case <-time.After(time.Minute):
			t.Fatalf("no traces came\n%s", w.log)
		}
	}
	if status := stop(); status != exitOK {
		t.Errorf("exit status %d\n%s", status, w.log)
	}
}
