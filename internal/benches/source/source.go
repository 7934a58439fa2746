// Package source measures what watches cost a bulk load of real source code: files, symbols, relations and
// embeddings loaded into watched tables, against the same load into unwatched ones.
package source

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/ast"
	"github.com/outflow-db/outflow/examples/gosource/gosource"
	"github.com/outflow-db/outflow/internal/benches/lab"
	"github.com/outflow-db/outflow/outbox"
)

const rounds = 5

// result is one load.
type result struct {
	wall, server time.Duration
	rows         int64
}

// Run measures.
func Run(ctx context.Context, l *lab.Lab) ([]lab.Row, error) {
	files, err := parse(ctx, l)
	if err != nil {
		return nil, err
	}
	pools, err := databases(ctx, l)
	if err != nil {
		return nil, err
	}
	var wall, server [2][]float64
	var rows int64
	for round := range l.Size(rounds, 1) {
		for i := range pools {
			which := (i + round) % len(pools)
			r, err := load(ctx, l, pools[which], files)
			if err != nil {
				return nil, err
			}
			wall[which] = append(wall[which], r.wall.Seconds())
			server[which] = append(server[which], r.server.Seconds())
			rows = r.rows
		}
		l.Say("round %d: unwatched %.2fs, watched %.2fs", round+1, wall[0][round], wall[1][round])
	}
	w, s := lab.Ratios(wall[1], wall[0]), lab.Ratios(server[1], server[0])
	return []lab.Row{
		lab.AtMost("source: load, watched against unwatched", lab.Median(w), "x", 1.1).With(lab.Rounds(w)),
		lab.AtMost("source: load, watched against unwatched, CPU of PostgreSQL", lab.Median(s), "x", 1.1).With(lab.Rounds(s)),
		lab.Fact("source: load, unwatched", lab.Median(wall[0]), "s").With(fmt.Sprintf("%d files, %d rows", len(files), rows)),
	}, nil
}

// stride is how many files there are for each one that is loaded. The first files of the tree would not do: they are
// smaller than the rest, and poor in symbols and embeddings.
const stride = 8

// parse reads the files beforehand, so that only loading is measured.
func parse(ctx context.Context, l *lab.Lab) (files []*ast.SourceFile, err error) {
	n := 0
	for f, err := range l.Files(ctx, l.Size(0, 20*stride), gosource.Options{}) {
		if err != nil {
			return nil, err
		}
		if n++; n%stride == 0 {
			files = append(files, f)
		}
	}
	return files, nil
}

// databases makes one whose tables are not watched, and one whose are.
func databases(ctx context.Context, l *lab.Lab) (pools [2]*pgxpool.Pool, err error) {
	for i, name := range []string{"unwatched", "watched"} {
		if pools[i], err = l.Database(ctx, name, 8); err != nil {
			return pools, err
		}
	}
	kinds, _, err := l.Model()
	if err != nil {
		return pools, err
	}
	for _, k := range kinds {
		if err := pgx.BeginFunc(ctx, pools[1], func(tx pgx.Tx) error { return outbox.Watch(ctx, tx, k) }); err != nil {
			return pools, fmt.Errorf("watching kind %s: %w", k.Name, err)
		}
	}
	return pools, nil
}

// load loads into empty tables.
func load(ctx context.Context, l *lab.Lab, pool *pgxpool.Pool, files []*ast.SourceFile) (r result, err error) {
	for _, clean := range []string{`truncate ast.files cascade`, `truncate ast.relations, ast.embeddings`, `truncate outbox.log`} {
		if _, err := pool.Exec(ctx, clean); err != nil { // one by one: the tables' triggers truncate one another
			return r, fmt.Errorf("emptying the tables: %w", err)
		}
	}
	if err := l.Calm(ctx); err != nil {
		return r, err
	}
	m, err := l.Meter()
	if err != nil {
		return r, err
	}
	loaded, err := ast.Load(ctx, pool, sequence(files), ast.Options{})
	if err != nil {
		return r, err
	}
	_, r.server, err = m.Read()
	r.wall = loaded.Elapsed
	r.rows = loaded.Files.Inserted + loaded.Symbols.Inserted + loaded.Relations.Inserted + loaded.Embeddings.Inserted
	if err == nil && r.rows != loaded.Files.Total()+loaded.Symbols.Total()+loaded.Relations.Total()+loaded.Embeddings.Total() {
		err = errors.New("the tables were not empty before the load")
	}
	return r, err
}

// sequence yields the files as an extractor would.
func sequence(files []*ast.SourceFile) func(func(*ast.SourceFile, error) bool) {
	return func(yield func(*ast.SourceFile, error) bool) {
		for f := range slices.Values(files) {
			if !yield(f, nil) {
				return
			}
		}
	}
}
