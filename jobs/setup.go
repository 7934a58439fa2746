package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// Setup records the configuration in the database: it watches the kinds' tables, registers backends that are not
// there yet, and puts every key of a kind into the log for backends whose projection of it is new or has changed,
// so that they are filled. It can be repeated, by several processes at once as well, and does nothing when nothing
// changed. Projections that cannot work are reported all at once, before anything is recorded. It writes to no store:
// a backend's targets are prepared by its first job.
//
// Of the backends that are configured, projections that are not any more are forgotten; processes that still have
// them, or have them otherwise, leave the backend alone. The targets keep their data, and so do backends that are not
// configured any more; see Forget.
func Setup(ctx context.Context, c Config) error {
	c, err := c.checked()
	if err != nil {
		return err
	}
	if err := describe(ctx, c); err != nil {
		return err
	}
	if err := settle(ctx, c); err != nil {
		return err
	}
	if err := inTurn(ctx, c.Pool, setupLock, func(tx pgx.Tx) error { return watch(ctx, tx, c.Kinds) }); err != nil {
		return err
	}
	for _, b := range c.Backends {
		if err := inTurn(ctx, c.Pool, setupLock, func(tx pgx.Tx) error { return setupBackend(ctx, tx, c, b) }); err != nil {
			return err
		}
	}
	return nil
}

// describe finds out whether the projections can work.
func describe(ctx context.Context, c Config) error {
	var errs []error
	for _, b := range c.Backends {
		s, err := openStore(ctx, c, b)
		if err == nil {
			err = s.backend.Close()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Locks of what processes must not do at the same time.
const (
	setupLock   = 0x6f757466_6c6f7701 // "outflow", 1
	historyLock = 0x6f757466_6c6f7702
)

// inTurn runs fn in a transaction, one after the other in all processes. The lock gives the transaction no id.
func inTurn(ctx context.Context, pool *pgxpool.Pool, lock int64, fn func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock($1)`, lock); err != nil {
			return fmt.Errorf("waiting for other processes: %w", err)
		}
		return fn(tx)
	})
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
func setupBackend(ctx context.Context, tx pgx.Tx, c Config, b backends.Config) error {
	var typ string
	err := tx.QueryRow(ctx, `select type from outbox.backends where name = $1`, b.Name).Scan(&typ)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		if err := outbox.AddBackend(ctx, tx, b.Name, b.Type, c.settings(b.Name).Lanes); err != nil {
			return err
		}
	case err != nil:
		return fmt.Errorf("backend %s: %w", b.Name, err)
	case typ != b.Type:
		return fmt.Errorf("backend %s is of type %s in this database, but %s is configured: give it another name, or forget the old one first", b.Name, typ, b.Type)
	}
	kinds, targets := []string{}, []string{}
	for _, p := range of(b.Name, c.Projections) {
		kinds, targets = append(kinds, p.Kind), append(targets, p.Target)
		if err := setupProjection(ctx, tx, b.Type, p); err != nil {
			return err
		}
	}
	// What comes back later must be filled again: what changes meanwhile passes it by. What it refused concerns nobody.
	_, err = tx.Exec(ctx, `
with gone as (
  delete from outbox.projections p where p.backend = $1
     and not exists (select from unnest($2::text[], $3::text[]) u (kind, target) where u.kind = p.kind and u.target = p.target)
  returning p.kind, p.target, p.building)
delete from outbox.parked p using gone where p.backend = $1 and p.kind = gone.kind and (p.target = gone.target or p.target = gone.target || '@' || gone.building)`,
		b.Name, kinds, targets)
	if err != nil {
		return fmt.Errorf("forgetting projections of backend %s: %w", b.Name, err)
	}
	return nil
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
	return recordProjection(ctx, tx, p, digest)
}

// recordProjection records what a target is filled with from now on. What a rebuild fills beside it stays what it is.
func recordProjection(ctx context.Context, tx pgx.Tx, p Projection, digest string) error {
	settings, err := json.Marshal(p.Settings)
	if err != nil {
		return fmt.Errorf("projection of kind %s into backend %s: settings: %w", p.Kind, p.Backend, err)
	}
	var was, next string
	var known bool
	err = tx.QueryRow(ctx, `
select digest, coalesce(next_digest, ''), query is not null from outbox.projections where backend = $1 and kind = $2 and target = $3 for update`,
		p.Backend, p.Kind, p.Target).Scan(&was, &next, &known)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
	case err != nil:
		return fmt.Errorf("projection of kind %s into backend %s: %w", p.Kind, p.Backend, err)
	case digest == next && next != was, digest == was && known:
		return nil
	case digest != was && next != "":
		return fmt.Errorf("projection of kind %s into backend %s: %s (%s)", p.Kind, p.Backend, besideAnother, cancelAdvice(p.Backend, p.Kind))
	}
	_, err = tx.Exec(ctx, `
insert into outbox.projections as p (backend, kind, target, digest, query, settings) values ($1, $2, $3, $4, $5, $6)
on conflict (backend, kind, target) do update set digest = excluded.digest, query = excluded.query, settings = excluded.settings`,
		p.Backend, p.Kind, p.Target, digest, p.Query, string(settings))
	if err != nil {
		return fmt.Errorf("projection of kind %s into backend %s: %w", p.Kind, p.Backend, err)
	}
	if was == digest {
		return nil
	}
	return outbox.RelogAllFor(ctx, tx, outbox.Fill, p.Backend, p.Kind, outbox.Cause{})
}

// besideAnother is why a projection cannot be changed.
const besideAnother = "its target is being rebuilt beside the one that readers see, and with another definition"

func cancelAdvice(backend, kind string) string {
	return "let that end, or take it back: outflow rebuild " + backend + " " + kind + " --beside --cancel"
}

// Forget removes a backend from the database: its lanes, what it parked and what it was filled with. The store
// keeps its data.
func Forget(ctx context.Context, db outbox.DB, backend string) error {
	return outbox.RemoveBackend(ctx, db, backend)
}
