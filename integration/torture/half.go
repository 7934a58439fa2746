package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/outbox"
)

// half is what happens around a delta that is half read.
type half struct {
	t               *torture
	from            int // the first of its ids
	low, bulk, high pgx.Tx
	tokens          []string
	before          int64 // rows logged
}

// halfRead proves that transactions which commit while a delta is half read are delivered after it, once: one with a
// lower id than the delta's rows, and one with a higher. It is tried again when something else got in between.
func (t *torture) halfRead(ctx context.Context) error {
	const tries = 10
	for n := range tries {
		h := &half{t: t, from: halfFrom + n*10_000}
		clean, err := h.try(ctx)
		if err != nil {
			return fmt.Errorf("reading half a delta: %w", err)
		}
		low, high := t.store.written("t", fmt.Sprint(h.from)), t.store.written("t", fmt.Sprint(h.from+2))
		if low == 0 || high == 0 || clean && low+high != 2 {
			t.fail("while a delta was half read, a lower transaction was delivered %d times and a higher one %d times: want once", low, high)
			return nil
		}
		if clean {
			t.count("deltas left half read", 1)
			return nil
		}
	}
	t.fail("in %d tries no delta was read without something else in between", tries)
	return nil
}

// bulkRows is how many rows of the log the delta has: several pages.
const bulkRows = 1000

// try answers whether nothing but the transactions' rows was delivered.
func (h *half) try(ctx context.Context) (clean bool, err error) {
	t := h.t
	if err := h.warm(ctx); err != nil {
		return false, err
	}
	if err := h.begin(ctx); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, h.rollback(ctx)) }()
	t.store.shut()
	reached, err := h.commit(ctx)
	t.store.open()
	if err != nil {
		return false, err
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, token := range h.tokens {
		if err := outbox.Wait(wait, t.pool, token, loose); err != nil {
			return false, err
		}
	}
	if err := t.settle(ctx); err != nil {
		return false, err
	}
	rows, err := h.logged(ctx)
	return reached && rows == bulkRows+2, err
}

// begin writes three transactions and leaves them open: one row, many, one row. An id above theirs is over.
func (h *half) begin(ctx context.Context) (err error) {
	const insert = `insert into app.t values ($1, 0, 'half', null)`
	if h.before, err = h.logged(ctx); err != nil {
		return err
	}
	for i, tx := range []*pgx.Tx{&h.low, &h.bulk, &h.high} {
		if *tx, err = h.t.pool.Begin(ctx); err != nil {
			return err
		}
		var rows pgx.Batch
		first, n := h.from+i, 1
		if i == 1 {
			first, n = h.from+10, bulkRows
		}
		for j := range n {
			rows.Queue(insert, first+j)
		}
		if err = (*tx).SendBatch(ctx, &rows).Close(); err != nil {
			return err
		}
		token, err := outbox.Token(ctx, *tx)
		if err != nil {
			return err
		}
		h.tokens = append(h.tokens, token)
	}
	_, err = h.t.pool.Exec(ctx, `select pg_current_xact_id()`)
	return err
}

// commit commits the many rows, and, when the lanes of the other two have read the first of them, the other two. It
// says whether they have.
func (h *half) commit(ctx context.Context) (reached bool, err error) {
	if err := h.bulk.Commit(ctx); err != nil {
		return false, err
	}
	var lanes [][2]int64
	rows, err := h.t.pool.Query(ctx, `select lo, hi from outbox.lanes where backend = $1`, loose)
	if err != nil {
		return false, err
	}
	var lo, hi int64
	if _, err := pgx.ForEachRow(rows, []any{&lo, &hi}, func() error { lanes = append(lanes, [2]int64{lo, hi}); return nil }); err != nil {
		return false, err
	}
	for end := time.Now().Add(request * 3 / 4); !reached && time.Now().Before(end); pause(ctx, 5*time.Millisecond) {
		reached = h.reading(lanes)
	}
	if err := h.low.Commit(ctx); err != nil {
		return false, err
	}
	return reached, h.high.Commit(ctx)
}

// reading says whether a request with some of the rows waits at the gate for each of the lanes of the other two.
func (h *half) reading(lanes [][2]int64) bool {
	at := map[[2]int64]bool{}
	for key := range h.t.store.atGate() {
		if kind, key, _ := strings.Cut(key, " "); kind == "t" {
			at[laneOf(lanes, key)] = true
		}
	}
	return at[laneOf(lanes, fmt.Sprint(h.from))] && at[laneOf(lanes, fmt.Sprint(h.from+2))]
}

func laneOf(lanes [][2]int64, key string) [2]int64 {
	hash := int64(outbox.Hash("t", key))
	for _, l := range lanes {
		if l[0] <= hash && hash < l[1] {
			return l
		}
	}
	return [2]int64{}
}

// logged is how many rows the log has got since begin, whoever wrote them.
func (h *half) logged(ctx context.Context) (n int64, err error) {
	err = h.t.pool.QueryRow(ctx, `select last_value from outbox.log_id_seq`).Scan(&n)
	return n - h.before, err
}

// rollback ends what did not commit.
func (h *half) rollback(ctx context.Context) error {
	var errs []error
	for _, tx := range []pgx.Tx{h.low, h.bulk, h.high} {
		if tx == nil {
			continue
		}
		if err := tx.Rollback(ctx); !errors.Is(err, pgx.ErrTxClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// warm makes sure that somebody works the lanes.
func (h *half) warm(ctx context.Context) error {
	if err := h.t.touch(ctx); err != nil {
		return err
	}
	return h.t.settle(ctx)
}
