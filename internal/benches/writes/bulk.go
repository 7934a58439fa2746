package writes

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/internal/benches/lab"
)

// batch is how many rows a COPY has.
const batch = 5000

// bulk copies light rows into every contender's table.
func bulk(ctx context.Context, l *lab.Lab, pool *pgxpool.Pool) ([]lab.Row, error) {
	wall, processor := results{}, results{}
	n := l.Size(100_000, batch)
	rounds := l.Size(5, 1)
	for round := range rounds {
		for i := range contenders {
			c := contenders[(i+round)%len(contenders)]
			if err := begin(ctx, l, pool); err != nil {
				return nil, err
			}
			w, p, err := load(ctx, pool, c, n)
			if err != nil {
				return nil, err
			}
			wall.add(c.name, w.Seconds())
			processor.add(c.name, p.Seconds())
		}
		l.Say("writes: round %d of %d, COPY", round+1, rounds)
	}
	size := fmt.Sprintf("%d light rows", n)
	rows := []lab.Row{lab.Fact("writes: COPY, unwatched", lab.Median(wall[unwatched]), "s").With(size)}
	for _, c := range contenders[1:] {
		w, p := wall.against(c.name, unwatched), processor.against(c.name, unwatched)
		name := "writes: COPY, " + c.name + ", against unwatched"
		if c.name == watched {
			rows = append(rows, lab.AtMost(name, lab.Median(w), "x", 1.25).With(lab.Rounds(w)),
				lab.AtMost(name+", CPU of PostgreSQL", lab.Median(p), "x", 1.4).With(lab.Rounds(p)))
			continue
		}
		rows = append(rows, lab.Fact(name, lab.Median(w), "x"), lab.Fact(name+", CPU of PostgreSQL", lab.Median(p), "x"))
	}
	return rows, nil
}

// load copies n rows on one connection, and answers how long it took and what its backend used.
func load(ctx context.Context, pool *pgxpool.Pool, c contender, n int) (wall, processor time.Duration, err error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("connecting: %w", err)
	}
	defer conn.Release()
	pid := conn.Conn().PgConn().PID()
	before, err := cpu(pid)
	if err != nil {
		return 0, 0, err
	}
	begun := time.Now()
	for from := 0; from < n; from += batch {
		source := pgx.CopyFromSlice(batch, func(i int) ([]any, error) { return row(int64(from + i)), nil })
		if _, err := conn.CopyFrom(ctx, pgx.Identifier{"bench", c.table}, columns, source); err != nil {
			return 0, 0, fmt.Errorf("copying into the table of %s: %w", c.name, err)
		}
	}
	wall = time.Since(begun)
	after, err := cpu(pid)
	return wall, after - before, err
}
