package outbox

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// changedKeys is how many keys one call of outbox.changed gets: a multiple of what a row of the log holds.
const changedKeys = 10_000

// Changed says, within the caller's transaction, that the records of a kind with these keys were written or deleted
// in it: for content that no watch sees, such as what a projection's query reads from elsewhere. The kind must be
// known: that of a watched table, of records that were put, or one that Watch declared.
//
// Everything but that is checked before anything is sent: on an error that holds an *InputError the transaction is
// as it was. Any other error comes from PostgreSQL, and the transaction must be rolled back.
func Changed(ctx context.Context, tx pgx.Tx, kind string, keys ...string) error {
	var p problems
	badKeys(&p, kind, keys)
	if err := p.err(); err != nil {
		return fmt.Errorf("logging changes: %w", err)
	}
	var batch pgx.Batch
	for part := range slices.Chunk(keys, changedKeys) {
		batch.Queue(`select outbox.changed($1, $2::text[])`, kind, part)
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("logging changes: %w", err)
	}
	return nil
}

// ChangedAll says, within the caller's transaction, that any record of a known kind may have been written or
// deleted. Every backend then compares all of its records of the kind with PostgreSQL's. It is for content that
// changed without a trace, such as by DDL where event triggers are not allowed.
func ChangedAll(ctx context.Context, tx pgx.Tx, kind string) error {
	var p problems
	p.add("kind", -1, "", badKind(kind))
	if err := p.err(); err != nil {
		return fmt.Errorf("logging changes: %w", err)
	}
	if _, err := tx.Exec(ctx, `select outbox.changed_all($1)`, kind); err != nil {
		return fmt.Errorf("logging changes: %w", err)
	}
	return nil
}

// Token is what Wait needs to know of the caller's transaction. Ask for it after the last write; it is of use once
// the transaction has committed. It is empty if the transaction has written nothing: then there is nothing to wait
// for.
func Token(ctx context.Context, tx pgx.Tx) (string, error) {
	var token string
	if err := tx.QueryRow(ctx, `select coalesce(outbox.token(), '')`).Scan(&token); err != nil {
		return "", fmt.Errorf("reading the transaction's token: %w", err)
	}
	return token, nil
}
