// Package stdsql is the writing side of package outbox for those who use database/sql, with whichever driver, or
// something on top of it.
//
//	tx, err := db.BeginTx(ctx, nil)
//	...
//	err = stdsql.Put(ctx, tx, outbox.Record{Kind: "note", Key: "1", Body: note})
//	token, err := stdsql.Token(ctx, tx)
//	err = tx.Commit()
//
// What is checked, what is sent and what errors mean is as in package outbox.
package stdsql

import (
	"context"
	"database/sql"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/outflow-db/outflow/outbox"
)

// Tx is a transaction: a *sql.Tx, a *sql.Conn that is in one, or what embeds one of them.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Put is outbox.Put.
func Put(ctx context.Context, tx Tx, records ...outbox.Record) error {
	return outbox.Put(ctx, adapter{tx: tx}, records...)
}

// Delete is outbox.Delete.
func Delete(ctx context.Context, tx Tx, kind string, keys ...string) error {
	return outbox.Delete(ctx, adapter{tx: tx}, kind, keys...)
}

// Changed is outbox.Changed.
func Changed(ctx context.Context, tx Tx, kind string, keys ...string) error {
	return outbox.Changed(ctx, adapter{tx: tx}, kind, keys...)
}

// ChangedAll is outbox.ChangedAll.
func ChangedAll(ctx context.Context, tx Tx, kind string) error {
	return outbox.ChangedAll(ctx, adapter{tx: tx}, kind)
}

// SetHeaders is outbox.SetHeaders.
func SetHeaders(ctx context.Context, tx Tx, headers map[string]string) error {
	return outbox.SetHeaders(ctx, adapter{tx: tx}, headers)
}

// Token is outbox.Token.
func Token(ctx context.Context, tx Tx) (string, error) {
	return outbox.Token(ctx, adapter{tx: tx})
}

// adapter is as much of a pgx.Tx as writers use.
type adapter struct {
	pgx.Tx // nil: nothing else is called

	tx Tx
}

// Exec runs one statement.
func (a adapter) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	_, err := a.tx.ExecContext(ctx, query, portable(args)...)
	return pgconn.CommandTag{}, err
}

// QueryRow asks for one row.
func (a adapter) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	return a.tx.QueryRowContext(ctx, query, portable(args)...)
}

// SendBatch runs the statements of a batch one after the other.
func (a adapter) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	for _, q := range b.QueuedQueries {
		if _, err := a.Exec(ctx, q.SQL, q.Arguments...); err != nil {
			return results{err: err}
		}
	}
	return results{}
}

// results are those of a batch that has run.
type results struct {
	pgx.BatchResults // nil: writers only close it

	err error
}

// Close answers the error of the batch.
func (r results) Close() error { return r.err }

// portable makes texts of arrays, which database/sql does not know: every driver passes a text on as it is, and the
// statements say what it is.
func portable(args []any) []any {
	list := make([]any, len(args))
	for i, arg := range args {
		switch arg := arg.(type) {
		case []string:
			texts := make([]*string, len(arg))
			for j := range arg {
				texts[j] = &arg[j]
			}
			list[i] = array(texts)
		case []*string:
			list[i] = array(arg)
		default:
			list[i] = arg
		}
	}
	return list
}

var quote = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// array is the text of an array of PostgreSQL's.
func array(texts []*string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, s := range texts {
		if i > 0 {
			b.WriteByte(',')
		}
		if s == nil {
			b.WriteString("NULL")
			continue
		}
		b.WriteByte('"')
		b.WriteString(quote.Replace(*s))
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String()
}
