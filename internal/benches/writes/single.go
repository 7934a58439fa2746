package writes

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/outflow-db/outflow/internal/benches/lab"
)

// clients write at the same time, one row in a transaction.
const clients = 8

// single inserts single rows into every contender's table, with commits that are durable or not at once.
func single(ctx context.Context, l *lab.Lab, pool *pgxpool.Pool, durable bool) ([]lab.Row, error) {
	conns, done, err := connect(ctx, pool, durable)
	if err != nil {
		return nil, err
	}
	defer done()
	mode := map[bool]string{true: "single rows", false: "single rows, synchronous_commit off"}[durable]
	rate, processor := results{}, results{}
	if err := begin(ctx, l, pool); err != nil {
		return nil, err
	}
	for _, c := range contenders { // every connection has its plans before it is measured
		if _, _, err := insert(ctx, conns, c, l.Span(200*time.Millisecond, 20*time.Millisecond)); err != nil {
			return nil, err
		}
	}
	rounds := l.Size(9, 1)
	for round := range rounds {
		if err := begin(ctx, l, pool); err != nil {
			return nil, err
		}
		for i := range contenders {
			c := contenders[(i+round)%len(contenders)]
			r, p, err := insert(ctx, conns, c, l.Span(600*time.Millisecond, 50*time.Millisecond))
			if err != nil {
				return nil, err
			}
			rate.add(c.name, r)
			processor.add(c.name, p)
		}
		l.Say("writes: round %d of %d, %s", round+1, rounds, mode)
	}
	return singleRows("writes: "+mode+", ", rate, processor), nil
}

func singleRows(prefix string, rate, processor results) []lab.Row {
	rows := []lab.Row{
		lab.Fact(prefix+unwatched, lab.Median(rate[unwatched]), "transactions/s").With(fmt.Sprintf("%d clients", clients)),
		lab.Fact(prefix+unwatched+", CPU of PostgreSQL", lab.Median(processor[unwatched]), "us/transaction"),
	}
	for _, c := range contenders[1:] {
		r, name := rate.against(c.name, unwatched), prefix+c.name
		if c.name == watched || c.name == perRow {
			beside := rate.against(c.name, payload)
			rows = append(rows, lab.AtLeast(name+", against unwatched", lab.Median(r), "x", 0.8).With(lab.Rounds(r)),
				lab.AtLeast(name+", against payload rows", lab.Median(beside), "x", 1).With(lab.Rounds(beside)))
		} else {
			rows = append(rows, lab.Fact(name+", against unwatched", lab.Median(r), "x").With(lab.Rounds(r)))
		}
		rows = append(rows, lab.Fact(name+", CPU of PostgreSQL", lab.Median(processor[c.name]), "us/transaction"))
	}
	return rows
}

// connect acquires the clients' connections. done gives them back.
func connect(ctx context.Context, pool *pgxpool.Pool, durable bool) (conns []*pgx.Conn, done func(), err error) {
	var held []*pgxpool.Conn
	done = func() {
		for _, c := range held {
			c.Release()
		}
	}
	mode := map[bool]string{true: "on", false: "off"}[durable]
	for range clients {
		c, err := pool.Acquire(ctx)
		if err != nil {
			done()
			return nil, nil, fmt.Errorf("connecting: %w", err)
		}
		held, conns = append(held, c), append(conns, c.Conn())
		if _, err := c.Exec(ctx, "set synchronous_commit = "+mode); err != nil {
			done()
			return nil, nil, fmt.Errorf("preparing a connection: %w", err)
		}
	}
	return conns, done, nil
}

// ids are those of inserted rows.
var ids atomic.Int64

// insert has all clients insert rows for a while, and answers the transactions in a second and the microseconds of
// processor time that the backends used for one.
func insert(ctx context.Context, conns []*pgx.Conn, c contender, span time.Duration) (rate, processor float64, err error) {
	before, err := used(conns)
	if err != nil {
		return 0, 0, err
	}
	sql := "insert into bench." + c.table + " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
	var count atomic.Int64
	begun := time.Now()
	var g errgroup.Group
	for _, conn := range conns {
		g.Go(func() error {
			values := row(0)
			for time.Since(begun) < span {
				values[0] = ids.Add(1)
				if _, err := conn.Exec(ctx, sql, values...); err != nil {
					return fmt.Errorf("inserting into the table of %s: %w", c.name, err)
				}
				count.Add(1)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, 0, err
	}
	took := time.Since(begun)
	after, err := used(conns)
	n := float64(count.Load())
	return n / took.Seconds(), float64((after - before).Microseconds()) / n, err
}

// used is the processor time that the connections' backends have used so far.
func used(conns []*pgx.Conn) (sum time.Duration, err error) {
	for _, c := range conns {
		t, err := cpu(c.PgConn().PID())
		if err != nil {
			return 0, err
		}
		sum += t
	}
	return sum, nil
}
