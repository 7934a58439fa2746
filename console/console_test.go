package console

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/alerts"
	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/jobs"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// world is a console that runs on a database.
type world struct {
	t       *testing.T
	pool    *pgxpool.Pool
	url     string
	metrics *Metrics
	running atomic.Bool
	client  *http.Client
}

// open runs a console on a database of its own, until the test ends.
func open(t *testing.T, change func(*Config)) *world {
	t.Helper()
	w := &world{t: t, pool: pgtest.New(t), metrics: NewMetrics(), client: &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}}
	w.running.Store(true)
	c := Config{
		Listen: "127.0.0.1:0", Pool: w.pool, Metrics: w.metrics, Running: w.running.Load, Version: "v9",
		Status: func(context.Context) (any, error) { return map[string]any{"backends": []string{"one"}}, nil },
	}
	if change != nil {
		change(&c)
	}
	k, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	w.url = strings.TrimSuffix(k.URL(), "/")
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	t.Cleanup(func() {
		w.client.CloseIdleConnections()
		stop()
		if err := <-done; err != nil {
			t.Errorf("the console ended with: %v", err)
		}
	})
	return w
}

func (w *world) exec(sql string) {
	w.t.Helper()
	if _, err := w.pool.Exec(w.t.Context(), sql); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// do sends a request and answers status and body.
func (w *world) do(method, path string, change func(*http.Request)) (status int, body string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	res, err := w.client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// get wants a status, and parts of the body.
func (w *world) get(path string, want int, parts ...string) string {
	w.t.Helper()
	status, body := w.do(http.MethodGet, path, nil)
	if status != want {
		w.t.Errorf("%s: status %d, want %d: %.300s", path, status, want, body)
	}
	for _, p := range parts {
		if !strings.Contains(body, p) {
			w.t.Errorf("%s lacks %q:\n%s", path, p, body)
		}
	}
	return body
}

// The page shows backends with their state and what they parked, escaped, and leads to the rest.
func TestPage(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.get("/", 200, "No backend follows", "Nothing is parked", `href="/river/"`, "v9")
	w.exec(`select outbox.add_backend('search', 'store', 2)`)
	w.exec(`insert into outbox.log (kind, keys) values ('k', '{a,b}')`)
	w.exec(`insert into outbox.parked (backend, kind, target, key, class, error, advice, version)
		values ('search', 'k', 'docs', '<b>1</b>', 'rejected', 'no <script>', 'mend it', 1)`)
	body := w.get("/", 200, "search", "waiting", "search/1", "no &lt;script&gt;", "&lt;b&gt;1", "mend it")
	if strings.Contains(body, "<script") {
		t.Error("the page has a script")
	}
	w.exec(`update outbox.backends set paused = 'no <right>', paused_by = 'operator', paused_at = now()`)
	w.get("/", 200, `class="mark paused"`, "no &lt;right&gt;")
	w.running.Store(false)
	w.get("/", 200, "engine does not run")
	w.get("/nothing", 404)
}

// The status is what the caller says it is; an error of it is not shown.
func TestStatus(t *testing.T) {
	t.Parallel()
	var failing atomic.Bool
	w := open(t, func(c *Config) {
		c.Status = func(context.Context) (any, error) {
			if failing.Load() {
				return nil, errors.New("secret reason")
			}
			return map[string]any{"backends": 1}, nil
		}
	})
	var v map[string]int
	if err := json.Unmarshal([]byte(w.get("/status", 200)), &v); err != nil || v["backends"] != 1 {
		t.Errorf("got %v, %v", v, err)
	}
	failing.Store(true)
	if body := w.get("/status", 503, "did not answer"); strings.Contains(body, "secret") {
		t.Error(body)
	}
}

// A process lives as long as it answers; it is ready while its engine runs on a migrated database.
func TestProbes(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.get("/healthz", 200, "ok")
	w.get("/readyz", 200, "ready")
	w.running.Store(false)
	w.get("/readyz", 503, "not ready")
	w.running.Store(true)
	w.exec(`delete from goose_db_version where version_id = 9`)
	w.get("/readyz", 503, "not ready")
	w.get("/healthz", 200, "ok")
}

// River UI and its API are served below /river/.
func TestRiverUI(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.exec(`insert into river.river_queue (name, created_at, updated_at, metadata) values ('search', now(), now(), '{}')`)
	w.get("/river/", 200, "<title>River</title>", `"apiUrl":"/river/api"`)
	w.get("/river/api/queues", 200, `"search"`)
	if status, body := w.do(http.MethodPut, "/river/api/queues/search/pause", nil); status != 200 {
		t.Fatalf("pausing a queue: %d %s", status, body)
	}
	w.get("/river/api/queues", 200, `"paused_at":"2`)
}

// Metrics tell what the engine did, what the database knows, and that it does not answer.
func TestMetrics(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.exec(`select outbox.add_backend('search', 'store', 1)`)
	w.exec(`insert into outbox.log (kind, keys) values ('k', '{a,b}')`)
	w.exec(`insert into river.river_job (kind, max_attempts, args, queue) values ('project', 3, '{}', 'search')`)
	w.exec(firingLag)
	w.metrics.Wrote(jobs.Request{Backend: "search", Took: time.Second})
	w.metrics.Wrote(jobs.Request{Backend: "search", Class: "transient"})
	w.metrics.Worked("search", 0, jobs.Output{Written: 3, Parked: 1, Retries: 2, Pages: 1, Rows: 4, Followed: 5})
	w.get("/metrics", 200,
		`outflow_lag_changes{backend="search",lane="0"} 2`, `outflow_lag_seconds{backend="search",lane="0"} `, `outflow_lane_held{backend="search",lane="0"} 0`,
		`outflow_records_total{backend="search",lane="0",result="written"} 3`, `outflow_records_total{backend="search",lane="0",result="parked"} 1`,
		`outflow_retries_total{backend="search",lane="0"} 2`, `outflow_pages_total{backend="search",lane="0"} 1`, `outflow_followed_total{backend="search",lane="0"} 5`,
		`outflow_request_seconds_bucket{backend="search",class="ok",le="1.6"} 1`, `outflow_request_seconds_count{backend="search",class="transient"} 1`,
		`outflow_parked_records{backend="search"} 0`, `outflow_backend_paused{backend="search"} 0`, `outflow_river_jobs{queue="search",state="available"} 1`,
		`outflow_backend_health{backend="search",state="healthy"} 0`, `outflow_backend_paused_by_engine{backend="search"} 0`, "outflow_log_bytes ",
		`outflow_alert_firing{backend="search",kind="",rule="lag-high",severity="warning"} 1`, "outflow_oldest_transaction_seconds ",
		`outflow_pool_connections_max 20`, `outflow_database_up 1`, `outflow_build_info{version="v9"} 1`, "go_goroutines")
	broken := newState(w.pool, w.silent())
	w.exec(`alter view outbox.lag rename to lost`)
	if n := len(broken.ask()); n != 1 {
		t.Errorf("%d metrics without a database, want outflow_database_up only", n)
	}
	w.exec(`alter view outbox.lost rename to lag`)
	w.exec(`alter table river.river_job rename to lost`)
	if n := len(broken.ask()); n != 1 {
		t.Errorf("%d metrics without jobs, want outflow_database_up only", n)
	}
	w.get("/", 200)
}

// firingLag is an alert that fires.
const firingLag = `insert into outbox.alerts values ('lag-high/search', 'lag-high', 'search', '', 'warning', 'search is <far> behind', 'firing', now(), now(), now(), null, '', null)`

// Every metric that a rule for Prometheus names is one that the console shows.
func TestRulesNameMetricsThatExist(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.exec(`select outbox.add_backend('search', 'store', 1)`)
	w.exec(firingLag)
	w.metrics.Wrote(jobs.Request{Backend: "search", Took: time.Second})
	shown := w.get("/metrics", 200)
	names := regexp.MustCompile(`outflow_[a-z_]+`).FindAllString(string(alerts.PrometheusRules(alerts.Settings{})), -1)
	if len(names) < 12 {
		t.Fatalf("only %v", names)
	}
	for _, name := range names {
		if !regexp.MustCompile(`(?m)^` + name + `[ {]`).MatchString(shown) {
			t.Errorf("there is no metric %s", name)
		}
	}
}

// The page tells how each backend is, which endpoints it has, what fires with its entry in the runbook, and what the
// trend foretells.
func TestPageShowsHealth(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.exec(`select outbox.add_backend('search', 'store', 1)`)
	w.get("/", 200, `class="mark unknown"`)
	w.exec(firingLag)
	w.exec(`insert into outbox.health (backend, owner, state, since, reason, details) values ('search', 'me', 'degraded', now(), 'it is <slow>', '{"endpoints": [{"address": "a:1", "state": "down"}]}')`)
	w.exec(`insert into outbox.samples (at, backend, lag_changes, lag_seconds) select now() - g * interval '1 minute', 'search', 1, 220 - g * 3 from generate_series(0, 30) g`)
	w.get("/", 200, `class="mark degraded"`, "it is &lt;slow&gt;", "<code>a:1</code> down", "search is &lt;far&gt; behind", "runbook.md#lag-high", "search will be 5 minutes behind by ")
}

// A port that is taken, and an address that is none, are errors of Open.
func TestOpenFails(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	pool := pgtest.New(t)
	for listen, want := range map[string]string{
		taken.Addr().String(): "already in use", "nowhere": "host:port", ":0": "give it a user and a password, or a token",
	} {
		_, err := Open(t.Context(), Config{Listen: listen, Pool: pool, Metrics: NewMetrics()})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", listen, err, want)
		}
	}
	if _, err := Open(t.Context(), Config{Listen: "127.0.0.1:0", User: "x", Pool: pool}); err == nil || !strings.Contains(err.Error(), "or neither") {
		t.Errorf("a user without a password: %v", err)
	}
}

// A request that does not end is cut when the console is told to end, after a while.
func TestEndCutsRequests(t *testing.T) {
	t.Parallel()
	asked, end := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { <-end }) // after the console's own
	w := open(t, func(c *Config) {
		c.Status = func(ctx context.Context) (any, error) {
			close(asked)
			<-ctx.Done()
			close(end)
			return nil, ctx.Err()
		}
	})
	go func() {
		if res, err := w.client.Get(w.url + "/status"); err == nil {
			res.Body.Close()
		}
	}()
	<-asked
}
