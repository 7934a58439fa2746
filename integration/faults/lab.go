package faults

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/internal/pgserver"
	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/migrations"
)

// Options say what a lab has.
type Options struct {
	Source        string        // address of a migrated database, used for nothing else; empty: a server of the lab's own, in which more faults can be made
	ReadModels    int           // stores in PostgreSQL, each on a server of its own
	Qdrants       int           // Qdrants in this process
	Nebulas       int           // NebulaGraphs in this process
	Elasticsearch string        // address, host:port, of a running one; empty: none
	OwnElastic    bool          // or one of the lab's own, in which more faults can be made
	Processes     int           // workers that are processes; 0: one in this process, which gets no signals; None: none but those of Hire
	Writers       int           // default 2; None: none
	Pace          time.Duration // between a writer's transactions; default 25ms
	BigDisk       bool          // no disks that can be filled

	Zombie  time.Duration // how long a worker may be stopped; default 8s
	Request time.Duration // time for one request to a store; default 1s
}

// None is less than one.
const None = -1

// Lab is a database with writers, workers, and stores, and a proxy before each of them.
type Lab struct {
	Stores []*Store

	o      Options
	dir    string
	site   site // as workers see it
	server *pgserver.Server
	disk   *disk // of the source; nil: it has none of its own
	net    *Proxy
	fleet  *fleet

	mu     sync.Mutex
	source string // address, past the proxy
	pool   *pgxpool.Pool
	old    []*pgxpool.Pool // of databases that were left

	calm    sync.RWMutex // writers hold it for reading
	lazy    atomic.Bool  // writers do not wait for durability
	writing context.CancelFunc
	writers sync.WaitGroup
	wrote   atomic.Int64
}

const schemaSQL = `
create table node (id int primary key, v text, a real[], b real[]);
create table link (src int, typ text, dst int, v text, primary key (src, typ, dst))`

// Open starts a lab. It runs until Close.
func Open(ctx context.Context, o Options) (*Lab, error) {
	l := &Lab{o: o}
	if err := l.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening a lab: %w", err), l.Close())
	}
	return l, nil
}

func (l *Lab) open(ctx context.Context) (err error) {
	if l.dir, err = os.MkdirTemp("", "outflow-lab-"); err != nil {
		return err
	}
	if err := os.Chmod(l.dir, 0o755); err != nil { // servers run as another user
		return err
	}
	if err := l.openSource(ctx); err != nil {
		return err
	}
	if err := l.openStores(ctx); err != nil {
		return err
	}
	if _, err := l.pool.Exec(ctx, schemaSQL, pgx.QueryExecModeSimpleProtocol); err != nil {
		return fmt.Errorf("making the tables: %w", err)
	}
	if err := jobs.Setup(ctx, l.config()); err != nil {
		return err
	}
	l.site = l.workersSite()
	if l.o.Processes != None {
		l.fleet = newFleet(ctx, l.dir, l.site, l.o.Processes)
	}
	l.write(ctx)
	return nil
}

// openSource starts the server if the lab has its own, connects, and puts a proxy between it and the workers.
func (l *Lab) openSource(ctx context.Context) (err error) {
	l.source = l.o.Source
	if l.source == "" {
		if err := l.startSource(ctx); err != nil {
			return err
		}
	}
	if l.pool, err = l.connect(ctx, l.source); err != nil {
		return err
	}
	if l.server != nil {
		if _, err := migrations.Up(ctx, l.pool); err != nil {
			return err
		}
	}
	u, err := url.Parse(l.source)
	if err != nil {
		return err
	}
	l.net, err = Start(u.Host)
	return err
}

// startSource starts a server, and makes the database on a small disk if there is one. Its WAL is archived, so that it
// can be restored.
func (l *Lab) startSource(ctx context.Context) (err error) {
	cfg := pgtest.Config()
	cfg.Settings["max_connections"] = "150"
	cfg.Settings["shared_buffers"] = "64MB"
	cfg.Settings["max_wal_senders"] = "4"
	if l.server, err = pgserver.Start(ctx, cfg); err != nil {
		return err
	}
	if l.disk, err = l.newDisk("source"); err != nil {
		return err
	}
	l.source = l.server.URL(databaseName)
	return l.disk.database(ctx, l.server.URL("postgres"))
}

// databaseName is the name of the databases on the lab's own servers.
const databaseName = "lab"

func (l *Lab) connect(ctx context.Context, address string) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns, cfg.ConnConfig.ConnectTimeout = 16, 5*time.Second
	// Faults set these for the database. They are for the workers.
	cfg.ConnConfig.RuntimeParams["statement_timeout"], cfg.ConnConfig.RuntimeParams["default_transaction_read_only"] = "0", "off"
	return pgxpool.NewWithConfig(ctx, cfg)
}

// db is the pool to the source, past the proxy.
func (l *Lab) db() *pgxpool.Pool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pool
}

// move makes another database the source: as if the name that everybody connects to led there now.
func (l *Lab) move(ctx context.Context, address string) error {
	pool, err := l.connect(ctx, address)
	if err != nil {
		return err
	}
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.old = append(l.old, l.pool)
	l.pool, l.source = pool, address
	l.mu.Unlock()
	l.net.To(u.Host)
	return nil
}

// through is an address by way of a proxy.
func through(p *Proxy, address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	u.Host = p.Addr()
	return u.String()
}

// workersSite is the site behind the proxies.
func (l *Lab) workersSite() site {
	s := site{Source: through(l.net, l.source), Zombie: l.o.Zombie, Request: l.o.Request}
	for _, store := range l.Stores {
		s.Stores = append(s.Stores, store.behind(store.Proxy))
	}
	return s
}

// config is the lab's own configuration, past the proxies.
func (l *Lab) config(stores ...*Store) jobs.Config {
	var s site
	if len(stores) == 0 {
		stores = l.Stores
	}
	for _, store := range stores {
		s.Stores = append(s.Stores, store.place())
	}
	return s.config(l.db(), slog.New(slog.DiscardHandler))
}

// exec runs a statement on the source.
func (l *Lab) exec(ctx context.Context, sql string, args ...any) error {
	if _, err := l.db().Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(strings.Fields(sql), " "), err)
	}
	return nil
}

// Versions are the versions that the lanes have reached, by backend and lane.
func (l *Lab) Versions(ctx context.Context) (map[string]int64, error) {
	found, err := l.db().Query(ctx, `select backend || ' ' || lane, version from outbox.lanes`)
	if err != nil {
		return nil, err
	}
	all := map[string]int64{}
	var lane string
	var version int64
	_, err = pgx.ForEachRow(found, []any{&lane, &version}, func() error { all[lane] = version; return nil })
	return all, err
}

// Close ends everything.
func (l *Lab) Close() error {
	var errs []error
	if l.writing != nil {
		l.writing()
		l.writers.Wait()
	}
	if l.fleet != nil {
		errs = append(errs, l.fleet.close())
	}
	for _, s := range l.Stores {
		errs = append(errs, s.close())
	}
	if l.net != nil {
		l.net.Close()
	}
	for _, p := range append(l.old, l.pool) {
		if p != nil {
			p.Close()
		}
	}
	if l.server != nil {
		errs = append(errs, l.server.Stop())
	}
	errs = append(errs, l.disk.close())
	if l.dir != "" {
		errs = append(errs, os.RemoveAll(l.dir))
	}
	return errors.Join(errs...)
}
