package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/outbox"
)

// standing is what stays open throughout: a transaction with rows, a prepared one, and an old snapshot.
type standing struct {
	t     *torture
	long  *pgx.Conn
	tx    pgx.Tx
	held  *pgx.Conn
	rows  int // that the transaction has written into t
	ended bool
}

// Where the rows of the standing transactions and of the probes are, away from those of the writers.
const (
	longFrom     = 1_000_000
	preparedFrom = 2_000_000
	probeFrom    = 3_000_000
	halfFrom     = 4_000_000
)

// begin opens them.
func (t *torture) begin(ctx context.Context) (s *standing, err error) {
	s = &standing{t: t}
	if s.long, err = pgx.Connect(ctx, t.o.Source); err != nil {
		return nil, err
	}
	if s.tx, err = s.long.Begin(ctx); err != nil {
		return s, err
	}
	if s.held, err = pgx.Connect(ctx, t.o.Source); err != nil {
		return s, err
	}
	if _, err = s.held.Exec(ctx, `begin isolation level repeatable read; select count(*) from app.t`, pgx.QueryExecModeSimpleProtocol); err != nil || t.o.Listen {
		return s, err
	}
	_, err = t.pool.Exec(ctx, fmt.Sprintf(`begin; insert into app.t select %d + g, 1, 'prepared', null from generate_series(1, 10) g;
prepare transaction %s`, preparedFrom, t.gid("standing")), pgx.QueryExecModeSimpleProtocol)
	return s, err
}

// gid names a prepared transaction, in quotes. Names are unique in a server, not in a database.
func (t *torture) gid(name string) string {
	return "'" + t.pool.Config().ConnConfig.Database + " " + name + "'"
}

// more writes more rows in the open transaction, in a savepoint too.
func (s *standing) more(ctx context.Context, n int) error {
	const step = 700
	if _, err := s.tx.Exec(ctx, `insert into app.t select $1::int + g, 1, 'long', null from generate_series(1, $2::int) g`, longFrom+s.rows, step); err != nil {
		return fmt.Errorf("writing in the long transaction: %w", err)
	}
	s.rows += step
	point, err := s.tx.Begin(ctx)
	if err != nil {
		return err
	}
	if _, err := point.Exec(ctx, `insert into app.ck select 'long', $1::int * 1000 + g, '{}' from generate_series(1, 200) g`, n); err != nil {
		return fmt.Errorf("writing in the long transaction: %w", err)
	}
	if err := outbox.Put(ctx, point, outbox.Record{Kind: "note", Key: fmt.Sprintf("long%d", n), Body: n, Embedding: make([]float32, dimensions)}); err != nil {
		return err
	}
	return point.Commit(ctx)
}

// commit ends them.
func (s *standing) commit(ctx context.Context) error {
	s.ended = true
	if err := s.tx.Commit(ctx); err != nil {
		return fmt.Errorf("committing the long transaction: %w", err)
	}
	if _, err := s.held.Exec(ctx, "commit"); err != nil {
		return fmt.Errorf("ending the old snapshot: %w", err)
	}
	return s.second(ctx, "commit")
}

// second ends the prepared transaction.
func (s *standing) second(ctx context.Context, how string) error {
	if s.t.o.Listen {
		return nil
	}
	if _, err := s.t.pool.Exec(ctx, how+" prepared "+s.t.gid("standing")); err != nil {
		return fmt.Errorf("ending the prepared transaction: %w", err)
	}
	return nil
}

func (s *standing) close(ctx context.Context) error {
	var errs []error
	if !s.ended && s.held != nil {
		errs = append(errs, s.second(ctx, "rollback"))
	}
	for _, c := range []*pgx.Conn{s.long, s.held} {
		if c != nil {
			errs = append(errs, c.Close(ctx))
		}
	}
	return errors.Join(errs...)
}
