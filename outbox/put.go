package outbox

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// Bounds of what is sent at once.
const (
	statementRows  = 1000
	statementBytes = 4 << 20
	batchBytes     = 32 << 20
)

// Record is what Put stores of a record.
type Record struct {
	Kind, Key string
	Body      any       // anything encoding/json marshals, or a json.RawMessage; nil: NULL
	Embedding []float32 // stored exactly; empty: NULL
}

// row is a record as it is sent.
type row struct {
	kind, key       string
	body, embedding *string
}

func (r row) size() int {
	n := len(r.kind) + len(r.key)
	for _, s := range []*string{r.body, r.embedding} {
		if s != nil {
			n += len(*s)
		}
	}
	return n
}

// Put stores records in outbox.records, within the caller's transaction: new ones, and those whose kind and key are
// there already. A record that is stored as it is already counts as unchanged. The first record of a kind declares
// it; the kind of a watched table is refused.
//
// Everything is checked before anything is sent: on an error that holds an *InputError the transaction is as it was.
// Any other error comes from PostgreSQL, and the transaction must be rolled back. Records may be many: they are sent
// in batches, in the order of kind and key, so that concurrent calls do not deadlock.
func Put(ctx context.Context, tx pgx.Tx, records ...Record) error {
	rows, err := encode(records)
	if err != nil {
		return fmt.Errorf("putting records: %w", err)
	}
	for len(rows) > 0 {
		batch, n := putBatch(rows)
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return fmt.Errorf("putting records: %w", err)
		}
		rows = rows[n:]
	}
	return nil
}

// Delete deletes records of a kind from outbox.records, within the caller's transaction. Keys that have none are no
// error. Checks and errors are as with Put.
func Delete(ctx context.Context, tx pgx.Tx, kind string, keys ...string) error {
	var p problems
	badKeys(&p, kind, keys)
	if err := p.err(); err != nil {
		return fmt.Errorf("deleting records: %w", err)
	}
	var batch pgx.Batch
	for part := range slices.Chunk(slices.Sorted(slices.Values(keys)), statementRows) {
		batch.Queue(`delete from outbox.records where kind = $1 and key = any($2::text[])`, kind, part)
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("deleting records: %w", err)
	}
	return nil
}

// encode checks the records and makes rows of them, in the order of kind and key.
func encode(records []Record) ([]row, error) {
	var p problems
	type identity struct{ kind, key string }
	rows, first := make([]row, 0, len(records)), make(map[identity]int, len(records))
	for i, r := range records {
		p.add("records", i, "kind", badKind(r.Kind))
		p.add("records", i, "key", badKey(r.Key))
		at, twice := first[identity{r.Kind, r.Key}]
		if twice {
			p.add("records", i, "key", fmt.Sprintf("%.40q is that of records[%d], too", r.Key, at))
		} else {
			first[identity{r.Kind, r.Key}] = i
		}
		body, reason := bodyText(r.Body)
		p.add("records", i, "body", reason)
		embedding, reason := arrayText(r.Embedding)
		p.add("records", i, "embedding", reason)
		rows = append(rows, row{r.Kind, r.Key, body, embedding})
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.key, b.key)) })
	return rows, p.err()
}

// arrayText is the text of a real[] with exactly these numbers, nil for none, and what is wrong with it.
func arrayText(numbers []float32) (text *string, reason string) {
	if len(numbers) == 0 {
		return nil, ""
	}
	b := make([]byte, 0, len(numbers)*12)
	for i, f := range numbers {
		if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
			return nil, fmt.Sprintf("number %d is %v", i, f)
		}
		b = append(b, ',')
		b = strconv.AppendFloat(b, float64(f), 'g', -1, 32)
	}
	b[0] = '{'
	s := string(append(b, '}'))
	return &s, ""
}

// putSQL compares records as images: 1.0 and 1.00 are equal, but not the same.
const putSQL = `
insert into outbox.records as r (kind, key, body, embedding)
select u.kind, u.key, u.body::jsonb, u.embedding::real[]
  from unnest($1::text[], $2::text[], $3::text[], $4::text[]) u(kind, key, body, embedding)
on conflict (kind, key) do update set body = excluded.body, embedding = excluded.embedding
 where r.* operator(pg_catalog.*<>) excluded.*`

// putBatch puts the first rows into a batch, as many as may be sent at once, and answers how many.
func putBatch(rows []row) (*pgx.Batch, int) {
	batch, n, bytes := &pgx.Batch{}, 0, 0
	for n < len(rows) && bytes < batchBytes {
		size := 0
		kinds, keys, bodies, embeddings := []string{}, []string{}, []*string{}, []*string{}
		for n < len(rows) && len(keys) < statementRows && size < statementBytes {
			r := rows[n]
			kinds, keys = append(kinds, r.kind), append(keys, r.key)
			bodies, embeddings = append(bodies, r.body), append(embeddings, r.embedding)
			size += r.size()
			n++
		}
		batch.Queue(putSQL, kinds, keys, bodies, embeddings)
		bytes += size
	}
	return batch, n
}
