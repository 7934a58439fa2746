package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// writer is a connection with random transactions. Its stream of random numbers goes on from round to round.
type writer struct {
	t          *torture
	n          int
	r          *rand.Rand
	statements []statement // each as often as its weight
	conn       *pgx.Conn
	prepared   int
}

func newWriter(t *torture, n, version int) *writer {
	w := &writer{t: t, n: n, r: t.random(uint64(n))} //nolint:gosec // a small number
	for _, s := range statements() {
		for range s.weight {
			if s.since <= version {
				w.statements = append(w.statements, s)
			}
		}
	}
	return w
}

// run writes until ctx ends. The transaction under way is ended.
func (w *writer) run(ctx context.Context) {
	base := context.WithoutCancel(ctx)
	for ctx.Err() == nil {
		w.t.yield(ctx, 5_000)
		if err := w.connect(base); err != nil {
			pause(ctx, 100*time.Millisecond)
			continue
		}
		name, err := w.transaction(base)
		if err != nil {
			name = "failed " + code(err)
		}
		w.t.count("transactions "+name, 1)
		pause(ctx, time.Duration(w.r.IntN(30))*time.Millisecond)
	}
}

func (w *writer) connect(ctx context.Context) (err error) {
	if w.conn != nil && !w.conn.IsClosed() {
		return nil
	}
	if w.conn, err = pgx.Connect(ctx, w.t.links.Source); err != nil {
		return err
	}
	// Writers that wait for a lock of the open transaction hold up everybody else.
	_, err = w.conn.Exec(ctx, `set deadlock_timeout = '100ms'; set lock_timeout = '300ms'; set synchronous_commit = off`, pgx.QueryExecModeSimpleProtocol)
	return err
}

func (w *writer) close(ctx context.Context) error {
	if w.conn == nil {
		return nil
	}
	return w.conn.Close(ctx)
}

var levels = []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable}

// transaction runs one, and answers how it ended.
func (w *writer) transaction(ctx context.Context) (string, error) {
	tx, err := w.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: levels[w.r.IntN(len(levels))]})
	if err != nil {
		return "", err
	}
	defer func() { _ = tx.Rollback(ctx) }() // it has ended already, or its connection has
	n := 1
	if w.r.IntN(3) == 0 {
		n += w.r.IntN(12)
	}
	for range n {
		if err := w.step(ctx, tx); err != nil {
			return "", err
		}
		if w.r.IntN(15) == 0 {
			pause(ctx, time.Duration(w.r.IntN(60))*time.Millisecond)
		}
	}
	return w.end(ctx, tx)
}

// step is one statement, or a savepoint with one or two, released or rolled back.
func (w *writer) step(ctx context.Context, tx pgx.Tx) error {
	if w.r.IntN(4) > 0 {
		return w.statement(ctx, tx)
	}
	point, err := tx.Begin(ctx)
	if err != nil {
		return err
	}
	err = w.statement(ctx, point)
	if err == nil && w.r.IntN(2) == 0 {
		err = w.statement(ctx, point)
	}
	if err != nil || w.r.IntN(2) == 0 {
		w.t.count("savepoints rolled back", 1)
		return point.Rollback(ctx)
	}
	w.t.count("savepoints released", 1)
	return point.Commit(ctx)
}

func (w *writer) statement(ctx context.Context, tx pgx.Tx) error {
	s := w.statements[w.r.IntN(len(w.statements))]
	err := s.run(ctx, tx, w.r)
	if err != nil {
		w.t.count("statements failed "+code(err), 1)
		return fmt.Errorf("%s: %w", s.name, err)
	}
	w.t.count("statement "+s.name, 1)
	return nil
}

// end commits, rolls back, or does either in two phases.
func (w *writer) end(ctx context.Context, tx pgx.Tx) (string, error) {
	switch x := w.r.IntN(12); {
	case x == 0:
		return "rolled back", tx.Rollback(ctx)
	case x <= 2 && !w.t.links.Listen:
		return w.twoPhases(ctx)
	default:
		return "committed", tx.Commit(ctx)
	}
}

func (w *writer) twoPhases(ctx context.Context) (string, error) {
	w.prepared++
	gid := w.t.gid(fmt.Sprintf("w%d_%d", w.n, w.prepared))
	if _, err := w.conn.Exec(ctx, "prepare transaction "+gid); err != nil {
		return "", err
	}
	if w.r.IntN(2) == 0 {
		pause(ctx, time.Duration(w.r.IntN(100))*time.Millisecond)
	}
	name, sql := "committed in two phases", "commit prepared "
	if w.r.IntN(3) == 0 {
		name, sql = "rolled back in two phases", "rollback prepared "
	}
	_, err := w.conn.Exec(ctx, sql+gid)
	return name, err
}

// code is PostgreSQL's code of an error, or its text.
func code(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return err.Error()
}

// pause waits for d or for the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
