package faults

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/elasticsearch"
	"github.com/outflow-db/outflow/backends/nebula"
	"github.com/outflow-db/outflow/backends/postgres"
	"github.com/outflow-db/outflow/backends/qdrant"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// Times that bound what can go wrong. They are short, so that all of them pass within a run.
const (
	lease  = 2 * time.Second
	zombie = 8 * time.Second // nobody is stopped for longer
	late   = 2 * time.Second // no request arrives later than this after its sender gave up
	answer = time.Second     // for a request
)

// place is where a store is, for those that connect to it.
type place struct {
	Name, Type string
	Address    string // host:port; a whole URL for PostgreSQL
	Prefix     string // of what it makes there
}

// site says where everything is. Worker processes get it in their environment.
type site struct {
	Source  string
	Stores  []place
	Zombie  time.Duration
	Request time.Duration
}

// kinds are the watched tables.
func kinds() []outbox.Kind {
	return []outbox.Kind{{Name: "node", Table: "node"}, {Name: "link", Table: "link"}}
}

// Queries of the projections.
const (
	nodeQuery   = `select id as key, v from node where id = any($1::text[]::int[])`
	vectorQuery = `select id as key, v, a, b from node where id = any($1::text[]::int[])`
	linkQuery   = `select k.key, l.v from unnest($1::text[]) k (key) join link l
                   on l.src = (k.key::jsonb->>0)::int and l.typ = k.key::jsonb->>1 and l.dst = (k.key::jsonb->>2)::int`
)

// config is the configuration of a store.
func (p place) config() backends.Config {
	c := backends.Config{Name: p.Name, Type: p.Type}
	switch p.Type {
	case postgres.Type:
		c.Settings = map[string]any{"url": p.Address}
	case qdrant.Type:
		c.Settings = map[string]any{"addresses": p.Address, "prefix": p.Prefix}
	case nebula.Type:
		c.Settings = map[string]any{"addresses": p.Address, "partitions": partitions, "timeout": "1s"}
	case elasticsearch.Type:
		c.Settings = map[string]any{"addresses": "http://" + p.Address, "prefix": p.Prefix}
	}
	return c
}

// partitions of a NebulaGraph.
const partitions = 7

// settings are those of the two projections into the store.
func (p place) settings() (node, link map[string]any) {
	switch p.Type {
	case qdrant.Type:
		vector := func(size int, distance string) map[string]any {
			return map[string]any{"size": size, "distance": distance}
		}
		return map[string]any{"vectors": map[string]any{"a": vector(3, "Cosine"), "b": vector(2, "Euclid")}}, map[string]any{"vectors": map[string]any{}}
	case nebula.Type:
		return nil, map[string]any{
			"edge":  map[string]any{"source": 0, "target": 2},
			"types": map[string]any{"column": 1, "names": []any{"calls", "uses"}},
		}
	case elasticsearch.Type:
		return map[string]any{"replicas": 0}, map[string]any{"replicas": 0}
	}
	return nil, nil
}

// config is the engine's, of workers and of the lab alike.
func (s site) config(pool *pgxpool.Pool, log *slog.Logger) jobs.Config {
	c := jobs.Config{
		Pool: pool, Kinds: kinds(), Logger: log,
		Settings: jobs.Settings{
			Lease: lease, Zombie: cmp.Or(s.Zombie, zombie), Late: late, Request: cmp.Or(s.Request, answer), Patience: 2 * time.Second, Linger: 200 * time.Millisecond,
			PageKeys: 2000, BatchRecords: 200, Retention: 10 * time.Second,
		},
	}
	for _, p := range s.Stores {
		node, link := p.settings()
		query := nodeQuery
		if p.Type == qdrant.Type {
			query = vectorQuery
		}
		c.Backends = append(c.Backends, p.config())
		c.Projections = append(c.Projections,
			jobs.Projection{Kind: "node", Backend: p.Name, Target: "node", Query: query, Settings: node},
			jobs.Projection{Kind: "link", Backend: p.Name, Target: "link", Query: linkQuery, Settings: link})
	}
	return c
}

// workerName is the name of the workers' connections to PostgreSQL, stores included.
const workerName = "outflow-worker"

// named gives the connections to a database a name.
func named(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address // it is told when it is used
	}
	q := u.Query()
	q.Set("application_name", workerName)
	u.RawQuery = q.Encode()
	return u.String()
}

// workerEnv holds the site in the environment of a worker process.
const workerEnv = "OUTFLOW_FAULTS_WORKER"

// Worker makes this process a worker if it was started as one, and ends it then; else it does nothing. It is called
// first of all.
func Worker() {
	text := os.Getenv(workerEnv)
	if text == "" {
		return
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	var s site
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		log.Error("reading the site failed", "error", err)
		os.Exit(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	s.work(ctx, log)
	cancel()
	os.Exit(0)
}

// work runs engines until ctx ends. One that cannot start, or ends, is followed by another, as a service's keeper would
// do.
func (s site) work(ctx context.Context, log *slog.Logger) {
	for ctx.Err() == nil {
		if err := s.engine(ctx, log); err != nil && ctx.Err() == nil {
			log.Warn("an engine ended", "error", err)
			pause(ctx, 200*time.Millisecond)
		}
	}
}

func (s site) engine(ctx context.Context, log *slog.Logger) error {
	cfg, err := pgxpool.ParseConfig(named(s.Source))
	if err != nil {
		return fmt.Errorf("reading the address of the source: %w", err)
	}
	cfg.MaxConns, cfg.ConnConfig.ConnectTimeout = 50, 5*time.Second
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer pool.Close()
	e, err := jobs.New(ctx, s.config(pool, log))
	if err != nil {
		return fmt.Errorf("making an engine: %w", err)
	}
	return e.Run(ctx)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
