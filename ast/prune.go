package ast

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// pruneFiles is how many files are removed in one transaction.
const pruneFiles = 100

// scope is what a load has seen of repositories, to tell which can be pruned.
type scope struct {
	mu     sync.Mutex
	seen   map[string]bool // repositories with a file
	bad    map[string]bool // repositories with a bad file
	opaque bool            // a bad file of no known repository
}

func newScope() *scope { return &scope{seen: map[string]bool{}, bad: map[string]bool{}} }

func (s *scope) good(repository string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[repository] = true
}

func (s *scope) refuse(b *BadFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.Repository == "" {
		s.opaque = true
		return
	}
	s.bad[b.Repository] = true
}

// prunable is the repositories of which every file was read and is good, and the others that were seen.
func (s *scope) prunable() (prune, keep []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range slices.Sorted(maps.Keys(s.seen)) {
		if s.opaque || s.bad[r] {
			keep = append(keep, r)
		} else {
			prune = append(prune, r)
		}
	}
	return prune, keep
}

// vanished finds files of a repository that the load has not had: $2 is its id, $3 when it began, so that a file
// that another load has had meanwhile stays.
const (
	vanished = `
		select f.id::text from ast.files f left join ast.loaded l on l.file_id = f.id
		 where f.repository = $1 and (l.file_id is null or l.load <> $2 and l.at < $3)`
	someVanished  = vanished + ` order by f.id limit $4 for no key update of f`
	stillVanished = vanished + ` and f.id = any($4::text[]::uuid[])` // seen when they are locked
)

// prune removes the files that vanished from the repositories that were read as a whole.
func (l *loader) prune(ctx context.Context, since time.Time) error {
	prune, keep := l.scope.prunable()
	l.result.Unpruned = keep
	for _, repository := range prune {
		for more := true; more; {
			var err error
			if more, err = l.pruneSome(ctx, repository, since); err != nil {
				return fmt.Errorf("pruning repository %q: %w", repository, err)
			}
		}
	}
	return nil
}

// pruneSome removes some files in one transaction, and says whether there may be more.
func (l *loader) pruneSome(ctx context.Context, repository string, since time.Time) (more bool, err error) {
	started := time.Now()
	t := &transaction{loader: l}
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		t.tx = tx
		gone, err := t.strings(ctx, someVanished, repository, l.options.ID, since, pruneFiles)
		if more = len(gone) > 0; err != nil || !more {
			return err
		}
		if gone, err = t.strings(ctx, stillVanished, repository, l.options.ID, since, gone); err != nil || len(gone) == 0 {
			return err
		}
		return t.remove(ctx, gone)
	})
	if err == nil && t.done.Files.Deleted > 0 {
		t.done.Time = time.Since(started)
		l.report(t.done)
	}
	return more, err
}

func (t *transaction) strings(ctx context.Context, sql string, args ...any) ([]string, error) {
	rows, err := t.tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// remove deletes files, what belongs to them first, so that it is counted.
func (t *transaction) remove(ctx context.Context, files []string) error {
	if err := t.begin(ctx); err != nil {
		return err
	}
	for _, m := range slices.Backward(tables) {
		tag, err := t.tx.Exec(ctx, fmt.Sprintf("delete from %s t where %s", m.name, m.owned()), pgx.QueryExecModeExec, files)
		if err != nil {
			return fmt.Errorf("deleting from %s: %w", m.name, err)
		}
		m.counts(&t.done).Deleted += tag.RowsAffected()
	}
	tag, err := t.tx.Exec(ctx, "delete from ast.files where id = any($1::uuid[])", pgx.QueryExecModeExec, files)
	if err != nil {
		return fmt.Errorf("deleting from ast.files: %w", err)
	}
	t.done.Files.Deleted += tag.RowsAffected()
	return t.mark(ctx)
}
