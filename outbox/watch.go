package outbox

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Kind is a class of records, and where they are.
type Kind struct {
	Name string // small letters, digits and _, a letter first, at most 63

	// Table is watched: its name in SQL, such as app.files or "Odd Name". Without a table the kind's records are in
	// outbox.records; or List tells where they are, and Changed what happens to them.
	Table string
	List  string // for a kind without a table: a query that yields every key, in one text column named key

	// Key names the columns that identify a record; none: the primary key. One column's text is the key of a
	// record, that of several is a JSON array of them.
	Key []string

	// PerRow watches each row instead of each statement: cheaper for transactions that write one row, several times
	// dearer for those that write many, and needed for tables that a subscription of logical replication writes.
	PerRow bool

	// History keeps the previous row of each row that changes, in the same transaction, so that Revert can undo it. It
	// multiplies what a write of many rows costs, refuses TRUNCATE, and needs a table without inheritance children
	// (partitions are fine).
	History bool

	// Dependants are kinds whose records are made from this one's as well: for each a query from changed keys of
	// this kind, in $1 text[], to keys of the dependant, one text column. Both kinds must be known.
	Dependants map[string]string
}

// Watch declares a kind, within the caller's transaction, and watches its table: from then on its changes go into
// the log. It needs a role that owns the table and belongs to the owner of the log.
//
// Calling it again changes what is different, and otherwise takes no locks and needs no more rights than a worker has
// (outbox.grant_worker): dependants that are not named are
// forgotten, and a watch that is not right any more, because the table's columns or partitions are other ones, is
// made right. What it may have missed it logs, all keys if need be.
//
// A view, a table without a key, a key that can be null, and all else that cannot be watched is an error that names
// it. On an error that holds an *InputError the transaction is as it was; after any other it must be rolled back.
func Watch(ctx context.Context, tx pgx.Tx, k Kind) error {
	if err := checkKind(k); err != nil {
		return fmt.Errorf("watching: %w", err)
	}
	var batch pgx.Batch
	if k.Table != "" {
		batch.Queue(`select outbox.watch($1::text::regclass, $2, $3::text[], $4, $5) where not outbox.is_watched($1::text::regclass, $2, $3::text[], $4, $5)`,
			k.Table, k.Name, append([]string{}, k.Key...), k.PerRow, k.History)
	} else {
		batch.Queue(`select outbox.kind($1, nullif($2, '')) where not outbox.is_kind($1, nullif($2, ''))`, k.Name, k.List)
	}
	names := slices.Sorted(maps.Keys(k.Dependants))
	batch.Queue(`select outbox.undepend(kind, dependant) from outbox.dependants where kind = $1 and dependant <> all ($2::text[])`, k.Name, append([]string{}, names...))
	for _, d := range names {
		batch.Queue(`select outbox.depend($1, $2, $3) where not outbox.depends($1, $2, $3)`, k.Name, d, k.Dependants[d])
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("watching kind %s: %w", k.Name, err)
	}
	return nil
}

// checkKind finds what is wrong with a kind without asking PostgreSQL.
func checkKind(k Kind) error {
	var p problems
	p.add("kind", -1, "", badKind(k.Name))
	switch {
	case k.Table != "" && k.List != "":
		p.add("list", -1, "", "the table has the keys")
	case k.Table == "" && (len(k.Key) > 0 || k.PerRow || k.History):
		p.add("table", -1, "", "it is empty, but a key, PerRow or History is given")
	}
	for i, d := range slices.Sorted(maps.Keys(k.Dependants)) {
		p.add("dependants", i, "kind", badKind(d))
	}
	return p.err()
}

// Unwatch takes the watch off a table, within the caller's transaction. The kind stays declared; watching it again
// logs all of its keys. A table that is not watched is no error.
func Unwatch(ctx context.Context, tx pgx.Tx, table string) error {
	if _, err := tx.Exec(ctx, `select outbox.unwatch($1::text::regclass)`, table); err != nil {
		return fmt.Errorf("unwatching table %s: %w", table, err)
	}
	return nil
}
