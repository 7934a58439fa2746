package postgres

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends"
)

const scanPage = 1000

// entry is a row of the table as an entry, with the digest of what is stored now: backends.ContentDigest
// in SQL. A value is made once and used twice, hence the subquery, which the planner must not unfold.
func (m *model) entry() string {
	parts, digest := []string{"null::bytea as doc"}, digestPart("p.doc")
	if len(m.layout.Doc) > 0 {
		parts[0] = "convert_to(t.body::text, 'UTF8') as doc"
	}
	if m.vector != "" {
		parts, digest = append(parts, "array_send(t.vector) as vector"), digest+" || "+digestPart("p.vector")
	}
	return "select t.key, t.version, substr(sha256(" + digest + "), 1, 8)\n" +
		"from " + m.table + " t cross join lateral (select " + strings.Join(parts, ", ") + " offset 0) p\n" +
		"where t.deleted_at is null"
}

func digestPart(value string) string {
	return "coalesce(int8send(octet_length(" + value + ")) || " + value + ", int8send(-1))"
}

// Scan reads pages in the order of the keys. Each page is a statement of its own, so that a long scan holds
// no snapshot.
func (b *backend) Scan(ctx context.Context, t backends.Target, fn func([]backends.Entry) error) error {
	m, err := b.model(t)
	if err != nil {
		return err
	}
	sql := m.entry() + " and t.key > $1 order by t.key limit $2"
	for after := ""; ; {
		page, err := b.entries(ctx, "scan", t, sql, after, scanPage)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return nil
		}
		if err := fn(page); err != nil {
			return err
		}
		if len(page) < scanPage {
			return nil
		}
		after = page[len(page)-1].Key
	}
}

// Lookup reads the rows of the keys.
func (b *backend) Lookup(ctx context.Context, t backends.Target, keys []string) ([]backends.Entry, error) {
	m, err := b.model(t)
	if err != nil {
		return nil, err
	}
	return b.entries(ctx, "lookup", t, m.entry()+" and t.key = any($1)", keys)
}

func (b *backend) entries(ctx context.Context, op string, t backends.Target, sql string, args ...any) (entries []backends.Entry, err error) {
	err = b.asked(ctx, op, func(ctx context.Context) error {
		rows, err := b.pool.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		entries, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (e backends.Entry, err error) {
			var digest []byte
			err = row.Scan(&e.Key, &e.Version, &digest)
			copy(e.Digest[:], digest)
			return e, err
		})
		return err
	})
	if err != nil {
		return nil, b.classifyFor(op, t, err)
	}
	return entries, nil
}
