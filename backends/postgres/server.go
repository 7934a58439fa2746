package postgres

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/endpoints"
)

// endpoint is the set of the one server that there is. A url with several hosts is one endpoint: pgx chooses among them.
func (b *backend) endpoint() *endpoints.Set {
	c := b.pool.Config().ConnConfig
	address := net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
	if strings.HasPrefix(c.Host, "/") {
		address = c.Host // a socket's directory
	}
	return endpoints.New(endpoints.Config{
		Backend: b.name, Addresses: []string{address}, Log: b.log, Classify: b.classify, Judge: sign,
		Ping:   func(ctx context.Context, _ int) error { return b.ping(ctx) },
		Unsent: func(error) bool { return false }, // there is no other
	})
}

// asked does something in the server, if it is up, and learns from the outcome.
func (b *backend) asked(ctx context.Context, op string, do func(context.Context) error) error {
	err := b.server.Do(ctx, func(ctx context.Context, _ int) error { return do(ctx) })
	if err != nil {
		return b.classify(op, err)
	}
	return nil
}

// ping asks whether the server answers and takes writes.
func (b *backend) ping(ctx context.Context) error {
	var standby bool
	if err := b.pool.QueryRow(ctx, "select pg_is_in_recovery()").Scan(&standby); err != nil {
		return err
	}
	if standby {
		return errStandby
	}
	return nil
}

var errStandby = errors.New("the server is a standby, which takes no writes")

// sign is what an error says of the server: what it answers, other than that it begins, ends or crashed, is about the
// request.
func sign(err error) endpoints.Sign {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && !strings.HasPrefix(e.Code, "57P") && !strings.HasPrefix(e.Code, "08") {
		return endpoints.Sound
	}
	if class := backends.ClassOf(err); class != backends.Transient && class != backends.Unknown {
		return endpoints.Sound // ours: the record, not the server
	}
	return endpoints.Faulty
}

// Endpoints is the server.
func (b *backend) Endpoints() []backends.Endpoint { return b.server.List() }

// Probe asks the server whether it takes writes.
func (b *backend) Probe(ctx context.Context, address string) error {
	return b.server.Probe(ctx, address)
}
