package gosource

import (
	"context"
	"errors"
	"fmt"
	goast "go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/outflow-db/outflow/ast"
)

// source is one Go file.
type source struct {
	x     *extractor
	path  string // relative to the root
	text  []byte
	err   error // why there is no tree
	fset  *token.FileSet
	tree  *goast.File
	scope *scope
}

// parse parses all files of a directory, also those that are not wanted: they declare names, too. Where there
// is no directory there are no files.
func (x *extractor) parse(dir string, mode parser.Mode) []*source {
	names, err := goFiles(filepath.Join(x.root, filepath.FromSlash(dir)))
	if err != nil {
		return nil
	}
	files := make([]*source, len(names))
	for i, name := range names {
		files[i] = x.parseFile(path.Join(dir, name), mode)
	}
	return files
}

func (x *extractor) parseFile(name string, mode parser.Mode) *source {
	f := &source{x: x, path: name, fset: token.NewFileSet()}
	f.text, f.err = os.ReadFile(filepath.Join(x.root, filepath.FromSlash(name)))
	if f.err == nil && !utf8.Valid(f.text) {
		f.err = errors.New("no valid UTF-8")
	}
	if f.err != nil {
		return f
	}
	tree, err := parser.ParseFile(f.fset, "", f.text, parser.ParseComments|mode)
	if f.err = err; err == nil {
		f.tree = tree
	}
	return f
}

// problems says why the file did not parse, as BadFile does.
func (f *source) problems() []string {
	var list scanner.ErrorList
	if !errors.As(f.err, &list) {
		return []string{f.err.Error()}
	}
	var all []string
	for _, e := range list {
		all = append(all, fmt.Sprintf("%d:%d: %s", e.Pos.Line, e.Pos.Column, e.Msg))
	}
	return all
}

// extract is the results of a directory's files.
func (x *extractor) extract(ctx context.Context, d directory) []result {
	files := x.parse(d.path, 0) // the parser resolves local names
	x.join(d.path, files)
	var results []result
	for _, f := range files {
		if ctx.Err() != nil {
			return nil
		}
		if _, wanted := slices.BinarySearch(d.names, path.Base(f.path)); !wanted {
			continue
		}
		if f.tree == nil {
			results = append(results, result{err: &ast.BadFile{Repository: x.options.Repository, Path: f.path, Problems: f.problems()}})
			continue
		}
		results = append(results, result{file: f.file()})
	}
	return results
}

// file is the file in the model of package ast.
func (f *source) file() *ast.SourceFile {
	out := &ast.SourceFile{
		Repository: f.x.options.Repository, Path: f.path, Language: "go",
		Bytes: int64(len(f.text)), Lines: lines(f.text),
	}
	if f.x.options.Content {
		text := string(f.text)
		out.Content = &text
	}
	e := &emitter{source: f, out: out, ordinals: map[ast.Ref]int{}}
	e.run()
	return out
}

func lines(text []byte) int {
	n := strings.Count(string(text), "\n")
	if len(text) > 0 && text[len(text)-1] != '\n' {
		n++
	}
	return n
}
