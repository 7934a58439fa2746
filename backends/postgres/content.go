package postgres

import (
	"bytes"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/content"
)

// Count counts the live rows.
func (b *backend) Count(ctx context.Context, t backends.Target) (n int64, err error) {
	m, err := b.model(t)
	if err != nil {
		return 0, err
	}
	if err := b.pool.QueryRow(ctx, "select count(*) from "+m.table+" where deleted_at is null").Scan(&n); err != nil {
		return 0, b.classifyFor("count", t, err)
	}
	return n, nil
}

// compareMost is how many rows are read at once.
const compareMost = 1000

// Compare reads rows by key. What Scan tells is computed from the same values: this also tells which columns differ.
func (b *backend) Compare(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Mismatch, error) {
	m, err := b.model(t)
	if err != nil {
		return nil, err
	}
	var found []backends.Mismatch
	for part := range content.Chunks(records, compareMost) {
		differ, err := b.compare(ctx, m, part)
		if err != nil {
			return nil, b.classifyFor("compare", t, err)
		}
		found = append(found, differ...)
	}
	return found, nil
}

func (b *backend) compare(ctx context.Context, m *model, records []backends.Record) ([]backends.Mismatch, error) {
	keys, wanted := make([]string, len(records)), make(map[string]backends.Record, len(records))
	for i, r := range records {
		keys[i], wanted[r.Key] = r.Key, r
	}
	vector := "null::bytea"
	if m.vector != "" {
		vector = "array_send(vector)"
	}
	rows, err := b.pool.Query(ctx, "select key, convert_to(body::text, 'UTF8'), "+vector+" from "+m.table+" where deleted_at is null and key = any($1)", keys)
	if err != nil {
		return nil, err
	}
	var found []backends.Mismatch
	var key string
	var doc, elements []byte
	_, err = pgx.ForEachRow(rows, []any{&key, &doc, &elements}, func() error {
		columns, err := content.Differ(wanted[key].Doc, doc)
		if err != nil {
			return err
		}
		if raw := wanted[key].Raw; m.vector != "" && (len(raw) == 0 || !sameBytes(raw[0], elements)) {
			columns = append(columns, m.vector)
			slices.Sort(columns)
		}
		if len(columns) > 0 {
			found = append(found, backends.Mismatch{Key: key, Columns: columns})
		}
		return nil
	})
	return found, err
}

// sameBytes tells NULL from a value without bytes.
func sameBytes(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }
