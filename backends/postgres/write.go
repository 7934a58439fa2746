package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/outflow-db/outflow/backends"
)

// Write is one statement. Records that cannot be stored because of their vector are answered Failed; when
// the server refuses the statement for a record's sake, nothing was applied and the error is of class
// Rejected: see backends.WriteBisected.
func (b *backend) Write(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Result, error) {
	m, err := b.model(t)
	if err != nil {
		return nil, err
	}
	results := make([]backends.Result, len(records))
	batch := newBatch(m, len(records))
	for _, i := range byKey(records) {
		if err := batch.add(records[i]); err != nil {
			results[i] = backends.Result{Outcome: backends.Failed, Err: b.refuse(t, records[i], err)}
			continue
		}
		batch.places = append(batch.places, i)
	}
	if len(batch.places) == 0 {
		return results, nil
	}
	err = b.asked(ctx, "write", func(ctx context.Context) error { return b.send(ctx, batch, records, results) })
	if err != nil {
		return nil, b.classifyFor("write", t, err)
	}
	b.prune(ctx, m)
	return results, nil
}

// byKey is the order of the keys, in which rows are locked.
func byKey(records []backends.Record) []int {
	order := make([]int, len(records))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return strings.Compare(records[i].Key, records[j].Key) })
	return order
}

func (b *backend) refuse(t backends.Target, r backends.Record, err error) *backends.Error {
	e := b.failFor("write", t, backends.Rejected, err)
	e.Key = r.Key
	e.Advice = "mend the vector in the row or the projection: the record is written again with its next change, or by a retry"
	return e
}

// send writes the batch and finds out, if need be, which records were stale.
func (b *backend) send(ctx context.Context, batch *batch, records []backends.Record, results []backends.Result) error {
	conn, err := b.pool.Acquire(ctx)
	if err != nil {
		return b.notSent(err)
	}
	defer conn.Release()
	wire := conn.Conn().PgConn()
	values, oids, formats := batch.parameters()
	tag, err := wire.ExecParams(ctx, batch.model.statement(), values, oids, formats, nil).Close()
	if err != nil {
		return err
	}
	if int(tag.RowsAffected()) == len(batch.places) {
		return nil
	}
	return b.stale(ctx, wire, batch, records, results)
}

// notSent is the class of what failed before there was a connection.
func (b *backend) notSent(err error) error {
	if class := classOf(err); class != backends.Unknown {
		return b.classify("connect", err)
	}
	return b.fail("connect", backends.Transient, err)
}

// stale asks for the versions of records that were refused because of them.
func (b *backend) stale(ctx context.Context, wire *pgconn.PgConn, batch *batch, records []backends.Record, results []backends.Result) error {
	keys := newArray(oidText, 0)
	at := map[string]int{}
	for _, i := range batch.places {
		keys.text(records[i].Key)
		at[records[i].Key] = i
	}
	read := wire.ExecParams(ctx, "select key, version::text from "+batch.model.table+" where key = any($1)",
		[][]byte{keys.encode()}, []uint32{oidTexts}, []int16{1}, nil).Read()
	for _, row := range read.Rows {
		var stored int64
		if _, err := fmt.Sscan(string(row[1]), &stored); err != nil {
			return fmt.Errorf("reading versions: %w", err)
		}
		if i := at[string(row[0])]; stored > records[i].Version {
			results[i] = backends.Result{Outcome: backends.Stale, Stored: stored}
		}
	}
	return read.Err
}
