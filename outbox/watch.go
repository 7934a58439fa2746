package outbox

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Kind is a class of records and the table that is watched for it.
type Kind struct {
	Name, Table string
	Key         []string
	PerRow      bool
	Dependants  map[string]string
}

// Watch watches the table of a kind.
func Watch(ctx context.Context, tx pgx.Tx, k Kind) error {
	_, err := tx.Exec(ctx, `select outbox.watch($1::text::regclass, $2)`, k.Table, k.Name)
	if err != nil {
		return err
	}
	for d, q := range k.Dependants {
		if _, err := tx.Exec(ctx, `select outbox.depend($1, $2, $3)`, k.Name, d, q); err != nil {
			return err
		}
	}
	return nil
}
