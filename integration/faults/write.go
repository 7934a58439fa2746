package faults

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/outbox"
)

// write has writers at work until Close. What they cannot commit they leave: what counts is what PostgreSQL has.
func (l *Lab) write(ctx context.Context) {
	ctx, l.writing = context.WithCancel(context.WithoutCancel(ctx))
	n := l.o.Writers
	if n == 0 {
		n = 2
	}
	for range max(n, 0) {
		l.writers.Go(func() {
			for ctx.Err() == nil {
				l.calm.RLock()
				if _, err := l.change(ctx); err == nil {
					l.wrote.Add(1)
				} else {
					pause(ctx, 50*time.Millisecond)
				}
				l.calm.RUnlock()
				pause(ctx, cmp.Or(l.o.Pace, 25*time.Millisecond))
			}
		})
	}
}

// most is above every id.
const most = 300

// changes are the statements of a transaction.
var changes = []string{
	`insert into node select i, 'é"\' || chr(10) || $2::int, array[$2, i, 1]::real[], array[i, $2]::real[] from generate_series($1::int, $1::int + 8) i
         on conflict (id) do update set v = excluded.v, a = excluded.a`,
	`insert into link select $1::int, t, i, $2::int::text from generate_series($1::int, $1::int + 5) i, unnest('{calls,uses}'::text[]) t
         on conflict (src, typ, dst) do update set v = excluded.v`,
	`delete from node where id % 29 = $1::int % 29 and $2::int % 3 = 0`,
	`delete from link where dst % 17 = $1::int % 17 and $2::int % 2 = 0`,
}

// change commits a transaction of random changes and answers its token.
func (l *Lab) change(ctx context.Context) (token string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	err = pgx.BeginFunc(ctx, l.db(), func(tx pgx.Tx) error {
		if l.lazy.Load() {
			if _, err := tx.Exec(ctx, `set local synchronous_commit = off`); err != nil {
				return err
			}
		}
		n, v := rand.IntN(most), rand.IntN(1_000_000)
		for _, sql := range changes {
			if _, err := tx.Exec(ctx, sql, n, v); err != nil {
				return err
			}
		}
		return tx.QueryRow(ctx, `select outbox.token()`).Scan(&token)
	})
	return token, err
}

// rest lets the writers stand still until resume is called.
func (l *Lab) rest() (resume func()) {
	l.calm.Lock()
	return l.calm.Unlock
}

// Commit commits statements in one transaction and answers its token.
func (l *Lab) Commit(ctx context.Context, statements ...string) (token string, err error) {
	err = pgx.BeginFunc(ctx, l.db(), func(tx pgx.Tx) error {
		for _, sql := range statements {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return tx.QueryRow(ctx, `select outbox.token()`).Scan(&token)
	})
	return token, err
}

// Await waits until all stores have what the transaction with the token changed.
func (l *Lab) Await(ctx context.Context, token string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return outbox.Wait(ctx, l.db(), token)
}
