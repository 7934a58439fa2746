package faults

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends/elasticsearch"
	"github.com/outflow-db/outflow/backends/nebula"
	"github.com/outflow-db/outflow/backends/postgres"
	"github.com/outflow-db/outflow/backends/qdrant"
	"github.com/outflow-db/outflow/internal/esserver"
	"github.com/outflow-db/outflow/internal/nebulaserver"
	"github.com/outflow-db/outflow/internal/pgserver"
	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/internal/qdrantserver"
)

// Store is one store of a lab, with the proxy before it.
type Store struct {
	Name, Type string
	Proxy      *Proxy

	postgres *pgserver.Server
	disk     *disk
	elastic  *esserver.Server // nil: it is somebody else's
	prefix   string

	mu     sync.Mutex
	addr   string // past the proxy: host:port; a whole URL for PostgreSQL
	qdrant *qdrantserver.Server
	nebula *nebulaserver.Server
}

// openStores starts the stores.
func (l *Lab) openStores(ctx context.Context) error {
	counts := []int{l.o.ReadModels, l.o.Qdrants, l.o.Nebulas, l.o.elastics()}
	for n, typ := range []string{postgres.Type, qdrant.Type, nebula.Type, elasticsearch.Type} {
		for i := range counts[n] {
			s := &Store{Name: fmt.Sprintf("%s-%d", typ, i+1), Type: typ, prefix: "lab-" + strings.ToLower(rand.Text()[:8]) + "-"}
			l.Stores = append(l.Stores, s)
			if err := s.open(ctx, l); err != nil {
				return fmt.Errorf("opening store %s: %w", s.Name, err)
			}
		}
	}
	return nil
}

func (o Options) elastics() int {
	if o.Elasticsearch != "" || o.OwnElastic {
		return 1
	}
	return 0
}

func (s *Store) open(ctx context.Context, l *Lab) (err error) {
	switch s.Type {
	case postgres.Type:
		err = s.openPostgres(ctx, l)
	case qdrant.Type:
		if s.qdrant, err = qdrantserver.Start(qdrantserver.Options{}); err == nil {
			s.addr = s.qdrant.Address()
		}
	case nebula.Type:
		if s.nebula, err = nebulaserver.Start(nebulaserver.Config{}); err == nil {
			s.addr = s.nebula.Addr()
		}
	case elasticsearch.Type:
		err = s.openElastic(ctx, l)
	}
	if err != nil {
		return err
	}
	s.Proxy, err = Start(Host(s.addr))
	return err
}

func (s *Store) openPostgres(ctx context.Context, l *Lab) (err error) {
	cfg := pgtest.Config()
	cfg.Settings["max_connections"] = "40"
	cfg.Settings["shared_buffers"] = "32MB"
	if s.postgres, err = pgserver.Start(ctx, cfg); err != nil {
		return err
	}
	if s.disk, err = l.newDisk(s.Name); err != nil {
		return err
	}
	s.addr = s.postgres.URL(databaseName)
	return s.disk.database(ctx, s.postgres.URL("postgres"))
}

func (s *Store) openElastic(ctx context.Context, l *Lab) (err error) {
	s.addr = l.o.Elasticsearch
	if s.addr != "" {
		return nil
	}
	if s.elastic, err = esserver.Start(ctx, esserver.Config{}); err != nil {
		return err
	}
	s.addr = Host(s.elastic.URL())
	return nil
}

// Host is host:port of an address, which may be a URL.
func Host(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.Host
	}
	return address
}

// place is where the store is, past the proxy.
func (s *Store) place() place {
	s.mu.Lock()
	defer s.mu.Unlock()
	return place{Name: s.Name, Type: s.Type, Address: s.addr, Prefix: s.prefix}
}

// behind is where it is for those that come through a proxy.
func (s *Store) behind(proxy *Proxy) place {
	p := s.place()
	if p.Type == postgres.Type {
		p.Address = named(through(proxy, p.Address))
	} else {
		p.Address = proxy.Addr()
	}
	return p
}

// exec runs a statement in a store in PostgreSQL.
func (s *Store) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, s.place().Address)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

func (s *Store) close() error {
	var errs []error
	if s.Proxy != nil {
		s.Proxy.Close()
	}
	if s.qdrant != nil {
		s.qdrant.Stop()
	}
	if s.nebula != nil {
		errs = append(errs, s.nebula.Close())
	}
	if s.elastic != nil {
		errs = append(errs, s.elastic.Close())
	} else if s.Type == elasticsearch.Type {
		errs = append(errs, s.clean())
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.Stop())
	}
	return errors.Join(append(errs, s.disk.close())...)
}
