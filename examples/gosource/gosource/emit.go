package gosource

import (
	goast "go/ast"
	"go/token"
	"path"
	"strings"

	"github.com/outflow-db/outflow/ast"
)

// emitter writes down what a file has.
type emitter struct {
	*source
	out      *ast.SourceFile
	ordinals map[ast.Ref]int
	imports  map[string]*scope // by the name they have in the file
	dots     []*scope          // imported with a dot
}

func (e *emitter) run() {
	e.resolveImports()
	file := ast.Ref{Path: e.path}
	if e.scope.home == e.path {
		own := e.scope.find("", e.path).Ref
		e.symbol(own, &declaration{
			short: e.scope.name, from: e.tree.Package, to: e.tree.Name.End(),
			sign: [2]token.Pos{e.tree.Package, e.tree.Name.End()}, doc: []*goast.CommentGroup{e.tree.Doc},
		})
		e.relation(file, "contains", own)
	}
	e.declarations(e.declaration)
}

// resolveImports finds the packages that the file imports, and says that it does.
func (e *emitter) resolveImports() {
	e.imports = map[string]*scope{}
	seen := map[*scope]bool{}
	for _, s := range e.tree.Imports {
		dir, ok := e.x.find(path.Dir(e.path), strings.Trim(s.Path.Value, "\"`"))
		if !ok {
			continue
		}
		imported := e.x.scopes(dir).primary
		if !seen[imported] {
			e.relation(ast.Ref{Path: e.path}, "imports", imported.find("", e.path).Ref)
		}
		seen[imported] = true
		switch {
		case s.Name == nil:
			e.imports[imported.name] = imported
		case s.Name.Name == ".":
			e.dots = append(e.dots, imported)
		default:
			e.imports[s.Name.Name] = imported
		}
	}
}

// declaration writes a declaration with its relations.
func (e *emitter) declaration(d *declaration) {
	own := e.ref(d, e.ordinals)
	e.symbol(own, d)
	e.relation(e.parent(d), "contains", own)
	u := &user{emitter: e, from: own, seen: map[use]bool{}}
	for _, x := range d.embeds {
		u.relate("embeds", e.typeOf(x))
	}
	for _, n := range d.uses {
		goast.Walk(u, n)
	}
}

// parent is what contains the declaration: its type if that is in the file, else the file.
func (e *emitter) parent(d *declaration) ast.Ref {
	if d.parent != "" {
		if p := e.scope.find(d.parent, e.path); p != nil && p.Path == e.path {
			return p.Ref
		}
	}
	return ast.Ref{Path: e.path}
}

func (e *emitter) symbol(own ast.Ref, d *declaration) {
	s := ast.Symbol{
		Kind: own.Kind, Name: d.short, Qualified: own.Qualified, Ordinal: own.Ordinal,
		Signature: e.signature(d), Doc: doc(d.doc),
		LineStart: e.at(d.from).Line, LineEnd: e.at(d.to).Line,
	}
	if !e.x.options.NoEmbeddings {
		if v := Embed(Weighted{s.Name, 3}, Weighted{s.Qualified, 1}, Weighted{s.Signature, 1}, Weighted{s.Doc, 1}); v != nil {
			s.Embeddings = []ast.Embedding{{Model: Model, Vector: v}}
		}
	}
	e.out.Symbols = append(e.out.Symbols, s)
}

func (e *emitter) relation(from ast.Ref, typ string, to ast.Ref) {
	e.out.Relations = append(e.out.Relations, ast.Relation{Source: e.near(from), Type: typ, Target: e.near(to)})
}

// near is the reference as the file itself states it.
func (e *emitter) near(r ast.Ref) ast.Ref {
	if r.Path == e.path {
		r.Path = ""
	}
	return r
}

// at is a place in the file itself, whatever its line comments say.
func (e *emitter) at(p token.Pos) token.Position { return e.fset.PositionFor(p, false) }

const longest = 400 // bytes of a signature

// signature is the source of the declaration's head, in one line.
func (e *emitter) signature(d *declaration) string {
	from, to := e.at(d.sign[0]).Offset, e.at(d.sign[1]).Offset
	s := d.prefix + strings.Join(strings.Fields(string(e.text[from:to])), " ")
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + " ..."
	}
	return s
}

// doc is the text of comments.
func doc(groups []*goast.CommentGroup) string {
	var all []string
	for _, g := range groups {
		if text := strings.TrimSpace(g.Text()); text != "" {
			all = append(all, text)
		}
	}
	return strings.ReplaceAll(strings.Join(all, "\n"), "\x00", "")
}
