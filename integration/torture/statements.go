package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/outbox"
)

// statement is one form in which rows are written.
type statement struct {
	name   string
	weight int
	since  int // the first major version of PostgreSQL that has it
	run    func(ctx context.Context, tx pgx.Tx, r *rand.Rand) error
}

// spread is how many ids of a table the writers use.
const spread = 2000

func id(r *rand.Rand) int { return r.IntN(spread) }

// word is a value; one in sixty is refused by stores.
func word(r *rand.Rand) string {
	if r.IntN(60) == 0 {
		return "poison"
	}
	return fmt.Sprintf("w%d", r.IntN(50))
}

// plain is a statement of constant text.
func plain(name string, weight int, sql string, args func(r *rand.Rand) []any) statement {
	return statement{name: name, weight: weight, run: func(ctx context.Context, tx pgx.Tx, r *rand.Rand) error {
		_, err := tx.Exec(ctx, sql, args(r)...)
		return err
	}}
}

// span is a range of ids, at most wide, and then more arguments.
func span(wide int, more ...func(r *rand.Rand) any) func(r *rand.Rand) []any {
	return func(r *rand.Rand) []any {
		lo := id(r)
		args := []any{lo, lo + r.IntN(wide)}
		for _, m := range more {
			args = append(args, m(r))
		}
		return args
	}
}

func anyWord(r *rand.Rand) any  { return word(r) }
func anyDigit(r *rand.Rand) any { return r.IntN(9) }
func anyThird(r *rand.Rand) any { return r.IntN(3) }

// statements are all forms.
func statements() []statement {
	list := append(tableStatements(), partitionStatements()...)
	return append(append(list, otherStatements()...), saidStatements()...)
}

func tableStatements() []statement {
	merge := plain("merge", 3, `merge into app.t using (select g as id, $3::int as a, $4::text as b from generate_series($1::int, $2) g) s on t.id = s.id
  when matched and t.a > 5 then delete when matched then update set a = s.a, b = s.b when not matched then insert values (s.id, s.a, s.b, null)`,
		span(20, anyDigit, anyWord))
	merge.since = 15
	return []statement{
		plain("insert", 3, `insert into app.t values ($1::int, $2::int % 9, $3, null) on conflict do nothing`, span(9, anyWord)),
		plain("insert parents", 3, `insert into app.p select g % 200, 0 from generate_series($1::int, $2) g on conflict do nothing`, span(4)),
		plain("upsert", 4, `insert into app.t select g, $3, $4, (select id from app.p order by id % $1::int limit 1) from generate_series($1::int + 1, $2) g
  on conflict (id) do update set a = excluded.a, b = excluded.b`, span(30, anyDigit, anyWord)),
		plain("update", 4, `update app.t set a = a + 1 where id between $1 and $2`, span(200)),
		plain("update to the same", 2, `update app.t set a = a where id between $1 and $2`, span(100)),
		plain("update a parent", 3, `update app.p set v = v + 1 where id between $1::int % 200 and $2::int % 200`, span(5)),
		plain("update a key", 3, `update app.t set id = id + 10000 * (1 - 2 * (id / 10000)) where id in ($1, $1::bigint + 10000) and $2::int > 0`, span(2)),
		plain("update a parent's key", 2, `update app.p set id = id + 500 * (1 - 2 * (id / 500)) where id in ($1::int % 200, $1::int % 200 + 500) and $2::int > 0`, span(2)),
		plain("update composite keys", 3, `update app.ck set b = b + 1000 * (1 - 2 * (b / 1000)) where b in ($1::int % 50, $1::int % 50 + 1000) and $2::int > 0`, span(2)),
		plain("delete", 3, `delete from app.t where id between $1 and $2`, span(20)),
		plain("delete a parent", 1, `delete from app.p where id between $1::int % 200 and $2::int % 200`, span(2)),
		merge,
		plain("function", 2, `select app.bump($1::int, $2::int, $3::int)`, span(40, anyThird)),
		plain("writable ctes", 2, `with d as (delete from app.t where id between $1 and $2 returning id, a, b),
  i as (insert into app.t select id + 20000, a, b, null from d on conflict do nothing returning id)
  update app.ck set j = '{"cte": 1}' where b = $1::int % 50`, span(4)),
	}
}

func partitionStatements() []statement {
	return []statement{
		plain("insert into partitions", 2, `insert into app.pt select g, g % 2, $3 from generate_series($1::int, $2) g on conflict do nothing`, span(5, anyWord)),
		plain("move between partitions", 2, `update app.pt set region = 1 - region, v = $3 where id between $1 and $2`, span(3, anyWord)),
		plain("update a leaf", 2, `update app.pt0 set v = $3 where id between $1 and $2`, span(6, anyWord)),
		plain("insert into a leaf", 1, `insert into app.pt1 select g, 1, $3 from generate_series($1::int, $2) g on conflict do nothing`, span(3, anyWord)),
		plain("delete from partitions", 2, `delete from app.pt where id between $1 and $2`, span(4)),
	}
}

func otherStatements() []statement {
	return []statement{
		{name: "copy", weight: 3, run: copyRows},
		plain("update json", 2, `update app.ck set j = json_build_object('x', $2::int % 3) where b = $1::int % 50`, span(3)),
		plain("per row", 3, `insert into app.r select 'r' || g, $3 from generate_series($1::int, $2) g on conflict (id) do update set x = excluded.x`, span(10, anyWord)),
		plain("per row key", 1, `update app.r set id = id || 'x' where id = 'r' || $1::int and $2::int > 0`, span(2)),
		plain("per row delete", 1, `delete from app.r where id in ('r' || $1::int, 'r' || $2::int, 'r' || $1::int || 'x')`, span(10)),
		plain("unwatched", 1, `insert into app.unwatched (x) select $1 from generate_series(1, 5)`, func(r *rand.Rand) []any { return []any{word(r)} }),
		{name: "truncate", weight: 1, run: seldom(4, `truncate app.pt`, `truncate app.pt0`, `truncate app.r`)},
		{name: "rewrite", weight: 1, run: seldom(2, rewrites...)},
	}
}

// rewrites give a table new storage: who looks at the old with an older snapshot sees it empty. The open transaction
// holds the other tables.
var rewrites = []string{
	`alter table app.p alter column v type int using v + 0`,
	`alter table app.pt alter column v type text using v || ''`,
	`alter table app.r alter column x type text using x || ''`,
}

func seldom(one int, list ...string) func(context.Context, pgx.Tx, *rand.Rand) error {
	return func(ctx context.Context, tx pgx.Tx, r *rand.Rand) error {
		sql := list[r.IntN(len(list))]
		if r.IntN(one) != 0 {
			sql = `update app.p set v = v + 1 where id % 50 = 7`
		}
		_, err := tx.Exec(ctx, sql)
		return err
	}
}

func copyRows(ctx context.Context, tx pgx.Tx, r *rand.Rand) error {
	var rows [][]any
	for i, base := 0, r.IntN(50); i < r.IntN(20)+1; i++ {
		rows = append(rows, []any{word(r), (base + i) % 50, fmt.Appendf(nil, `{"x": %d}`, r.IntN(5))})
	}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"app", "ck"}, []string{"a", "b", "j"}, pgx.CopyFromRows(rows))
	return err
}

// saidStatements are the ways to say in Go what changed.
func saidStatements() []statement {
	return []statement{
		{name: "put", weight: 4, run: func(ctx context.Context, tx pgx.Tx, r *rand.Rand) error {
			var records []outbox.Record
			for i, base := 0, id(r); i <= r.IntN(5); i++ {
				records = append(records, note(r, fmt.Sprintf("n%d", base+i)))
			}
			return outbox.Put(ctx, tx, records...)
		}},
		{name: "delete records", weight: 1, run: func(ctx context.Context, tx pgx.Tx, r *rand.Rand) error {
			return outbox.Delete(ctx, tx, "note", fmt.Sprintf("n%d", id(r)), fmt.Sprintf("n%d", id(r)))
		}},
		{name: "changed", weight: 3, run: func(ctx context.Context, tx pgx.Tx, r *rand.Rand) error {
			keys := []string{fmt.Sprintf("u%d", id(r)/4), fmt.Sprintf("u%d", id(r)/4)}
			sql := `insert into app.u select k, $2 from unnest($1::text[]) k on conflict (id) do update set x = excluded.x`
			if r.IntN(3) == 0 {
				sql = `delete from app.u where id = any($1::text[]) and $2::int is not null`
			}
			if keys[0] == keys[1] {
				keys = keys[:1]
			}
			if _, err := tx.Exec(ctx, sql, keys, r.IntN(100)); err != nil {
				return err
			}
			return outbox.Changed(ctx, tx, "u", keys...)
		}},
	}
}

// note is a record, one in forty with a vector that the remote store refuses.
func note(r *rand.Rand, key string) outbox.Record {
	n := outbox.Record{Kind: "note", Key: key, Body: map[string]any{"text": word(r), "more": strings.Repeat("x", r.IntN(200))}}
	for range dimensions {
		n.Embedding = append(n.Embedding, float32(r.IntN(100))/8)
	}
	if r.IntN(40) == 0 {
		n.Embedding = n.Embedding[:dimensions-1]
	}
	return n
}
