package ast

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// table is a table whose rows belong to files.
type table struct {
	name, columns, key string
	data               string // the columns that can change in a row that stays; empty: none
	owner              string // the column that names what a row belongs to
	owners             string // the ids that the rows of the files $1 belong to
	rows               func(*prepared) *rows
	counts             func(*Batch) *Counts
	digested           string // the columns of t, of the types that a digest has
}

const symbolsOfFiles = "select s.id from ast.symbols s where s.file_id = any($1::uuid[])"

// The tables in the order in which rows are inserted.
var tables = []table{
	{
		name: "ast.symbols", columns: symbolColumns, key: "id", data: "name, signature, doc, line_start, line_end",
		owner: "file_id", owners: "$1::uuid[]",
		rows:     func(p *prepared) *rows { return &p.symbols },
		counts:   func(b *Batch) *Counts { return &b.Symbols },
		digested: "t.id, t.file_id, t.kind, t.name, t.qualified, t.ordinal, t.signature, t.doc, t.line_start, t.line_end",
	},
	{
		name: "ast.embeddings", columns: embeddingColumns, key: "symbol_id, model", data: "dimensions, vector",
		owner: "symbol_id", owners: "array(" + symbolsOfFiles + ")",
		rows:     func(p *prepared) *rows { return &p.embeddings },
		counts:   func(b *Batch) *Counts { return &b.Embeddings },
		digested: fmt.Sprintf("t.symbol_id, t.model::text, t.dimensions, t.vector[1:%d]", vectorHead),
	},
	{
		name: "ast.relations", columns: relationColumns, key: relationColumns,
		owner: "source", owners: "$1::uuid[] || array(" + symbolsOfFiles + ")",
		rows:     func(p *prepared) *rows { return &p.relations },
		counts:   func(b *Batch) *Counts { return &b.Relations },
		digested: "t.source, t.type::text, t.target",
	},
}

func (m table) stage() string { return "stage_" + strings.TrimPrefix(m.name, "ast.") }

// join puts each column into a form and the forms behind one another: join("t.%s", ", ").
func (m table) join(columns, form, between string) string {
	var all []string
	for c := range strings.SplitSeq(columns, ", ") {
		all = append(all, strings.ReplaceAll(form, "%s", c))
	}
	return strings.Join(all, between)
}

// owned is the condition for the rows t of the files $1. It is given besides the key, so that rows are found by
// an index and the cost follows the batch, not the table.
func (m table) owned() string { return fmt.Sprintf("t.%s = any(%s)", m.owner, m.owners) }

func (m table) delete() string {
	return fmt.Sprintf("delete from %s t where %s and not exists (select from %s s where %s)",
		m.name, m.owned(), m.stage(), m.join(m.key, "s.%s = t.%s", " and "))
}

func (m table) update() string {
	return fmt.Sprintf("update %s t set (%s) = row(%s) from %s s where %s and %s and (%s) is distinct from (%s)",
		m.name, m.data, m.join(m.data, "s.%s", ", "), m.stage(), m.owned(),
		m.join(m.key, "s.%s = t.%s", " and "), m.join(m.data, "t.%s", ", "), m.join(m.data, "s.%s", ", "))
}

func (m table) insert() string {
	return fmt.Sprintf("insert into %s (%s) select %s from %s s where not exists (select from %s t where %s and %s)",
		m.name, m.columns, m.join(m.columns, "s.%s", ", "), m.stage(), m.name, m.owned(), m.join(m.key, "t.%s = s.%s", " and "))
}

const updateFiles = `
	update ast.files t
	   set language = f.language, bytes = f.bytes, lines = f.lines, content = f.content
	  from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::int[], $7::text[])
	       f (id, repository, path, language, bytes, lines, content)
	 where t.id = f.id
	   and (t.language, t.bytes, t.lines, t.content) is distinct from (f.language, f.bytes, f.lines, f.content)`

// replace makes the rows of files that were there equal to what the load says.
func (t *transaction) replace(ctx context.Context, files []*prepared) error {
	if len(files) == 0 {
		return nil
	}
	tag, err := t.tx.Exec(ctx, updateFiles, fileColumns(files)...)
	if err != nil {
		return fmt.Errorf("updating files: %w", err)
	}
	t.done.Files.Updated += tag.RowsAffected()
	t.done.Files.Unchanged = int64(len(t.files)) - t.done.Files.Inserted - t.done.Files.Updated
	staged := make([]int64, len(tables))
	for i, m := range tables {
		if staged[i], err = t.stage(ctx, m, files); err != nil {
			return err
		}
	}
	return t.merge(ctx, files, staged)
}

// stage copies the rows of files to a table of their own.
func (t *transaction) stage(ctx context.Context, m table, files []*prepared) (int64, error) {
	create := fmt.Sprintf("create temp table %s on commit drop as select %s from %s with no data", m.stage(), m.columns, m.name)
	if _, err := t.tx.Exec(ctx, create); err != nil {
		return 0, fmt.Errorf("staging %s: %w", m.name, err)
	}
	n, err := t.copy(ctx, m.stage(), m.columns, files, m.rows)
	if err != nil {
		return 0, err
	}
	if _, err := t.tx.Exec(ctx, "analyze "+m.stage()); err != nil {
		return 0, fmt.Errorf("staging %s: %w", m.name, err)
	}
	return n, nil
}

// merge deletes what vanished, children first, then updates and inserts, parents first.
func (t *transaction) merge(ctx context.Context, files []*prepared, staged []int64) error {
	for _, m := range slices.Backward(tables) {
		n, err := t.apply(ctx, m.delete(), files)
		if err != nil {
			return fmt.Errorf("deleting from %s: %w", m.name, err)
		}
		m.counts(&t.done).Deleted += n
	}
	for i, m := range tables {
		var updated int64
		if m.data != "" {
			n, err := t.apply(ctx, m.update(), files)
			if err != nil {
				return fmt.Errorf("updating %s: %w", m.name, err)
			}
			updated = n
		}
		inserted, err := t.apply(ctx, m.insert(), files)
		if err != nil {
			return fmt.Errorf("inserting into %s: %w", m.name, err)
		}
		m.counts(&t.done).Add(Counts{Inserted: inserted, Updated: updated, Unchanged: staged[i] - inserted - updated})
	}
	return nil
}

// apply plans each time anew: a plan kept from a small batch would be a bad one for a large one.
func (t *transaction) apply(ctx context.Context, sql string, files []*prepared) (int64, error) {
	tag, err := t.tx.Exec(ctx, sql, pgx.QueryExecModeExec, ids(files))
	return tag.RowsAffected(), err
}
