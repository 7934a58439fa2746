package gosource

import (
	goast "go/ast"
	"go/token"
	"strings"

	"github.com/outflow-db/outflow/ast"
)

// declaration is something that a file declares at package level, or within a type there.
type declaration struct {
	name   string // within the package: Server, Server.Addr, Server.Serve
	kind   string
	short  string // the name as in the source
	parent string // the type it belongs to, by its name within the package; "" for none
	from   token.Pos
	to     token.Pos
	sign   [2]token.Pos // what is its signature
	prefix string       // what goes before it
	doc    []*goast.CommentGroup
	uses   []goast.Node // where it mentions others
	embeds []goast.Expr // the embedded types
}

// homely says how well the file suits as the home of its package.
func (f *source) homely() int {
	n := 0
	if !strings.HasSuffix(f.path, "_test.go") {
		n += 2
	}
	if f.tree.Doc != nil {
		n++
	}
	return n
}

// declare notes all declarations in the scope of the file's package.
func (f *source) declare() {
	ordinals := map[ast.Ref]int{}
	f.declarations(func(d *declaration) { f.scope.add(d.name, f.ref(d, ordinals)) })
}

// ref is the reference to a declaration. It counts equal ones in ordinals.
func (f *source) ref(d *declaration, ordinals map[ast.Ref]int) ast.Ref {
	r := ast.Ref{Path: f.path, Kind: d.kind, Qualified: f.scope.qualified + "." + d.name}
	n := ordinals[r]
	ordinals[r]++
	r.Ordinal = n
	return r
}

// declarations calls fn for each declaration, types before what belongs to them.
func (f *source) declarations(fn func(*declaration)) {
	for _, d := range f.tree.Decls {
		switch d := d.(type) {
		case *goast.FuncDecl:
			fn(function(d))
		case *goast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *goast.TypeSpec:
					typeSpec(d, spec, fn)
				case *goast.ValueSpec:
					valueSpec(d, spec, fn)
				}
			}
		}
	}
}

func function(d *goast.FuncDecl) *declaration {
	out := &declaration{
		name: d.Name.Name, short: d.Name.Name, kind: "function", from: d.Pos(), to: d.End(),
		sign: [2]token.Pos{d.Pos(), d.Type.End()}, doc: []*goast.CommentGroup{d.Doc},
	}
	if d.Recv != nil {
		out.kind = "method"
		if out.parent = receiver(d.Recv); out.parent != "" {
			out.name = out.parent + "." + out.name
		}
		out.uses = append(out.uses, d.Recv)
	}
	out.uses = append(out.uses, d.Type)
	if d.Body != nil {
		out.uses = append(out.uses, d.Body)
	}
	return out
}

// receiver is the name of a receiver's type: of (l *List[T]) it is List.
func receiver(list *goast.FieldList) string {
	if len(list.List) == 0 {
		return ""
	}
	if id, ok := base(list.List[0].Type).(*goast.Ident); ok {
		return id.Name
	}
	return ""
}

// base is a type's expression without pointers, parentheses and type arguments.
func base(e goast.Expr) goast.Expr {
	for {
		switch t := e.(type) {
		case *goast.StarExpr:
			e = t.X
		case *goast.ParenExpr:
			e = t.X
		case *goast.IndexExpr:
			e = t.X
		case *goast.IndexListExpr:
			e = t.X
		default:
			return e
		}
	}
}

func typeSpec(d *goast.GenDecl, s *goast.TypeSpec, fn func(*declaration)) {
	out := &declaration{
		name: s.Name.Name, short: s.Name.Name, kind: "type", from: s.Pos(), to: s.End(), prefix: "type ",
		sign: [2]token.Pos{s.Pos(), s.End()}, doc: comments(d, s.Doc, s.Comment),
	}
	if s.TypeParams != nil {
		out.uses = append(out.uses, s.TypeParams)
	}
	switch t := s.Type.(type) {
	case *goast.StructType:
		out.sign[1] = t.Struct + token.Pos(len("struct"))
		out.embeds = unnamed(t.Fields)
		fn(out)
		fields(t, out.name, fn)
	case *goast.InterfaceType:
		out.sign[1] = t.Interface + token.Pos(len("interface"))
		out.embeds = unnamed(t.Methods)
		for _, e := range out.embeds {
			out.uses = append(out.uses, e)
		}
		fn(out)
		methods(t, out.name, fn)
	default:
		out.uses = append(out.uses, s.Type)
		fn(out)
	}
}

// unnamed is what a struct or an interface embeds.
func unnamed(list *goast.FieldList) (types []goast.Expr) {
	for _, f := range list.List {
		if len(f.Names) == 0 {
			types = append(types, f.Type)
		}
	}
	return types
}

// fields declares a struct's fields, and those of structs within it.
func fields(t *goast.StructType, parent string, fn func(*declaration)) {
	for _, f := range t.Fields.List {
		out := declaration{
			kind: "field", parent: parent, from: f.Pos(), to: f.End(),
			sign: [2]token.Pos{f.Type.Pos(), f.Type.End()}, doc: []*goast.CommentGroup{f.Doc, f.Comment}, uses: []goast.Node{f.Type},
		}
		names := f.Names
		if len(names) == 0 {
			names = embedded(f.Type)
		}
		for _, id := range names {
			d := out
			d.name, d.short = parent+"."+id.Name, id.Name
			if len(f.Names) > 0 {
				d.prefix = id.Name + " "
			}
			inner, ok := f.Type.(*goast.StructType)
			if !ok {
				fn(&d)
				continue
			}
			d.uses, d.sign[1] = nil, inner.Struct+token.Pos(len("struct"))
			fn(&d)
			fields(inner, d.name, fn)
		}
	}
}

// embedded is the name that an embedded field has.
func embedded(e goast.Expr) []*goast.Ident {
	switch t := base(e).(type) {
	case *goast.Ident:
		return []*goast.Ident{t}
	case *goast.SelectorExpr:
		return []*goast.Ident{t.Sel}
	}
	return nil
}

// methods declares an interface's methods.
func methods(t *goast.InterfaceType, parent string, fn func(*declaration)) {
	for _, m := range t.Methods.List {
		out := declaration{
			kind: "method", parent: parent, from: m.Pos(), to: m.End(),
			sign: [2]token.Pos{m.Pos(), m.Type.End()}, doc: []*goast.CommentGroup{m.Doc, m.Comment}, uses: []goast.Node{m.Type},
		}
		for _, id := range m.Names {
			d := out
			d.name, d.short = parent+"."+id.Name, id.Name
			fn(&d)
		}
	}
}

func valueSpec(d *goast.GenDecl, s *goast.ValueSpec, fn func(*declaration)) {
	for i, id := range s.Names {
		out := &declaration{
			name: id.Name, short: id.Name, kind: d.Tok.String(), from: s.Pos(), to: s.End(), prefix: d.Tok.String() + " ",
			sign: [2]token.Pos{s.Pos(), s.End()}, doc: comments(d, s.Doc, s.Comment),
		}
		if s.Type != nil {
			out.uses = append(out.uses, s.Type)
		}
		switch {
		case len(s.Values) == len(s.Names):
			out.uses = append(out.uses, s.Values[i])
		case len(s.Values) == 1:
			out.uses = append(out.uses, s.Values[0])
		}
		fn(out)
	}
}

// comments are those of a spec, and of the declaration if it has no other spec.
func comments(d *goast.GenDecl, own ...*goast.CommentGroup) []*goast.CommentGroup {
	if !d.Lparen.IsValid() {
		return append(own, d.Doc)
	}
	return own
}
