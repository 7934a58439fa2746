package gosource

import (
	"context"
	"iter"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/outflow-db/outflow/ast"
)

// Options of Files. The zero value is good.
type Options struct {
	Repository   string // the repository of all files; default: the name of the root directory
	Max          int    // at most so many files; 0: all
	Parallel     int    // packages parsed at once; default: one a processor
	Content      bool   // with the text of the files
	NoEmbeddings bool   // without embeddings
}

// Files yields the Go files below root in the order of their paths. Directories and files whose names begin
// with a dot or an underscore are left out, as the go command does; testdata is not. A file that does not
// parse is yielded as an *ast.BadFile error, and the next ones follow. Any other error is the last: a
// directory that cannot be read, or ctx's end.
//
// Packages are parsed ahead, a few at a time. The paths are relative to root, with slashes.
func Files(ctx context.Context, root string, o Options) iter.Seq2[*ast.SourceFile, error] {
	if o.Repository == "" {
		o.Repository = filepath.Base(root)
	}
	if o.Parallel <= 0 {
		o.Parallel = runtime.GOMAXPROCS(0)
	}
	return func(yield func(*ast.SourceFile, error) bool) {
		x := &extractor{root: root, options: o, module: modulePath(root)}
		dirs, err := list(root, o.Max)
		if err != nil {
			yield(nil, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for results := range x.ahead(ctx, dirs) {
			for _, r := range results {
				if !yield(r.file, r.err) {
					return
				}
			}
		}
		if err := ctx.Err(); err != nil {
			yield(nil, err)
		}
	}
}

// result is what Files yields for a file.
type result struct {
	file *ast.SourceFile
	err  error
}

// ahead yields the results of directories in their order while the next ones are under way. When the
// sequence ends, so have its goroutines.
func (x *extractor) ahead(ctx context.Context, dirs []directory) iter.Seq[[]result] {
	return func(yield func([]result) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var workers sync.WaitGroup
		defer workers.Wait()
		defer cancel()
		under := make(chan chan []result, x.options.Parallel)
		workers.Go(func() {
			defer close(under)
			for _, d := range dirs {
				done := make(chan []result, 1)
				select {
				case under <- done:
					workers.Go(func() { done <- x.extract(ctx, d) })
				case <-ctx.Done():
					return
				}
			}
		})
		for done := range under {
			if !yield(<-done) {
				return
			}
		}
	}
}
