package outbox

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A peek reads the newest changes that are not visible in a snapshot, some of each kind, and neither fills nor repairs;
// where it looked, the next one begins. It does not read what is not held.
func TestPeek(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	tenure := w.take("b", "p")
	r := NewReader(w.pool, tenure, nil)
	since, err := Now(t.Context(), w.pool)
	w.ok(err)
	peek := func(keys int) string {
		t.Helper()
		called := 0
		page, now, err := r.Peek(t.Context(), since, keys, func(context.Context, *pgx.Conn, *Page) error { called++; return nil })
		w.ok(err)
		since = now
		if page.Empty() != (called == 0) || !page.Next.At.Zero() {
			t.Errorf("%d calls for %v", called, page)
		}
		var list []string
		for kind, keys := range page.Keys {
			list = append(list, kind+" "+strings.Join(keys, ","))
		}
		slices.Sort(list)
		return strings.Join(list, "; ")
	}
	want := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	want("nothing is new", peek(10), "")
	w.exec(`insert into outbox.log (kind, keys) values ('one', '{a}'), ('one', '{b,c}'), ('two', '{x}'), ('one', '{c,d}')`)
	open := w.begin()
	open.logs("late")
	w.ok(Relog(t.Context(), w.pool, "b", "one", []string{"repaired"}, Cause{}))
	w.exec(`insert into outbox.log (kind, keys, headers) values ('one', '{}', '{"all": true}')`)
	want("the newest of each kind", peek(3), "one b,c,d; two x")
	want("they are not new any more", peek(10), "")
	open.commit()
	want("what committed late is new", peek(10), "k late")
	w.exec(`insert into outbox.log (kind, keys) select 'many', array[g::text] from generate_series(1, 3000) g`)
	if n := strings.Count(peek(100_000), ","); n != peekRows-1 {
		t.Errorf("it reads %d rows", n+1)
	}
	failed := errors.New("failed")
	w.exec(`insert into outbox.log (kind, keys) values ('one', '{a}')`)
	if _, _, err := r.Peek(t.Context(), since, 1, func(context.Context, *pgx.Conn, *Page) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
	w.expire("b")
	w.take("b", "q")
	if _, _, err := r.Peek(t.Context(), since, 1, nil); !errors.Is(err, ErrLost) {
		t.Errorf("got %v", err)
	}
}

// Only the query of the newest rows is planned with the log's index in mind. What is forbidden is so dear that
// PostgreSQL would compile any other query that needs it, in a hundred times its own time.
func TestOnlyTheLogIsReadByItsIndex(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	r := NewReader(w.pool, w.take("b", "p"), nil)
	since, err := Now(t.Context(), w.pool)
	w.ok(err)
	w.exec(`insert into outbox.log (kind, keys) values ('one', '{a}')`)
	sent := &statements{}
	cfg := w.pool.Config()
	cfg.ConnConfig.Tracer = sent
	r.pool, err = pgxpool.NewWithConfig(t.Context(), cfg)
	w.ok(err)
	t.Cleanup(r.pool.Close)
	_, _, err = r.Peek(t.Context(), since, 1, func(ctx context.Context, c *pgx.Conn, _ *Page) error {
		var scans string
		w.ok(c.QueryRow(ctx, `select current_setting('enable_seqscan') || current_setting('enable_bitmapscan') || current_setting('jit')`).Scan(&scans))
		if scans != "onon"+"off" {
			t.Errorf("projections are read with %s", scans)
		}
		return nil
	})
	w.ok(err)
	forbidden, queries := false, 0
	for _, sql := range *sent {
		switch {
		case strings.Contains(sql, "enable_seqscan ="):
			forbidden = strings.HasSuffix(sql, "off")
		case strings.Contains(sql, "select"):
			if queries++; forbidden != (sql == peekSQL) {
				t.Errorf("forbidden %v: %s", forbidden, sql)
			}
		}
	}
	if queries < 3 {
		t.Errorf("%d queries", queries)
	}
}

// statements are those of batches and queries, in their order.
type statements []string

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	*s = append(*s, d.SQL)
	return ctx
}

func (*statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (s *statements) TraceBatchStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	for _, q := range d.Batch.QueuedQueries {
		*s = append(*s, q.SQL)
	}
	return ctx
}

func (*statements) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

func (*statements) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}
