package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrLost says that the lane belongs to somebody else now, or that the database crashed, was restored or was
// promoted since the tenure began. Whatever the reader remembers of the position is void: it must stop writing
// and take the lane again.
var ErrLost = errors.New("the lane is not held any more")

// ErrAsked says that a page could not be read, maybe because of its questions.
var ErrAsked = errors.New("PostgreSQL failed at the log or at a question")

// Reader reads the log and the state of keys for one tenure of a lane.
type Reader struct {
	pool    *pgxpool.Pool
	t       *Tenure
	reading []string // begins a transaction that reads
	logging []string // begins one that puts keys into the log as well
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
// between the snapshot and the table's lock would make every row look deleted. settled belongs to it, and comes next.
func opening(mode string, sources []string) []string {
	list := []string{"begin " + mode, "set local lock_timeout = '2s'"}
	if len(sources) > 0 {
		list = append(list, "lock table "+strings.Join(sources, ", ")+" in access share mode")
	}
	return list
}

// settled are settings of a transaction, made in a statement that takes a snapshot anyway. They fix the text of values,
// and make row security an error instead of missing rows.
const settled = `set_config('row_security', 'off', true) || set_config('jit', 'off', true) ||
  set_config('timezone', 'UTC', true) || set_config('datestyle', 'ISO, YMD', true) || set_config('intervalstyle', 'iso_8601', true) ||
  set_config('bytea_output', 'hex', true) || set_config('extra_float_digits', '1', true) || set_config('lc_monetary', 'C', true) ||
  set_config('xmlbinary', 'base64', true)`

// laneSQL looks at the lane. What is written to the log ahead up to the second column covers all that the snapshot
// sees; the third says whether that is on disk already, as it mostly is.
const laneSQL = `select pg_current_snapshot()::text, pg_current_wal_insert_lsn()::text, pg_current_wal_insert_lsn() <= pg_current_wal_flush_lsn(),
  coalesce((select l.epoch = $3 from outbox.lanes l where l.backend = $1 and l.lane = $2), false)
  and coalesce((` + markSQL + `) = $4, false)`

// lane is what laneSQL answers.
type lane struct {
	now     string // the snapshot
	lsn     string
	durable bool
	held    bool
}

func (l *lane) scan(row pgx.Row, more ...any) error {
	return row.Scan(append([]any{&l.now, &l.lsn, &l.durable, &l.held}, more...)...)
}

// pageSQL reads rows of the log, in the order of the log.
const (
	pageSQL = `select ` + rowSQL + lateSQL + `, false` + deltaSQL
	rowSQL  = `tx::text, id, kind, keys, coalesce(headers->>'all', '') = 'true', backend is not null,
       coalesce(cause_from::text, ''), coalesce(cause_to::text, ''), at,
       coalesce(headers->>'traceparent', ''), coalesce(headers->>'tracestate', ''),
       ` + revertibleSQL
	deltaSQL = `
  from outbox.delta($1::pg_snapshot, $2::pg_snapshot, $3::xid8, $4, $5, $6) l`
)

// Page reads the next rows of the log behind pos, at most limit of them, and calls state with what they concern
// and a connection in the same read transaction. state is not called for an empty page. A page with fewer rows
// than the limit ends at its target.
//
// It fails with ErrLost when the lane is not the tenure's own in the transaction's snapshot. When it returns
// without error, every transaction whose state was read is durable; when the page says that it is Durable, they are
// already when state is called.
//
// The questions are asked in the round trip that reads the log, and answered before state is called, as far as the page
// is short. Where PostgreSQL fails at the log or at one of them, Page fails with ErrAsked: the caller forgets the answers,
// which are of a snapshot that is over, and calls again without questions.
func (r *Reader) Page(ctx context.Context, pos Position, limit int, questions []Question, state func(context.Context, *pgx.Conn, *Page) error) (*Page, error) {
	var page *Page
	err := onConn(ctx, r.pool, func(conn *pgx.Conn) (lsn string, err error) {
		l, rows, err := r.rows(ctx, conn, pos, limit, questions)
		if _, failed := errors.AsType[*pgconn.PgError](err); failed && len(questions) > 0 {
			err = fmt.Errorf("%w: %w", ErrAsked, err)
		}
		if err != nil {
			return "", err
		}
		target := pos.Wants()
		if target.Zero() {
			if target, err = ParseSnapshot(l.now); err != nil {
				return "", err
			}
		}
		page = Collect(pos, target, r.t.Range, rows, limit)
		if page.Durable = l.durable; page.Empty() {
			return "", nil
		}
		return l.waits(), state(ctx, conn, page)
	})
	return page, err
}

// waits is how far the log ahead has to be on disk yet; empty: it is.
func (l *lane) waits() string {
	if l.durable {
		return ""
	}
	return l.lsn
}

// State calls fn with a connection in a read transaction of its own, which sees everything that the pages read
// so far saw. It makes the same checks as Page.
func (r *Reader) State(ctx context.Context, fn func(context.Context, *pgx.Conn) error) error {
	return r.checked(ctx, r.reading, fn)
}

// Log is State in a transaction that may put keys into the log, by Relog: all that fn puts there is in the log when
// Log returns without error, and none of it otherwise. Each query sees what is committed when it begins.
func (r *Reader) Log(ctx context.Context, fn func(context.Context, *pgx.Conn) error) error {
	return r.checked(ctx, r.logging, fn)
}

// checked runs fn in a transaction that begins with a check of the lane.
func (r *Reader) checked(ctx context.Context, opening []string, fn func(context.Context, *pgx.Conn) error) error {
	return onConn(ctx, r.pool, func(conn *pgx.Conn) (lsn string, err error) {
		var b pgx.Batch
		begin(&b, opening)
		l, err := r.look(conn.SendBatch(ctx, r.queue(&b)), len(opening), nil)
		if err != nil {
			return "", err
		}
		return l.waits(), fn(ctx, conn)
	})
}

// begin begins a transaction in a batch.
func begin(b *pgx.Batch, opening []string) {
	for _, statement := range opening {
		b.Queue(statement)
	}
}

// queue adds laneSQL, with the settings, to a batch.
func (r *Reader) queue(b *pgx.Batch) *pgx.Batch {
	b.Queue(laneSQL+", "+settled, r.t.Backend, r.t.Lane, r.t.Epoch, r.t.mark)
	return b
}

// look reads the answers to a batch that has begun a transaction with so many statements and looked at the lane; then
// lets more read the rest.
func (r *Reader) look(answers pgx.BatchResults, statements int, more func(pgx.BatchResults) error) (l lane, err error) {
	defer func() {
		if cerr := answers.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("reading the log: %w", cerr)
		}
	}()
	for range statements {
		if _, err := answers.Exec(); err != nil {
			return l, fmt.Errorf("opening a read transaction: %w", err)
		}
	}
	var settings string
	if err := l.scan(answers.QueryRow(), &settings); err != nil {
		return l, fmt.Errorf("checking the lane: %w", err)
	}
	if !l.held {
		return l, ErrLost
	}
	if more == nil {
		return l, nil
	}
	return l, more(answers)
}

// ReadTx runs fn with a connection in a read transaction as pages are read in, without a lane: the sources are held,
// everything is seen as of one snapshot, and values have the same text. What fn sees may not be durable yet.
func ReadTx(ctx context.Context, pool *pgxpool.Pool, sources []string, fn func(*pgx.Conn) error) error {
	return onConn(ctx, pool, func(c *pgx.Conn) (lsn string, err error) {
		var b pgx.Batch
		begin(&b, append(opening(reads, sources), "select "+settled))
		if err := c.SendBatch(ctx, &b).Close(); err != nil {
			return "", fmt.Errorf("opening a read transaction: %w", err)
		}
		return "", fn(c)
	})
}

// onConn runs fn with a connection on which it begins a transaction, and ends that. fn answers the end of the write-ahead
// log at its snapshot, or nothing if that is on disk or what it read does not leave the database.
func onConn(ctx context.Context, pool *pgxpool.Pool, fn func(*pgx.Conn) (lsn string, err error)) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connecting to read the log: %w", err)
	}
	defer conn.Release()
	c := conn.Conn()
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

// rows begins a transaction, checks the lane, reads the log and asks the questions, in one round trip.
func (r *Reader) rows(ctx context.Context, conn *pgx.Conn, pos Position, limit int, questions []Question) (l lane, rows []Row, err error) {
	var b pgx.Batch
	begin(&b, r.reading)
	args := pageArgs(pos, limit, r.t.Backend)
	if len(questions) == 0 {
		r.queue(&b).Queue(pageSQL, args...)
	} else {
		r.queue(&b).Queue(askingSQL, append(args, asking(questions)...)...)
	}
	for _, q := range questions {
		b.Queue(q.SQL)
	}
	l, err = r.look(conn.SendBatch(ctx, &b), len(r.reading), func(answers pgx.BatchResults) error {
		if err := into(&rows)(answers); err != nil {
			return err
		}
		return answer(answers, questions, rows)
	})
	return l, rows, err
}

// into reads rows of the log.
func into(rows *[]Row) func(pgx.BatchResults) error {
	return func(answers pgx.BatchResults) error {
		found, err := answers.Query()
		if err == nil {
			*rows, err = pgx.CollectRows(found, scanRow)
		}
		if err != nil {
			return fmt.Errorf("reading the log: %w", err)
		}
		return nil
	}
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
	var said []string
	if err := row.Scan(&tx, &r.ID, &r.Kind, &r.Keys, &r.All, &r.Only, &from, &to, &r.At, &r.Trace.Parent, &r.Trace.State, &said, &r.asked); err != nil {
		return r, err
	}
	if err := r.says(said); err != nil {
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
