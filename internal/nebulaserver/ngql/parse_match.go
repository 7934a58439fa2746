package ngql

// match reads MATCH of one path with single hops, and its RETURN.
func (p *parser) match() Stmt {
	if p.isName() {
		panic(&UnsupportedError{What: "MATCH with a path's name"})
	}
	m := &Match{First: p.matchNode()}
	for p.is("-") || p.is("<-") {
		m.Hops = append(m.Hops, p.matchHop())
	}
	if p.accept("WHERE") {
		m.Where = p.expr()
	}
	p.unsupported("WITH", "UNWIND", "MATCH", "OPTIONAL", ",")
	p.expect("RETURN")
	m.Return.Distinct = p.accept("DISTINCT")
	if !p.accept("*") {
		m.Return.Columns = p.columns()
	}
	if p.accept("ORDER", "BY") {
		m.Order = p.factors()
	}
	if p.accept("SKIP") {
		m.Skip = p.expr()
	}
	if p.accept("LIMIT") {
		m.Limit = p.expr()
	}
	return m
}

func (p *parser) matchNode() MatchNode {
	var n MatchNode
	p.expect("(")
	if p.isName() {
		n.Alias = p.name()
	}
	if p.is("{") {
		panic(&UnsupportedError{What: "properties of a node without a tag"})
	}
	for p.accept(":") {
		n.Tags = append(n.Tags, p.name())
		n.Props = append(n.Props, p.matchProps())
	}
	p.expect(")")
	return n
}

func (p *parser) matchProps() *MapOf {
	if !p.is("{") {
		return nil
	}
	m, ok := p.braces().(*MapOf)
	if !ok {
		p.unexpected()
	}
	return m
}

func (p *parser) matchHop() MatchHop {
	h := MatchHop{Direction: "-"}
	if p.accept("<-") {
		h.Direction = "<"
	} else {
		p.expect("-")
	}
	if p.accept("[") {
		if p.isName() {
			h.Alias = p.name()
		}
		if p.accept(":") {
			h.Types = []string{p.name()}
			for p.accept("|") {
				p.accept(":")
				h.Types = append(h.Types, p.name())
			}
		}
		p.unsupported("*", "{")
		p.expect("]")
	}
	if h.Direction == "-" && p.accept("->") {
		h.Direction = ">"
	} else {
		p.expect("-")
	}
	h.Node = p.matchNode()
	return h
}
