package ast

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/outbox"
)

// RejectedError says that a load with Options.OnReject "revert" ended because a backend refused a record of it. What it had
// written is reverted by a worker, and so is what its last transactions wrote.
type RejectedError struct {
	Load string
	Why  string // which backend, and what kind of record
}

// Error names the load, and what to do.
func (e *RejectedError) Error() string {
	return fmt.Sprintf("load %s is being reverted: %s (outflow audit and the events of the backend tell which; mend it, and load again with another id)", e.Load, e.Why)
}

// NoHistoryError says that a load cannot ask to be reverted, because previous rows of tables are not kept. Nothing was
// loaded.
type NoHistoryError struct{ Tables []string }

// Error names the tables, and what to do.
func (e *NoHistoryError) Error() string {
	return fmt.Sprintf("the load cannot be reverted when a backend refuses a record of it: no history is kept of %s (set history: true for their kinds)", strings.Join(e.Tables, ", "))
}

// reverts says whether the load asks to be reverted when a backend refuses a record of it.
func (o Options) reverts() bool { return o.OnReject == outbox.OnRejectRevert }

// asks checks, before anything is loaded, what the load asks for.
func (l *loader) asks(ctx context.Context) error {
	switch l.options.OnReject {
	case "", outbox.OnRejectPark:
		return nil
	case outbox.OnRejectRevert:
	default:
		return fmt.Errorf("on reject is %q: want %s or %s", l.options.OnReject, outbox.OnRejectPark, outbox.OnRejectRevert)
	}
	rows, err := l.pool.Query(ctx, `
select t from unnest(array['ast.files', 'ast.symbols', 'ast.relations', 'ast.embeddings']) t
 where not exists (select from outbox.watches w where w.rel = t::regclass and w.history)`)
	var without []string
	if err == nil {
		without, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		return fmt.Errorf("looking for tables without history: %w", err)
	}
	if len(without) > 0 {
		return &NoHistoryError{without}
	}
	return l.stands(ctx, l.pool)
}

// stands fails with a *RejectedError when the load is being reverted.
func (l *loader) stands(ctx context.Context, db outbox.DB) error {
	if !l.options.reverts() {
		return nil
	}
	why, err := outbox.Rejected(ctx, db, l.options.ID)
	if err == nil && why != "" {
		err = &RejectedError{l.options.ID, why}
	}
	return err
}
