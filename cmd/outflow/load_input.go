package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"

	"github.com/outflow-db/outflow/ast"
)

// input is one file to load.
type input struct {
	name string
	io.ReadCloser
}

type inputs []input

// inputs opens all files before any is loaded, so that a wrong name loads nothing.
func (a *app) inputs(ctx context.Context, paths []string) (inputs, error) {
	var all inputs
	for _, path := range paths {
		if path == "-" {
			all = append(all, input{"standard input", endingWith(ctx, a.in)})
			continue
		}
		f, err := openInput(path)
		if err != nil {
			all.close()
			return nil, usageError{err}
		}
		all = append(all, input{path, f})
	}
	return all, nil
}

// openInput opens a file that can be read: of a directory that shows only later.
func openInput(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, errors.Join(fmt.Errorf("%s is a directory: name its files, or use --follow", path), f.Close())
	}
	return f, nil
}

// name is what the progress is about.
func (all inputs) name() string {
	if len(all) == 1 {
		return all[0].name
	}
	return counted(int64(len(all)), "input")
}

// files yields the files of all inputs, one after the other. keep asks for the text of each line.
func (all inputs) files(keep bool) iter.Seq2[*ast.SourceFile, error] {
	return func(yield func(*ast.SourceFile, error) bool) {
		for _, in := range all {
			if !in.files(keep, yield) {
				return
			}
		}
	}
}

// files yields the files of the input, and says whether to go on.
func (in input) files(keep bool, yield func(*ast.SourceFile, error) bool) bool {
	plain, err := ast.Decompress(in)
	if err != nil {
		return yield(nil, fmt.Errorf("%s: %w", in.name, err)) && false
	}
	defer plain.Close() //nolint:errcheck // it was only read
	for f, err := range (ast.NDJSON{Name: in.name, Keep: keep}).Read(plain) {
		if !yield(f, err) {
			return false
		}
	}
	return true
}

// endingWith is r until ctx ends. A read of a silent pipe goes on meanwhile, and ends with the process.
func endingWith(ctx context.Context, r io.Reader) io.ReadCloser {
	out, in := io.Pipe()
	go func() {
		_, err := io.Copy(in, r)
		in.CloseWithError(err)
	}()
	context.AfterFunc(ctx, func() { in.CloseWithError(context.Cause(ctx)) })
	return out
}

// close closes all files; they were only read.
func (all inputs) close() {
	for _, in := range slices.Backward(all) {
		in.Close() //nolint:errcheck // see above
	}
}

// rejects is the file for bad lines. It is made with the first one.
type rejects struct {
	path string // empty: there is none
	file *os.File
}

func (r *rejects) add(b *ast.BadFile) (err error) {
	if r.path == "" || b.Text == nil {
		return nil
	}
	if r.file == nil {
		if r.file, err = os.Create(r.path); err != nil {
			return err
		}
	}
	_, err = r.file.Write(append(b.Text, '\n'))
	return err
}

func (r *rejects) close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}
