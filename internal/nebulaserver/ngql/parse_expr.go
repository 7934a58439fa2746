package ngql

import (
	"slices"
	"strings"

	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

// expr reads an expression. From the loosest: ?:, OR XOR, AND, NOT, comparisons, + -, * / %, !, signs, casts.
func (p *parser) expr() Expr {
	defer p.nested()()
	e := p.or()
	if !p.accept("?") {
		return e
	}
	then := p.expr()
	p.expect(":")
	return &Case{When: []Expr{e}, Then: []Expr{then}, Else: p.expr(), Ternary: true}
}

func (p *parser) or() Expr {
	e := p.and()
	for {
		switch {
		case p.accept("OR"), p.accept("||"):
			e = &Binary{"OR", e, p.and()}
		case p.accept("XOR"):
			e = &Binary{"XOR", e, p.and()}
		default:
			return e
		}
	}
}

func (p *parser) and() Expr {
	e := p.not()
	for p.accept("AND") || p.accept("&&") {
		e = &Binary{"AND", e, p.not()}
	}
	return e
}

func (p *parser) not() Expr {
	if p.accept("NOT") {
		defer p.nested()()
		return &Unary{"!", p.not()}
	}
	return p.relation()
}

var relations = []string{"==", "!=", "<>", "<=", ">=", "=~", "<", ">", "=", "IN", "CONTAINS"}

func (p *parser) relation() Expr {
	e := p.sum()
	for {
		switch op := p.relationOp(); op {
		case "":
			return e
		case "IS NULL", "IS NOT NULL", "IS EMPTY", "IS NOT EMPTY":
			e = &Unary{op, e}
		default:
			e = &Binary{op, e, p.sum()}
		}
	}
}

// relationOp reads an operator of comparison; empty: there is none.
func (p *parser) relationOp() string {
	if t := p.peek(); (t.kind == symbol || t.kind == keyword) && slices.Contains(relations, t.word) && t.word != "=" {
		p.pos++
		if t.word == "<>" {
			return "!="
		}
		return t.word
	}
	not := ""
	if p.is("NOT") && (p.ahead(1).word == "IN" || p.ahead(1).word == "CONTAINS" || p.ahead(1).word == "STARTS" || p.ahead(1).word == "ENDS") {
		p.pos++
		not = "NOT "
	}
	switch {
	case p.accept("STARTS", "WITH"):
		return not + "STARTS WITH"
	case p.accept("ENDS", "WITH"):
		return not + "ENDS WITH"
	case not != "" && p.accept("IN"), not != "" && p.accept("CONTAINS"):
		return not + p.tokens[p.pos-1].word
	case not != "":
		p.unexpected()
	case p.is("IS"):
		return p.isOp()
	}
	return ""
}

func (p *parser) isOp() string {
	p.expect("IS")
	op := "IS "
	if p.accept("NOT") {
		op += "NOT "
	}
	switch t := p.peek(); {
	case p.accept("NULL"):
		return op + "NULL"
	case t.kind == label && strings.EqualFold(t.word, "EMPTY"):
		p.pos++
		return op + "EMPTY"
	}
	p.unexpected()
	return ""
}

func (p *parser) sum() Expr {
	e := p.product()
	for p.is("+") || p.is("-") {
		op := p.take().word
		e = &Binary{op, e, p.product()}
	}
	return e
}

func (p *parser) product() Expr {
	e := p.unary()
	for p.is("*") || p.is("/") || p.is("%") {
		op := p.take().word
		e = &Binary{op, e, p.unary()}
	}
	return e
}

func (p *parser) unary() Expr {
	switch {
	case p.is("-") && p.ahead(1).kind == integer:
		p.pos++
		t := p.take()
		if t.number == 1<<63 {
			return p.suffix(&Const{int64(-1 << 63)})
		}
		return &Unary{"-", p.suffix(p.int(t))}
	case p.is("-"), p.is("+"), p.is("!"):
		defer p.nested()()
		op := p.take().word
		return &Unary{op, p.unary()}
	case p.is("(") && p.isCast():
		defer p.nested()()
		p.expect("(")
		t := p.columnType()
		p.expect(")")
		return &Cast{t, p.unary()}
	}
	return p.suffix(p.primary())
}

// isCast tells (type) from an expression in parentheses.
func (p *parser) isCast() bool {
	t := p.ahead(1)
	return t.kind == keyword && slices.Contains(typeWords, t.word) && p.ahead(2).word == ")" && p.ahead(2).kind == symbol
}

func (p *parser) int(t token) Expr {
	if t.number > 1<<63-1 {
		p.fail("Out of range:", t.start, t.end)
	}
	return &Const{int64(t.number)}
}

// suffix reads what follows an expression without a blank in meaning: .name and [subscripts].
func (p *parser) suffix(e Expr) Expr {
	for {
		switch {
		case p.is("."):
			e = p.attribute(e)
		case p.is("["):
			e = p.subscript(e)
		default:
			return e
		}
	}
}

func (p *parser) attribute(e Expr) Expr {
	p.expect(".")
	if l, ok := e.(*Label); ok && slices.Contains(keyProps, p.peek().word) && !p.bounds(l.Name) {
		return &KeyProp{l.Name, p.take().word}
	}
	return &Attr{e, p.name()}
}

var keyProps = []string{"_src", "_dst", "_rank", "_type"}

func (p *parser) subscript(e Expr) Expr {
	p.expect("[")
	if p.accept("..") {
		to := p.expr()
		p.expect("]")
		return &Subscript{X: e, To: to, Range: true}
	}
	i := p.expr()
	if !p.accept("..") {
		p.expect("]")
		return &Subscript{X: e, I: i}
	}
	s := &Subscript{X: e, I: i, Range: true}
	if !p.is("]") {
		s.To = p.expr()
	}
	p.expect("]")
	return s
}

func (p *parser) primary() Expr {
	switch t := p.peek(); t.kind {
	case integer:
		p.pos++
		return p.int(t)
	case float:
		p.pos++
		return &Const{t.real}
	case text:
		p.pos++
		return &Const{t.word}
	case variable:
		return p.variable()
	case label:
		if p.ahead(1).word == "(" && p.ahead(1).kind == symbol && !t.quoted {
			return p.call()
		}
		return &Label{p.name()}
	case keyword:
		return p.keywordExpr()
	default:
		return p.symbolExpr()
	}
}

func (p *parser) variable() Expr {
	t := p.take()
	if p.params[t.word] {
		return &Param{t.word}
	}
	if !p.accept(".") {
		return &Variable{t.word}
	}
	if p.accept("*") {
		return &Input{t.word, "*"}
	}
	return &Input{t.word, p.name()}
}

func (p *parser) keywordExpr() Expr {
	t := p.peek()
	switch t.word {
	case "TRUE", "FALSE":
		p.pos++
		return &Const{t.word == "TRUE"}
	case "NULL":
		p.pos++
		return &Const{value.NULL}
	case "CASE":
		return p.caseExpr()
	case "ALL", "ANY", "SINGLE", "NONE", "REDUCE", "EXISTS":
		if p.ahead(1).word == "(" {
			return p.iterate()
		}
	case "TIMESTAMP", "DATE", "TIME", "DATETIME", "DURATION", "TAGS", "SIGN", "LEFT":
		if p.ahead(1).word == "(" {
			return p.call()
		}
	}
	return &Label{p.name()}
}

func (p *parser) symbolExpr() Expr {
	switch t := p.peek(); t.word {
	case "(":
		p.pos++
		e := p.expr()
		p.expect(")")
		return e
	case "[":
		return p.list()
	case "{":
		return p.braces()
	case "$-":
		if p.ahead(1).word != "." {
			p.unexpected()
		}
		p.pos += 2
		if p.accept("*") {
			return &Input{"", "*"}
		}
		return &Input{"", p.name()}
	case "$^", "$$":
		if p.ahead(1).word != "." {
			p.unexpected()
		}
		p.pos += 2
		tag := p.name()
		p.expect(".")
		return &EndProp{t.word, tag, p.name()}
	case "*":
		if p.ahead(1).word == "." {
			p.pos += 2
			return &KeyProp{"*", p.name()}
		}
	}
	p.unexpected()
	return nil
}
