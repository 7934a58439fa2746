package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// Setup records the configuration in the database: it watches the kinds' tables, registers backends that are not
// there yet, and puts every key of a kind into the log for backends whose projection of it is new or has changed,
// so that they are filled. It can be repeated, and does nothing when nothing changed. It reaches no store: a
// backend's targets are prepared by its first job.
//
// Backends and projections that are not configured any more are left alone; see Forget.
func Setup(ctx context.Context, c Config) error {
	c, err := c.checked()
	if err != nil {
		return err
	}
	if err := outbox.CheckHistory(ctx, c.Pool); err != nil {
		if err := settleHistory(ctx, c, err); err != nil {
			return err
		}
	}
	if err := pgx.BeginFunc(ctx, c.Pool, func(tx pgx.Tx) error { return watch(ctx, tx, c.Kinds) }); err != nil {
		return err
	}
	for _, b := range c.Backends {
		if err := setupBackend(ctx, c, b); err != nil {
			return err
		}
	}
	return nil
}

// watch watches the kinds' tables. Dependants come after all kinds, because they may name any of them.
func watch(ctx context.Context, tx pgx.Tx, kinds []outbox.Kind) error {
	for _, k := range kinds {
		alone := k
		alone.Dependants = nil
		if err := outbox.Watch(ctx, tx, alone); err != nil {
			return fmt.Errorf("kind %s: %w", k.Name, err)
		}
	}
	for _, k := range kinds {
		if len(k.Dependants) == 0 {
			continue
		}
		if err := outbox.Watch(ctx, tx, k); err != nil {
			return fmt.Errorf("kind %s: %w", k.Name, err)
		}
	}
	return nil
}

// setupBackend registers one backend and logs what it must be filled with.
func setupBackend(ctx context.Context, c Config, b backends.Config) error {
	return pgx.BeginFunc(ctx, c.Pool, func(tx pgx.Tx) error {
		var typ string
		err := tx.QueryRow(ctx, `select type from outbox.backends where name = $1`, b.Name).Scan(&typ)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			if err := outbox.AddBackend(ctx, tx, b.Name, b.Type, c.Settings.Lanes); err != nil {
				return err
			}
		case err != nil:
			return fmt.Errorf("backend %s: %w", b.Name, err)
		case typ != b.Type:
			return fmt.Errorf("backend %s is of type %s in this database, but %s is configured: give it another name, or forget the old one first", b.Name, typ, b.Type)
		}
		for _, p := range c.Projections {
			if p.Backend != b.Name {
				continue
			}
			if err := setupProjection(ctx, tx, b.Type, p); err != nil {
				return err
			}
		}
		return nil
	})
}

// setupProjection records the projection, and logs all keys of its kind for its backend if it is not what the
// backend was filled with.
func setupProjection(ctx context.Context, tx pgx.Tx, typ string, p Projection) error {
	digest, err := p.digest(typ)
	if err != nil {
		return err
	}
	var known bool
	if err := tx.QueryRow(ctx, `select exists (select from outbox.kinds where kind = $1)`, p.Kind).Scan(&known); err != nil {
		return fmt.Errorf("projection of kind %s: %w", p.Kind, err)
	}
	if !known {
		return fmt.Errorf("projection of kind %s into backend %s: no such kind: configure its table, or declare it with outbox.kind", p.Kind, p.Backend)
	}
	tag, err := tx.Exec(ctx, `
insert into outbox.projections as p (backend, kind, target, digest) values ($1, $2, $3, $4)
on conflict (backend, kind, target) do update set digest = excluded.digest where p.digest <> excluded.digest`,
		p.Backend, p.Kind, p.Target, digest)
	if err != nil {
		return fmt.Errorf("projection of kind %s into backend %s: %w", p.Kind, p.Backend, err)
	}
	if tag.RowsAffected() == 0 {
		return nil
	}
	return outbox.RelogAll(ctx, tx, p.Backend, p.Kind, outbox.Cause{})
}

// Forget removes a backend from the database: its lanes, what it parked and what it was filled with. The store
// keeps its data.
func Forget(ctx context.Context, db outbox.DB, backend string) error {
	return outbox.RemoveBackend(ctx, db, backend)
}
