package gosource

import (
	"go/parser"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/outflow-db/outflow/ast"
)

// extractor is one run over a tree.
type extractor struct {
	root    string
	options Options
	module  string
	known   sync.Map // directory -> func() *scopes, which parses it at the first call
}

// scopes is what the packages of a directory declare, by package name: one, usually, its external test, and
// programs that are left out of the build.
type scopes struct {
	packages map[string]*scope
	primary  *scope // the one that an import means; nil if no file parses
}

// scope is what a package declares.
type scope struct {
	name      string // of the package
	qualified string // its import path; with the name if the directory has another package
	home      string // the path of the file that has the package's symbol
	decls     map[string][]*decl
	files     []*source // while it is made
}

// isPackage says whether the directory, relative to the root, has Go files.
func (x *extractor) isPackage(dir string) bool { return x.scopes(dir).primary != nil }

// scopes parses a directory once, whoever asks for it first. Nobody waits for anything but this parsing.
func (x *extractor) scopes(dir string) *scopes {
	once, ok := x.known.Load(dir)
	if !ok {
		once, _ = x.known.LoadOrStore(dir, sync.OnceValue(func() *scopes {
			return x.declare(dir, x.parse(dir, parser.SkipObjectResolution))
		}))
	}
	return once.(func() *scopes)() //nolint:forcetypeassert // nothing else is stored
}

// join gives the files of a directory, parsed in full, their scopes. So every declaration exists once.
func (x *extractor) join(dir string, files []*source) {
	own := sync.OnceValue(func() *scopes { return x.declare(dir, files) })
	known, _ := x.known.LoadOrStore(dir, own)
	all := known.(func() *scopes)() //nolint:forcetypeassert // nothing else is stored
	for _, f := range files {
		if f.tree == nil {
			continue
		}
		if f.scope = all.packages[f.tree.Name.Name]; f.scope == nil { // someone is at work on the directory
			x.declare(dir, files)
			return
		}
	}
}

// declare collects what the files of a directory declare.
func (x *extractor) declare(dir string, files []*source) *scopes {
	all := &scopes{packages: map[string]*scope{}}
	for _, f := range files {
		if f.tree == nil {
			continue
		}
		name := f.tree.Name.Name
		if all.packages[name] == nil {
			all.packages[name] = &scope{name: name, decls: map[string][]*decl{}}
		}
		f.scope = all.packages[name]
		f.scope.files = append(f.scope.files, f)
	}
	all.primary = all.choose(path.Base(dir))
	for _, s := range all.packages {
		s.qualified = x.importPath(dir)
		if s != all.primary {
			s.qualified += ":" + s.name
		}
		s.declare()
	}
	return all
}

// declare collects what the package declares, and forgets the trees.
func (s *scope) declare() {
	best := -1
	for _, f := range s.files {
		if n := f.homely(); n > best {
			best, s.home = n, f.path
		}
	}
	s.add("", ast.Ref{Path: s.home, Kind: "package", Qualified: s.qualified})
	for _, f := range s.files {
		f.declare()
	}
	delete(s.decls, "_") // nothing can refer to these
	delete(s.decls, "init")
	s.files = nil
}

// choose finds the package that an import of the directory means: no test, no program if there is another,
// the one with most files.
func (s *scopes) choose(dir string) *scope {
	rank := func(p *scope) [4]int {
		r := [4]int{2: len(p.files)}
		if !strings.HasSuffix(p.name, "_test") {
			r[0] = 1
		}
		if p.name != "main" {
			r[1] = 1
		}
		if p.name == dir {
			r[3] = 1
		}
		return r
	}
	var best *scope
	for _, p := range s.packages {
		if best == nil {
			best = p
			continue
		}
		a, b := rank(best), rank(p)
		if n := slices.Compare(a[:], b[:]); n < 0 || n == 0 && p.name < best.name {
			best = p
		}
	}
	return best
}

// decl is a declaration as others refer to it.
type decl struct {
	ast.Ref
	name  string // within the package
	scope *scope
}

// add notes a declaration under its name within the package: Server, Server.Addr. The package itself has no name.
func (s *scope) add(name string, ref ast.Ref) {
	s.decls[name] = append(s.decls[name], &decl{ref, name, s})
}

// find is what a name means in a file, nil if nothing: see the package documentation.
func (s *scope) find(name, from string) *decl {
	var best *decl
	for _, d := range s.decls[name] {
		if best == nil || fit(d.Path, from) > fit(best.Path, from) {
			best = d
		}
	}
	return best
}

// fit says how likely a name used in a file means the declaration at path.
func fit(path, from string) int {
	switch {
	case path == from:
		return 3
	case ending(path) != "" && ending(path) == ending(from):
		return 2
	case !strings.HasSuffix(path, "_test.go"):
		return 1
	}
	return 0
}

// ending is the part of a file name after its first underscore, which is often a system: _linux_amd64.go.
func ending(name string) string {
	_, after, _ := strings.Cut(path.Base(name), "_")
	return after
}
