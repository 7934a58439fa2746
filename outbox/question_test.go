package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"
)

// asked is what a question was answered with.
type asked struct {
	times       int
	keys, found []string
}

// asks is a question for the keys themselves.
func (a *asked) asks(tb testing.TB, kind string, number int) Question {
	tb.Helper()
	return Question{Kind: kind, Number: number, SQL: "select distinct k from unnest(" + AskedKeys(number) + ") k", Answer: func(rows pgx.Rows, keys []string) {
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			tb.Error(err)
		}
		slices.Sort(found)
		a.times, a.keys, a.found = a.times+1, keys, found
	}}
}

// ask reads a page with questions.
func (w world) ask(r *Reader, pos Position, questions ...Question) *Page {
	w.Helper()
	calls := 0
	p, err := r.Page(w.Context(), pos, 1000, questions, func(context.Context, *pgx.Conn, *Page) error { calls++; return nil })
	w.ok(err)
	if want := min(len(p.Keys)+len(p.All), 1); calls != want {
		w.Errorf("the page was passed on %d times, want %d", calls, want)
	}
	return p
}

// A question is asked for the keys that the page has of its kind, whatever they look like: all of them, or it is not
// answered.
func TestQuestionsAreAskedForThePagesKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b", "other")
	tenure := w.take("b", "p")
	r, pos := NewReader(w.pool, tenure, nil), tenure.Start
	key := rapid.OneOf(rapid.SampledFrom([]string{"1", "2", "3", "NULL", "{", "}", ",", `"`, `\`, `'`, "$1", " ", "a b", "\t\n", `{"a",b}`, "é", "日本", "{}", `\\"`}), rapid.StringMatching(`[^\x00]{1,30}`))
	rapid.Check(t, func(t *rapid.T) {
		want, long := map[string][]string{}, map[string]bool{}
		for range rapid.IntRange(0, 8).Draw(t, "rows") {
			kind := rapid.SampledFrom([]string{"k", "l", "m"}).Draw(t, "kind")
			keys := rapid.SliceOfN(key, 1, 3).Draw(t, "keys")
			if rapid.IntRange(0, 9).Draw(t, "long") == 0 {
				for i := range rapid.SampledFrom([]int{64, 65}).Draw(t, "n") - len(keys) {
					keys = append(keys, fmt.Sprint("long", i))
				}
			}
			all, backend := rapid.IntRange(0, 9).Draw(t, "all") == 0, rapid.SampledFrom([]string{"", "", "b", "other"}).Draw(t, "backend")
			_, err := w.pool.Exec(w.Context(), `insert into outbox.log (kind, keys, headers, backend) values ($1, $2, case when $3 then '{"all": true}'::jsonb end, nullif($4, ''))`, kind, keys, all, backend)
			if err != nil {
				t.Fatal(err)
			}
			if backend != "other" {
				want[kind] = append(want[kind], keys...)
				long[kind] = long[kind] || len(keys) > 64 || len(want[kind]) > 64+64
			}
		}
		var k, l asked
		p := w.ask(r, pos, k.asks(w, "k", 0), l.asks(w, "l", 7))
		pos = p.Next
		for kind, a := range map[string]asked{"k": k, "l": l} {
			keys := slices.Clone(want[kind])
			slices.Sort(keys)
			keys = slices.Compact(keys)
			switch {
			case a.times == 1 && slices.Equal(a.keys, keys) && slices.Equal(a.found, keys):
			case a.times == 0 && (len(keys) == 0 || long[kind]):
			default:
				t.Fatalf("kind %s was answered %d times with %q, keys %q, want %q", kind, a.times, a.found, a.keys, keys)
			}
		}
	})
}

// Of a page that turns out to be long nothing is answered, and it is read all the same.
func TestQuestionsOfLongPagesAreNotAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	tenure := w.take("b", "p")
	r := NewReader(w.pool, tenure, nil)
	for name, write := range map[string]func() int{
		"many keys": func() int {
			w.exec(`insert into outbox.log (kind, keys) select 'k', array_agg(i::text) from generate_series(1, 65) i`)
			return 65
		},
		"many rows": func() int {
			w.exec(`insert into outbox.log (kind, keys) select 'k', array['a long key with a number, ' || i] from generate_series(1, 2000) i`)
			return 2000
		},
		"long texts": func() int { w.writes(strings.Repeat("x", 5000)); w.writes("y"); return 2 },
	} {
		pos, err := Now(t.Context(), w.pool)
		w.ok(err)
		n := write()
		var a asked
		p, err := r.Page(t.Context(), Position{At: pos}, 5000, []Question{a.asks(t, "k", 0)}, func(context.Context, *pgx.Conn, *Page) error { return nil })
		w.ok(err)
		if a.times != 0 || p.Count() != n {
			t.Errorf("%s: answered %d times, a page of %d keys, want %d", name, a.times, p.Count(), n)
		}
	}
}

// A question at which PostgreSQL fails spoils no page: the caller is told, and reads it without.
func TestQuestionsThatFailAreLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	tenure := w.take("b", "p")
	r := NewReader(w.pool, tenure, nil)
	w.writes("a")
	for _, sql := range []string{"select 1/cardinality(" + AskedKeys(1) + "[2:])", "select no_such_column", "select from", "select unnest(" + AskedKeys(0) + ")::int"} {
		var a asked
		failing := Question{Kind: "k", Number: 1, SQL: sql, Answer: func(rows pgx.Rows, _ []string) { rows.Close() }}
		if _, err := r.Page(t.Context(), tenure.Start, 10, []Question{a.asks(t, "k", 0), failing}, nil); !errors.Is(err, ErrAsked) {
			t.Errorf("%s: got %v", sql, err)
		}
		if p := w.ask(r, tenure.Start); cmp.Diff(map[string][]string{"k": {"a"}}, p.Keys) != "" {
			t.Errorf("%s: a page of %v", sql, p.Keys)
		}
	}
	w.expire("b")
	w.take("b", "q")
	var a asked
	if _, err := r.Page(t.Context(), tenure.Start, 10, []Question{a.asks(t, "k", 0)}, nil); err == nil || a.times > 0 {
		t.Errorf("a lane that was lost: answered %d times, %v", a.times, err)
	}
}
