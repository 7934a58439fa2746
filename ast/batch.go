package ast

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/outbox"
)

// transaction writes files in one transaction: new ones by COPY alone, changed ones by comparing.
func (l *loader) transaction(ctx context.Context, files []*prepared, compare bool) (Batch, error) {
	t := &transaction{loader: l, files: files, compare: compare}
	err := pgx.BeginTxFunc(ctx, l.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		t.tx = tx
		return t.run(ctx)
	})
	return t.done, err
}

type transaction struct {
	*loader
	tx      pgx.Tx
	files   []*prepared
	compare bool // all files, whatever is known about them
	done    Batch
}

func (t *transaction) run(ctx context.Context) error {
	if err := t.begin(ctx); err != nil {
		return err
	}
	fresh, changed, err := t.classify(ctx)
	if err != nil {
		return err
	}
	if err := t.insert(ctx, fresh); err != nil {
		return err
	}
	if err := t.replace(ctx, changed); err != nil {
		return err
	}
	if err := t.integrity(ctx, append(fresh, changed...)); err != nil {
		return err
	}
	return t.close(ctx)
}

// begin names the load to the log. One that is being reverted goes no further.
func (t *transaction) begin(ctx context.Context) error {
	headers := maps.Clone(t.options.Headers)
	if headers == nil {
		headers = map[string]string{}
	}
	headers[LoadHeader] = t.options.ID
	if t.options.reverts() {
		headers[outbox.OnRejectHeader] = outbox.OnRejectRevert
	}
	if err := outbox.SetHeaders(ctx, t.tx, headers); err != nil {
		return err
	}
	return t.stands(ctx, t.tx)
}

// The files are locked in the order of their ids, new ones by inserting them, so that loads of the same files
// follow each other without a deadlock. What an earlier load left is read by a statement of its own, which
// sees it.
const (
	insertFiles = `
		insert into ast.files (id, repository, path, language, bytes, lines, content)
		select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::int[], $7::text[]) f (id)
		 order by f.id on conflict do nothing returning id`
	lockFiles   = `select id from ast.files where id = any($1::uuid[]) order by id for no key update`
	loadedFiles = `
		select f.id, l.digest from ast.files f left join ast.loaded l on l.file_id = f.id
		 where f.id = any($1::uuid[])`
	noteFiles = `
		insert into ast.loaded (file_id, digest, load)
		select f.id, f.digest, $3 from unnest($1::uuid[], $2::bytea[]) f (id, digest)
		on conflict (file_id) do update set digest = excluded.digest, load = excluded.load, at = excluded.at`
)

var errOtherID = errors.New("repository and path are in ast.files with another id")

// classify inserts the files that are not there, locks the others, and tells which have changed.
func (t *transaction) classify(ctx context.Context) (fresh, changed []*prepared, err error) {
	inserted, digests := map[uuid.UUID]bool{}, map[uuid.UUID][]byte{}
	var q pgx.Batch
	q.Queue(insertFiles, fileColumns(t.files)...).Query(func(rows pgx.Rows) error {
		var id uuid.UUID
		_, err := pgx.ForEachRow(rows, []any{&id}, func() error { inserted[id] = true; return nil })
		return err
	})
	q.Queue(lockFiles, ids(t.files))
	q.Queue(loadedFiles, ids(t.files)).Query(func(rows pgx.Rows) error {
		var id uuid.UUID
		var digest []byte
		_, err := pgx.ForEachRow(rows, []any{&id, &digest}, func() error { digests[id] = bytes.Clone(digest); return nil })
		return err
	})
	if err := t.tx.SendBatch(ctx, &q).Close(); err != nil {
		return nil, nil, fmt.Errorf("inserting files: %w", err)
	}
	for _, p := range t.files {
		digest, there := digests[p.id]
		switch {
		case !there:
			return nil, nil, fmt.Errorf("%w than %s", errOtherID, p.id)
		case inserted[p.id] && !t.compare:
			fresh = append(fresh, p)
		case inserted[p.id]:
			t.done.Files.Inserted++
			changed = append(changed, p)
		case !t.compare && bytes.Equal(digest, p.digest[:]):
			t.done.unchanged(p)
		default:
			changed = append(changed, p)
		}
	}
	return fresh, changed, nil
}

func (b *Batch) unchanged(p *prepared) {
	b.Files.Unchanged++
	b.Symbols.Unchanged += p.symbols.digest.Rows
	b.Relations.Unchanged += p.relations.digest.Rows
	b.Embeddings.Unchanged += p.embeddings.digest.Rows
}

// insert writes the rows of files that were not there: no row of theirs can be.
func (t *transaction) insert(ctx context.Context, files []*prepared) error {
	if len(files) == 0 {
		return nil
	}
	t.done.Files.Inserted += int64(len(files))
	for _, m := range tables {
		n, err := t.copy(ctx, m.name, m.columns, files, m.rows)
		if err != nil {
			return err
		}
		m.counts(&t.done).Inserted += n
	}
	return nil
}

// copy sends the files' rows to a table.
func (t *transaction) copy(ctx context.Context, table, columns string, files []*prepared, of func(*prepared) *rows) (int64, error) {
	parts, n := []io.Reader{bytes.NewReader(copyHead)}, int64(0)
	for _, p := range files {
		r := of(p)
		parts, n = append(parts, bytes.NewReader(r.data)), n+r.digest.Rows
	}
	if n == 0 {
		return 0, nil
	}
	all := io.MultiReader(append(parts, bytes.NewReader(copyEnd))...)
	tag, err := t.tx.Conn().PgConn().CopyFrom(ctx, all, fmt.Sprintf("copy %s (%s) from stdin (format binary)", table, columns))
	if err != nil {
		return 0, fmt.Errorf("copying to %s: %w", table, err)
	}
	return tag.RowsAffected(), nil
}

// close notes the load of each file.
func (t *transaction) close(ctx context.Context) error {
	digests := make([][]byte, len(t.files))
	for i, p := range t.files {
		digests[i] = p.digest[:]
	}
	if _, err := t.tx.Exec(ctx, noteFiles, ids(t.files), digests, t.options.ID); err != nil {
		return fmt.Errorf("noting the load: %w", err)
	}
	return t.mark(ctx)
}

// mark asks what the transaction can be found by.
func (t *transaction) mark(ctx context.Context) error {
	err := t.tx.QueryRow(ctx, "select pg_current_xact_id()::text, coalesce(outbox.token(), '')").Scan(&t.done.Transaction, &t.done.Token)
	if err != nil {
		return fmt.Errorf("asking for the token: %w", err)
	}
	return nil
}

// ids are text, which every mode of the protocol can send without knowing the type.
func ids(files []*prepared) []string {
	all := make([]string, len(files))
	for i, p := range files {
		all[i] = p.id.String()
	}
	return all
}

// fileColumns is the arguments of insertFiles.
func fileColumns(files []*prepared) []any {
	n := len(files)
	repositories, paths, languages := make([]string, n), make([]string, n), make([]string, n)
	sizes, lines, contents := make([]int64, n), make([]int32, n), make([]*string, n)
	for i, p := range files {
		f := p.file
		repositories[i], paths[i], languages[i] = f.Repository, f.Path, f.Language
		sizes[i], lines[i], contents[i] = f.Bytes, int32(f.Lines), f.Content //nolint:gosec // checked
	}
	return []any{ids(files), repositories, paths, languages, sizes, lines, contents}
}

func (p *prepared) bad(problem string) *BadFile {
	f := p.file
	return &BadFile{Input: f.Input, Line: f.Line, Repository: f.Repository, Path: f.Path, Problems: []string{problem}, Text: f.Text}
}
