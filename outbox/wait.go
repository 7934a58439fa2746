package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Wait returns when the backends, or all if none is named, have applied everything that the transaction with the
// token changed; records that a backend parked count as applied. An empty token is reached at once, and so is that
// of a transaction that was rolled back. When ctx ends, the error says which backends were still behind and why.
//
// The token comes from Token, or from SQL's outbox.token(), in the transaction itself; Wait is called after its
// commit.
func Wait(ctx context.Context, db DB, token string, backends ...string) error {
	if token == "" {
		return nil
	}
	if _, err := parseXid(token); err != nil {
		return fmt.Errorf("waiting for token: %w", err)
	}
	last := backends // what is known to be behind
	for nap := time.Millisecond; ; nap = min(nap*3/2, 100*time.Millisecond) {
		list, err := behind(ctx, db, token, backends)
		switch {
		case ctx.Err() != nil && err != nil: // the question was cut off: the answer before it holds
		case err != nil:
			return err
		case len(list) == 0:
			return nil
		default:
			last = list
			pause(ctx, nap)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for token %s: still behind: %s: %w", token, strings.Join(last, ", "), context.Cause(ctx))
		}
	}
}

// behind lists the backends that have not reached the token, with the reason if they are paused.
func behind(ctx context.Context, db DB, token string, backends []string) ([]string, error) {
	rows, err := db.Query(ctx, `
select w.name, b.name is not null, coalesce(b.paused, ''), outbox.reached($1::xid8, w.name)
  from (select unnest($2::text[]) as name union select name from outbox.backends where $2::text[] = '{}') w
  left join outbox.backends b on b.name = w.name order by 1`, token, texts(backends))
	if err != nil {
		return nil, fmt.Errorf("waiting for token %s: %w", token, err)
	}
	var list []string
	var unknown []error
	var name, paused string
	var known, reached bool
	_, err = pgx.ForEachRow(rows, []any{&name, &known, &paused, &reached}, func() error {
		switch {
		case !known:
			unknown = append(unknown, fmt.Errorf("waiting for token %s: no backend %q", token, name))
		case !reached && paused != "":
			list = append(list, name+" (paused: "+paused+")")
		case !reached:
			list = append(list, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for token %s: %w", token, err)
	}
	return list, errors.Join(unknown...)
}
