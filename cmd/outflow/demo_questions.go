package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
)

// The questions, in SQL over the read model alone. $1 is what is asked about.
const (
	textSQL = `
select body->>'qualified' as symbol, body->>'kind' as kind, body->>'signature' as signature
  from readmodel.search('symbols', $1, 5)`

	nearSQL = `
select o.body->>'qualified' as symbol, o.body->>'kind' as kind, round(n.similarity::numeric, 2)::text as similarity
  from (select key from readmodel.symbols where body->>'qualified' = $1 limit 1) s
  join readmodel.embeddings e on e.key = jsonb_build_array(s.key, 'hash-256')::text
  join lateral readmodel.nearest('embeddings', e.vector, 6) n on n.key <> e.key
  join readmodel.symbols o on o.key = n.body->>'symbol'
 order by n.similarity desc, 1 limit 5`

	graphSQL = `
select c.body->>'qualified' as caller, t.depth::text as steps, c.body->>'path' as file
  from (select key from readmodel.symbols where body->>'qualified' = $1 limit 1) s
  join readmodel.traverse('relations', s.key, 3, 'in', '{calls}', 200) t on true
  join readmodel.symbols c on c.key = t.key
 order by t.depth, c.body->>'path' like '%\_test.go', 1 limit 5`

	// The symbol that the last two are asked about: a well-known one, else the one that is called most.
	symbolSQL = `
select body->>'qualified' from readmodel.symbols where body->>'qualified' = 'bufio.NewReader'
union all
(select s.body->>'qualified' from readmodel.relations r join readmodel.symbols s on s.key = r.body->>'target'
  where r.body->>'type' = 'calls' group by 1 order by count(*) desc, 1 limit 1)
limit 1`
)

// question is one that the demo asks the read model.
type question struct{ title, sql, about string }

// questions asks a text search, a nearest neighbour and a graph traversal, and shows the answers.
func (d *demo) questions(ctx context.Context) error {
	var symbol string
	if err := d.pool.QueryRow(ctx, symbolSQL).Scan(&symbol); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("choosing a symbol: %w", err)
	}
	for _, q := range []question{
		{"text search: buffered reader -test", textSQL, "buffered reader -test"},
		{"nearest neighbours of " + symbol, nearSQL, symbol},
		{"graph: who calls " + symbol + ", in up to 3 steps", graphSQL, symbol},
	} {
		if err := d.ask(ctx, q); err != nil {
			return fmt.Errorf("%s: %w", q.title, err)
		}
	}
	return nil
}

// ask shows a question's answer as a table, and how long it took.
func (d *demo) ask(ctx context.Context, q question) error {
	started := time.Now()
	rows, err := d.pool.Query(ctx, q.sql, q.about)
	if err != nil {
		return err
	}
	lines, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		values, err := row.Values()
		columns := make([]string, len(values))
		for i, v := range values {
			columns[i] = oneLine(fmt.Sprint(v))
		}
		return strings.Join(columns, "\t"), err
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(d.a.out, "\n%s (%s)\n", q.title, span(time.Since(started)))
	if len(lines) == 0 {
		lines = []string{"nothing"}
	}
	w := tabwriter.NewWriter(d.a.out, 0, 0, 2, ' ', 0)
	for _, line := range lines {
		fmt.Fprintln(w, "  "+line)
	}
	return w.Flush()
}

// oneLine keeps a value within its column.
func oneLine(s string) string {
	const most = 60
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most-3]) + "..."
	}
	return s
}
