package ngql

import (
	"slices"
	"strings"
)

// Aggregates are the functions over groups of rows.
var Aggregates = []string{"count", "sum", "avg", "max", "min", "std", "collect", "collect_set", "bit_and", "bit_or", "bit_xor"}

// call reads a function call. Unknown functions are refused when they are evaluated.
func (p *parser) call() Expr {
	from := p.pos
	name := p.take()
	c := &Call{Name: name.word}
	if name.kind == keyword {
		c.Name = strings.ToLower(name.word)
	}
	aggregate := slices.Contains(Aggregates, strings.ToLower(c.Name))
	p.expect("(")
	c.Distinct = p.accept("DISTINCT")
	if c.Distinct && !aggregate {
		p.failFrom(from, "Unknown aggregate function ")
	}
	if p.accept("*") {
		if !strings.EqualFold(c.Name, "count") {
			p.failFrom(from, "Could not apply aggregation function on `*`")
		}
		c.Args = []Expr{&Const{"*"}}
	} else if !p.is(")") {
		c.Args = append(c.Args, p.argument())
		for p.accept(",") {
			c.Args = append(c.Args, p.argument())
		}
	}
	p.expect(")")
	c.Aggregate = aggregate && len(c.Args) == 1
	if !c.Aggregate && !Function(c.Name, len(c.Args)) {
		p.fail("Unknown function ", name.start, name.end)
	}
	return c
}

// argument is an expression, or a vertex or edge as a whole.
func (p *parser) argument() Expr {
	switch {
	case p.accept("VERTEX"):
		return &Entity{"VERTEX"}
	case p.accept("EDGE"):
		return &Entity{"EDGE"}
	case p.is("$^") && p.ahead(1).word != ".", p.is("$$") && p.ahead(1).word != ".":
		return &Entity{p.take().word}
	}
	return p.expr()
}

func (p *parser) caseExpr() Expr {
	p.expect("CASE")
	c := &Case{}
	if !p.is("WHEN") {
		c.Of = p.expr()
	}
	for p.accept("WHEN") {
		c.When = append(c.When, p.expr())
		p.expect("THEN")
		c.Then = append(c.Then, p.expr())
	}
	if len(c.When) == 0 {
		p.unexpected()
	}
	if p.accept("ELSE") {
		c.Else = p.expr()
	}
	p.expect("END")
	return c
}

func (p *parser) bounds(name string) bool { return slices.Contains(p.bound, name) }

// within reads with names bound.
func (p *parser) within(read func() Expr, names ...string) Expr {
	p.bound = append(p.bound, names...)
	defer func() { p.bound = p.bound[:len(p.bound)-len(names)] }()
	return read()
}

// iterate reads all(x IN list WHERE …) and its kin, exists(…) and reduce(a = init, x IN list | …).
func (p *parser) iterate() Expr {
	it := &Iterate{Name: strings.ToLower(p.take().word)}
	p.expect("(")
	switch it.Name {
	case "exists":
		from := p.pos
		it.In = p.expr()
		switch it.In.(type) {
		case *Attr, *Subscript, *Input, *EndProp:
		default:
			p.failFrom(from, "The exists only accept LabelAttribute, Attribute and Subscript")
		}
	case "reduce":
		it.Acc = p.name()
		p.expect("=")
		it.Init = p.expr()
		p.expect(",")
		it.Var = p.name()
		p.expect("IN")
		it.In = p.expr()
		p.expect("|")
		it.Out = p.within(p.expr, it.Var, it.Acc)
	default:
		it.Var = p.name()
		p.expect("IN")
		it.In = p.expr()
		p.expect("WHERE")
		it.Where = p.within(p.expr, it.Var)
	}
	p.expect(")")
	return it
}

// list reads [a, b], or the comprehension [x IN list WHERE … | …].
func (p *parser) list() Expr {
	p.expect("[")
	if p.isName() && p.ahead(1).kind == keyword && p.ahead(1).word == "IN" {
		return p.comprehension()
	}
	l := &ListOf{}
	if !p.is("]") {
		l.Items = p.exprs()
	}
	p.expect("]")
	return l
}

// comprehension reads one; without WHERE and | it is a list of one IN expression.
func (p *parser) comprehension() Expr {
	it := &Iterate{Name: "[]", Var: p.name()}
	p.expect("IN")
	it.In = p.sum()
	if p.accept("WHERE") {
		it.Where = p.within(p.expr, it.Var)
	}
	if p.accept("|") {
		it.Out = p.within(p.expr, it.Var)
	}
	if it.Where != nil || it.Out != nil {
		p.expect("]")
		return it
	}
	l := &ListOf{Items: []Expr{&Binary{"IN", &Label{it.Var}, it.In}}}
	for p.accept(",") {
		l.Items = append(l.Items, p.expr())
	}
	p.expect("]")
	return l
}

func (p *parser) exprs() []Expr {
	all := []Expr{p.expr()}
	for p.accept(",") {
		all = append(all, p.expr())
	}
	return all
}

// braces reads a map, or a set.
func (p *parser) braces() Expr {
	p.expect("{")
	if p.accept("}") {
		return &MapOf{}
	}
	if !p.isName() && p.peek().kind != text || p.ahead(1).word != ":" {
		s := &ListOf{Items: p.exprs(), Set: true}
		p.expect("}")
		return s
	}
	m := &MapOf{}
	for {
		if p.peek().kind == text {
			m.Keys = append(m.Keys, p.take().word)
		} else {
			m.Keys = append(m.Keys, p.name())
		}
		p.expect(":")
		m.Values = append(m.Values, p.expr())
		if !p.accept(",") {
			break
		}
	}
	p.expect("}")
	return m
}
