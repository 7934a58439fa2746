package migrations

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The roles that Roles makes. Nobody logs in as one of them: grant them to who does.
const (
	Writer = "outflow_writer" // writes outbox.records, and waits for backends
	Worker = "outflow_worker" // runs workers
)

// Roles makes the roles, unless they exist, and gives them the least rights that writers and workers need in the
// pool's database. It can be repeated, and should be after Up. It needs the right to make roles, unless they exist, and
// the ownership of the schemas. Rights on the application's own tables, and BYPASSRLS where row-level security is
// used, are not its business.
func Roles(ctx context.Context, pool *pgxpool.Pool) error {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		// Roles belong to the whole cluster, and two migrations of it must not make them at the same time.
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtext('outflow roles'))`); err != nil {
			return err
		}
		for _, role := range []string{Writer, Worker} {
			var exists bool
			if err := tx.QueryRow(ctx, `select exists (select from pg_roles where rolname = $1)`, role).Scan(&exists); err != nil {
				return err
			}
			if exists {
				continue
			}
			if _, err := tx.Exec(ctx, `create role `+role+` nologin`); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `select outbox.grant_writer($1::text::regrole), outbox.grant_worker($2::text::regrole)`, Writer, Worker)
		if err != nil || table() == "goose_db_version" {
			return err
		}
		_, err = tx.Exec(ctx, `grant select on `+table()+` to `+Worker)
		return err
	})
	if err != nil {
		return fmt.Errorf("making the roles %s and %s: %w", Writer, Worker, err)
	}
	return nil
}
