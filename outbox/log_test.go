package outbox

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
)

// What follows from a page is logged as a whole or not at all, and only by who holds the lane.
func TestLogIsAllOrNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	tenure, boom := w.take("b", "p"), errors.New("boom")
	r := NewReader(w.pool, tenure, nil)
	relog := func(err error) func(context.Context, *pgx.Conn) error {
		return func(ctx context.Context, c *pgx.Conn) error {
			for _, key := range []string{"a", "b"} {
				w.ok(Relog(ctx, c, "b", "k", []string{key}, Cause{}))
			}
			return err
		}
	}
	if err := r.Log(t.Context(), relog(boom)); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	w.want("", "select string_agg(k, ' ') from outbox.log cross join unnest(keys) k")
	w.ok(r.Log(t.Context(), relog(nil)))
	w.want("a b", "select string_agg(k, ' ' order by id) from outbox.log cross join unnest(keys) k")
	w.expire("b")
	w.take("b", "heir")
	if err := r.Log(t.Context(), relog(nil)); !errors.Is(err, ErrLost) {
		t.Errorf("got %v, want ErrLost", err)
	}
	w.want("2", "select count(*) from outbox.log")
}

// Each query of such a transaction sees what was committed before it, and none of the tables it holds while it is being
// rewritten.
func TestLogSeesThePresent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	w.exec("create table app (id int); insert into app values (1)")
	r := NewReader(w.pool, w.take("b", "p"), []string{"public.app"})
	w.ok(r.Log(t.Context(), func(_ context.Context, c *pgx.Conn) error {
		w.exec("insert into app values (2)")
		if got := text(t, c, "select count(*) from app"); got != "2" {
			t.Errorf("it sees %s rows", got)
		}
		if got := text(t, w.pool, "select count(*) from pg_locks where relation = 'app'::regclass and mode = 'AccessShareLock' and granted"); got == "0" {
			t.Error("the source is not held")
		}
		return nil
	}))
}
