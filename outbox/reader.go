package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrLost says that the lane belongs to somebody else now, or that the database crashed, was restored or was
// promoted since the tenure began. Whatever the reader remembers of the position is void: it must stop writing
// and take the lane again.
var ErrLost = errors.New("the lane is not held any more")

// Reader reads the log and the state of keys for one tenure of a lane.
type Reader struct {
	pool    *pgxpool.Pool
	t       *Tenure
	reading string // opens a transaction that reads
	logging string // opens one that puts keys into the log as well
}

// NewReader makes a reader for the tenure. The sources are the tables that the projections read, quoted and with
// their schema: they are held against rewriting DDL while a page is read.
func NewReader(pool *pgxpool.Pool, t *Tenure, sources []string) *Reader {
	return &Reader{pool: pool, t: t, reading: opening(reads, sources), logging: opening(logs, sources)}
}

// Modes of transactions. What only logs need not see one moment of all tables; and where each statement takes a
// snapshot after it has locked its tables, no ALTER TABLE can make one look empty that is not among the sources.
const (
	reads = "isolation level repeatable read, read only"
	logs  = "isolation level read committed, read write"
)

// opening begins a transaction. Nothing in it may take a snapshot: an ALTER TABLE that rewrites a table
// between the snapshot and the table's lock would make every row look deleted. The settings fix the text of
// values, and make row security an error instead of missing rows.
func opening(mode string, sources []string) string {
	sql := "begin " + mode + `;
set local lock_timeout = '2s'; set local row_security = off; set local jit = off;
set local timezone = 'UTC'; set local datestyle = 'ISO, YMD'; set local intervalstyle = 'iso_8601';
set local bytea_output = 'hex'; set local extra_float_digits = 1; set local lc_monetary = 'C'; set local xmlbinary = 'base64'`
	if len(sources) > 0 {
		sql += "; lock table " + strings.Join(sources, ", ") + " in access share mode"
	}
	return sql
}

const laneSQL = `select pg_current_snapshot()::text, pg_current_wal_insert_lsn()::text,
  coalesce((select l.epoch = $3 from outbox.lanes l where l.backend = $1 and l.lane = $2), false)
  and coalesce((` + markSQL + `) = $4, false)`

const pageSQL = `
select tx::text, id, kind, keys, coalesce(headers->>'all', '') = 'true', backend is not null,
       coalesce(cause_from::text, ''), coalesce(cause_to::text, ''), at,
       coalesce(headers->>'traceparent', ''), coalesce(headers->>'tracestate', '')
  from outbox.delta($1::pg_snapshot, $2::pg_snapshot, $3::xid8, $4, $5, $6)`

// Page reads the next rows of the log behind pos, at most limit of them, and calls state with what they concern
// and a connection in the same read transaction. state is not called for an empty page. A page with fewer rows
// than the limit ends at its target.
//
// It fails with ErrLost when the lane is not the tenure's own in the transaction's snapshot. When it returns
// without error, every transaction whose state was read is durable.
func (r *Reader) Page(ctx context.Context, pos Position, limit int, state func(context.Context, *pgx.Conn, *Page) error) (*Page, error) {
	var page *Page
	err := readTx(ctx, r.pool, r.reading, func(conn *pgx.Conn) (string, error) {
		now, lsn, rows, err := r.rows(ctx, conn, pos, limit)
		if err != nil {
			return "", err
		}
		target := pos.Wants()
		if target.Zero() {
			target = now
		}
		page = Collect(pos, target, r.t.Range, rows, limit)
		if page.Empty() {
			return "", nil
		}
		return lsn, state(ctx, conn, page)
	})
	return page, err
}

// State calls fn with a connection in a read transaction of its own, which sees everything that the pages read
// so far saw. It makes the same checks as Page.
func (r *Reader) State(ctx context.Context, fn func(context.Context, *pgx.Conn) error) error {
	return readTx(ctx, r.pool, r.reading, r.checked(ctx, fn))
}

// Log is State in a transaction that may put keys into the log, by Relog: all that fn puts there is in the log when
// Log returns without error, and none of it otherwise. Each query sees what is committed when it begins.
func (r *Reader) Log(ctx context.Context, fn func(context.Context, *pgx.Conn) error) error {
	return readTx(ctx, r.pool, r.logging, r.checked(ctx, fn))
}

// checked is fn after a check of the lane.
func (r *Reader) checked(ctx context.Context, fn func(context.Context, *pgx.Conn) error) func(*pgx.Conn) (lsn string, err error) {
	return func(conn *pgx.Conn) (string, error) {
		var now, lsn string
		var held bool
		if err := conn.QueryRow(ctx, laneSQL, r.t.Backend, r.t.Lane, r.t.Epoch, r.t.mark).Scan(&now, &lsn, &held); err != nil {
			return "", fmt.Errorf("checking the lane: %w", err)
		}
		if !held {
			return "", ErrLost
		}
		return lsn, fn(ctx, conn)
	}
}

// ReadTx runs fn with a connection in a read transaction as pages are read in, without a lane: the sources are held,
// everything is seen as of one snapshot, and values have the same text. What fn sees may not be durable yet.
func ReadTx(ctx context.Context, pool *pgxpool.Pool, sources []string, fn func(*pgx.Conn) error) error {
	return readTx(ctx, pool, opening(reads, sources), func(c *pgx.Conn) (string, error) { return "", fn(c) })
}

// readTx runs fn in a transaction that opening begins. fn answers the end of the write-ahead log at its snapshot, or
// nothing if what it read does not leave the database.
func readTx(ctx context.Context, pool *pgxpool.Pool, opening string, fn func(*pgx.Conn) (lsn string, err error)) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connecting to read the log: %w", err)
	}
	defer conn.Release()
	c := conn.Conn()
	if _, err := c.Exec(ctx, opening, pgx.QueryExecModeSimpleProtocol); err != nil {
		rollback(ctx, c)
		return fmt.Errorf("opening a read transaction: %w", err)
	}
	lsn, err := fn(c)
	if err != nil {
		rollback(ctx, c)
		return err
	}
	durable := true
	if lsn != "" {
		if err := c.QueryRow(ctx, `select pg_current_wal_flush_lsn() >= $1::pg_lsn`, lsn).Scan(&durable); err != nil {
			rollback(ctx, c)
			return fmt.Errorf("checking durability: %w", err)
		}
	}
	if _, err := c.Exec(ctx, "commit"); err != nil {
		return fmt.Errorf("ending a read transaction: %w", err)
	}
	if durable {
		return nil
	}
	return flush(ctx, c)
}

// flush makes everything committed so far durable. Writers with synchronous_commit = off are visible before they
// are durable; without this a crash could leave a state in a store that never existed. A transaction must write
// something for its commit to be waited for, hence the message.
func flush(ctx context.Context, c *pgx.Conn) error {
	_, err := c.Exec(ctx, `begin; set local synchronous_commit = local;
select pg_logical_emit_message(true, 'outflow', 'flush'); commit`, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		rollback(ctx, c)
		return fmt.Errorf("making what was read durable: %w", err)
	}
	return nil
}

// rollback ends whatever transaction is open. The caller has the error that matters; a connection that cannot
// even roll back is closed, which the pool notices.
func rollback(ctx context.Context, c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := c.Exec(ctx, "rollback"); err != nil {
		_ = c.Close(ctx) // nothing more can be done with it
	}
}

// rows checks the lane and reads the log, in one round trip.
func (r *Reader) rows(ctx context.Context, conn *pgx.Conn, pos Position, limit int) (now Snapshot, lsn string, rows []Row, err error) {
	var b pgx.Batch
	b.Queue(laneSQL, r.t.Backend, r.t.Lane, r.t.Epoch, r.t.mark)
	b.Queue(pageSQL, pageArgs(pos, limit, r.t.Backend)...)
	answers := conn.SendBatch(ctx, &b)
	defer func() {
		if cerr := answers.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("reading the log: %w", cerr)
		}
	}()
	return r.answer(answers)
}

// answer reads what a batch answers that checks the lane and then reads rows.
func (r *Reader) answer(answers pgx.BatchResults) (now Snapshot, lsn string, rows []Row, err error) {
	var snap string
	var held bool
	if err := answers.QueryRow().Scan(&snap, &lsn, &held); err != nil {
		return now, "", nil, fmt.Errorf("checking the lane: %w", err)
	}
	if !held {
		return now, "", nil, ErrLost
	}
	if now, err = ParseSnapshot(snap); err != nil {
		return now, "", nil, err
	}
	found, err := answers.Query()
	if err != nil {
		return now, "", nil, fmt.Errorf("reading the log: %w", err)
	}
	rows, err = pgx.CollectRows(found, scanRow)
	if err != nil {
		return now, "", nil, fmt.Errorf("reading the log: %w", err)
	}
	return now, lsn, rows, nil
}

func pageArgs(pos Position, limit int, backend string) []any {
	var target *string
	if !pos.Target.Zero() {
		text := pos.Target.String()
		target = &text
	}
	return []any{pos.At.String(), target, fmt.Sprint(pos.After.Tx), pos.After.ID, limit, backend}
}

func scanRow(row pgx.CollectableRow) (Row, error) {
	var r Row
	var tx, from, to string
	if err := row.Scan(&tx, &r.ID, &r.Kind, &r.Keys, &r.All, &r.Only, &from, &to, &r.At, &r.Trace.Parent, &r.Trace.State); err != nil {
		return r, err
	}
	for _, x := range []struct {
		text string
		into *uint64
	}{{tx, &r.Tx}, {from, &r.Cause.From}, {to, &r.Cause.To}} {
		if x.text == "" {
			continue
		}
		var err error
		if *x.into, err = parseXid(x.text); err != nil {
			return r, err
		}
	}
	return r, nil
}
