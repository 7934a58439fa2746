package ast

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Limits of what a file may hold. The index on repository and path, and the length of a key in the log,
// leave no more.
const (
	maxRepository = 500       // bytes
	maxPath       = 1500      // bytes
	maxModel      = 200       // bytes
	maxText       = 256 << 20 // bytes of any other text
	maxProblems   = 20        // told about one file
)

var word = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// checker collects what is wrong with one file, and on the way what its names mean.
type checker struct {
	file       *SourceFile
	id         uuid.UUID
	dimensions map[string]int // of each model; new ones are noted in fresh
	fresh      map[string]int
	ids        map[Ref]uuid.UUID // of what has been found good: the file, its symbols, ends of relations elsewhere
	edges      []edge            // of Relations, in their order
	problems   []string
	omitted    int
}

// edge is a relation by ids.
type edge struct {
	source uuid.UUID
	typ    string
	target uuid.UUID
}

// check finds every problem of a file, up to a limit: bad is nil if there is none, and the file can be loaded.
// dimensions tells how long the vectors of each model are, and learns it from a good file's first one.
func check(f *SourceFile, dimensions map[string]int) (c *checker, bad *BadFile) {
	id := FileID(f.Repository, f.Path)
	c = &checker{file: f, id: id, dimensions: dimensions, fresh: map[string]int{}, ids: make(map[Ref]uuid.UUID, len(f.Symbols)+1)}
	c.ids[Ref{}] = id
	c.header()
	c.symbols()
	c.relations()
	if len(c.problems) == 0 {
		maps.Copy(dimensions, c.fresh)
		return c, nil
	}
	if c.omitted > 0 {
		c.problems = append(c.problems, fmt.Sprintf("and %d more problems", c.omitted))
	}
	return c, &BadFile{Input: f.Input, Line: f.Line, Text: f.Text, Repository: f.Repository, Path: f.Path, Problems: c.problems}
}

func (c *checker) addf(format string, args ...any) {
	if len(c.problems) == maxProblems {
		c.omitted++
		return
	}
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

func (c *checker) header() {
	f := c.file
	c.required(f.Repository, maxRepository, "repository")
	c.required(f.Path, maxPath, "path")
	c.text(f.Language, maxText, "language")
	if f.Content != nil {
		c.text(*f.Content, maxText, "content")
	}
	if f.Bytes < 0 {
		c.addf("bytes: %d is negative", f.Bytes)
	}
	c.number(f.Lines, "lines")
}

func (c *checker) symbols() {
	for i := range c.file.Symbols {
		s := &c.file.Symbols[i]
		c.symbol(i, s)
		if _, ok := c.ids[s.Ref()]; ok {
			c.addf("symbols[%d]: %s is there already: give it another ordinal", i, s.Ref())
			continue
		}
		c.ids[s.Ref()] = SymbolID(c.id, s.Kind, s.Qualified, s.Ordinal)
	}
}

func (c *checker) symbol(i int, s *Symbol) {
	c.word(s.Kind, "function", "symbols[%d].kind", i)
	c.required(s.Name, maxText, "symbols[%d].name", i)
	c.required(s.Qualified, maxText, "symbols[%d].qualified", i)
	c.text(s.Signature, maxText, "symbols[%d].signature", i)
	c.text(s.Doc, maxText, "symbols[%d].doc", i)
	c.number(s.Ordinal, "symbols[%d].ordinal", i)
	if s.LineStart < 0 || s.LineEnd > math.MaxInt32 || s.LineEnd < s.LineStart {
		c.addf("symbols[%d]: lines %d to %d: want them counted from 1, in order", i, s.LineStart, s.LineEnd)
	}
	for j := range s.Embeddings {
		c.embedding(i, j, s.Embeddings)
	}
}

func (c *checker) embedding(i, j int, all []Embedding) {
	e := &all[j]
	c.required(e.Model, maxModel, "symbols[%d].embeddings[%d].model", i, j)
	for k := range j {
		if all[k].Model == e.Model {
			c.addf("symbols[%d].embeddings[%d]: a second vector of model %s", i, j, e.Model)
		}
	}
	c.vector(i, j, e)
}

func (c *checker) vector(i, j int, e *Embedding) {
	want := cmp.Or(c.dimensions[e.Model], c.fresh[e.Model])
	switch {
	case len(e.Vector) == 0:
		c.addf("symbols[%d].embeddings[%d].vector: empty", i, j)
	case want == 0:
		c.fresh[e.Model] = len(e.Vector)
	case want != len(e.Vector):
		c.addf("symbols[%d].embeddings[%d].vector: %d dimensions: model %s has %d", i, j, len(e.Vector), e.Model, want)
	}
	for k, f := range e.Vector {
		if !finite(f) {
			c.addf("symbols[%d].embeddings[%d].vector[%d]: %v is not a finite number", i, j, k, f)
			return
		}
	}
}

func (c *checker) relations() {
	c.edges = make([]edge, 0, len(c.file.Relations))
	seen := make(map[edge]int, len(c.file.Relations))
	for i, r := range c.file.Relations {
		c.word(r.Type, "calls", "relations[%d].type", i)
		source, target := c.normal(r.Source), c.normal(r.Target)
		e := edge{c.end(i, "source", source), r.Type, c.end(i, "target", target)}
		if !source.local() {
			c.addf("relations[%d].source: %s is in another file: a relation is stated by the file it starts in", i, source)
		}
		if first, ok := seen[e]; ok && e.source != uuid.Nil && e.target != uuid.Nil {
			c.addf("relations[%d]: the same as relations[%d]", i, first)
		}
		seen[e] = i
		c.edges = append(c.edges, e)
	}
}

// normal is the reference without what it says about this file itself.
func (c *checker) normal(r Ref) Ref {
	if r.Repository == c.file.Repository {
		r.Repository = ""
	}
	if r.Repository == "" && r.Path == c.file.Path {
		r.Path = ""
	}
	return r
}

// end is the id of one end of a relation, uuid.Nil if there is something wrong with it.
func (c *checker) end(i int, side string, r Ref) uuid.UUID {
	if id, ok := c.ids[r]; ok {
		return id
	}
	found := len(c.problems) + c.omitted
	c.elsewhere(fmt.Sprintf("relations[%d].%s", i, side), r)
	if len(c.problems)+c.omitted > found {
		return uuid.Nil
	}
	c.ids[r] = r.id(c.file, c.id)
	return c.ids[r]
}

// elsewhere checks an end that is neither the file nor one of its symbols.
func (c *checker) elsewhere(place string, r Ref) {
	c.text(r.Repository, maxRepository, "%s.repository", place)
	c.text(r.Path, maxPath, "%s.path", place)
	c.text(r.Qualified, maxText, "%s.qualified", place)
	c.number(r.Ordinal, "%s.ordinal", place)
	switch {
	case r.Repository != "" && r.Path == "":
		c.addf("%s: a repository without a path", place)
	case r.isFile():
	case r.Kind == "" || r.Qualified == "":
		c.addf("%s: want both kind and qualified, or neither for a file", place)
	case r.local():
		c.addf("%s: the file has no symbol %s", place, r)
	default:
		c.word(r.Kind, "function", "%s.kind", place)
	}
}

func (c *checker) required(s string, longest int, place string, args ...any) {
	if s == "" {
		c.addf("%s: missing", fmt.Sprintf(place, args...))
		return
	}
	c.text(s, longest, place, args...)
}

func (c *checker) text(s string, longest int, place string, args ...any) {
	switch {
	case len(s) > longest:
		c.addf("%s: %d bytes: at most %d", fmt.Sprintf(place, args...), len(s), longest)
	case !utf8.ValidString(s):
		c.addf("%s: no valid UTF-8: %.40q", fmt.Sprintf(place, args...), s)
	case strings.IndexByte(s, 0) >= 0:
		c.addf("%s: holds a NUL byte, which PostgreSQL does not take", fmt.Sprintf(place, args...))
	}
}

func (c *checker) number(n int, place string, args ...any) {
	if n < 0 || n > math.MaxInt32 {
		c.addf("%s: %d: want 0 to %d", fmt.Sprintf(place, args...), n, math.MaxInt32)
	}
}

// word checks names that become names in stores. Most are well known and cost little.
func (c *checker) word(s, example, place string, args ...any) {
	switch s {
	case "function", "method", "type", "field", "const", "var", "package",
		"contains", "calls", "references", "imports", "embeds":
		return
	}
	if !word.MatchString(s) {
		c.addf("%s: %.40q: want a lower case word, such as %s", fmt.Sprintf(place, args...), s, example)
	}
}
