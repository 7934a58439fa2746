package ngql

// statement reads one statement of a sequence.
func (p *parser) statement() Stmt {
	t := p.peek()
	if t.kind == variable && p.ahead(1).word == "=" && p.ahead(1).kind == symbol {
		if p.params[t.word] {
			p.fail("Variable definition conflicts with a parameter", t.start, t.end)
		}
		p.pos += 2
		return &Assign{t.word, p.setOps()}
	}
	if s := p.schemaStmt(); s != nil {
		return s
	}
	return p.setOps()
}

// setOps reads pipes that UNION and the like combine.
func (p *parser) setOps() Stmt {
	s := p.pipe()
	for {
		var op string
		switch {
		case p.accept("UNION", "ALL"):
			op = "UNION ALL"
		case p.accept("UNION", "DISTINCT"), p.accept("UNION"):
			op = "UNION"
		case p.accept("INTERSECT"), p.accept("MINUS"):
			op = p.tokens[p.pos-1].word
		default:
			return s
		}
		s = &SetOp{op, s, p.pipe()}
	}
}

func (p *parser) pipe() Stmt {
	s := p.simple()
	for p.accept("|") {
		s = &Pipe{s, p.simple()}
	}
	return s
}

// simple reads a statement that can stand in a pipe, and those that write.
func (p *parser) simple() Stmt {
	defer p.nested()()
	t := p.peek()
	if t.kind == symbol && t.word == "(" {
		p.pos++
		s := p.setOps()
		p.expect(")")
		return s
	}
	if t.kind != keyword {
		p.unexpected()
	}
	p.pos++
	switch t.word {
	case "GO":
		return p.goStmt()
	case "FETCH":
		return p.fetch()
	case "LOOKUP":
		return p.lookup()
	case "YIELD", "RETURN":
		return p.yieldStmt()
	case "ORDER":
		p.expect("BY")
		return &OrderBy{p.factors()}
	case "LIMIT", "OFFSET", "SKIP":
		return p.limit(t.word)
	case "GROUP":
		p.expect("BY")
		return &GroupBy{p.columns(), *p.yieldRequired()}
	case "UNWIND":
		e := p.expr()
		p.expect("AS")
		u := &Unwind{e, p.name()}
		p.unsupported("WITH", "UNWIND", "MATCH", "OPTIONAL", "RETURN")
		return u
	case "MATCH":
		return p.match()
	case "INSERT":
		return p.insert()
	case "UPDATE", "UPSERT":
		return p.update(t.word == "UPSERT")
	case "DELETE":
		return p.deleteStmt()
	case "SHOW":
		return p.show()
	}
	p.pos--
	p.unsupported("FIND", "GET", "EXPLAIN", "PROFILE", "BALANCE", "OPTIONAL", "WITH", "ADD", "REMOVE", "MERGE", "DOWNLOAD",
		"INGEST", "RECOVER", "STOP", "SIGN", "SIGNOUT", "DIVIDE")
	p.unexpected()
	return nil
}

// vid reads a literal or a function call; parameters and variables are refused as graphd refuses them.
func (p *parser) vid() Expr {
	switch t := p.peek(); {
	case t.kind == text:
		p.pos++
		return &Const{t.word}
	case t.kind == integer, p.is("-"), p.is("+"):
		return &Const{p.signed()}
	case t.kind == variable && p.params[t.word]:
		p.fail("Parameter is not supported in vid", t.start, t.end)
	case t.kind == variable:
		p.fail("Variable is not supported in vid", t.start, t.end)
	case (t.kind == label && !t.quoted || t.kind == keyword) && p.ahead(1).word == "(":
		if c, ok := p.primary().(*Call); ok {
			return c
		}
	}
	p.unexpected()
	return nil
}

// ref reads $-.name or $var.name if that is what comes.
func (p *parser) ref() *Input {
	t := p.peek()
	if !p.is("$-", ".") && (t.kind != variable || p.ahead(1).word != "." || p.params[t.word]) {
		return nil
	}
	if in, ok := p.primary().(*Input); ok {
		return in
	}
	return nil
}

func (p *parser) vids() Vids {
	if r := p.ref(); r != nil {
		return Vids{Ref: r}
	}
	all := []Expr{p.vid()}
	for p.accept(",") {
		all = append(all, p.vid())
	}
	return Vids{List: all}
}

// edgeKeys reads literals, or one key of references.
func (p *parser) edgeKeys() (keys []EdgeKey, ref bool) {
	if p.is("$-", ".") || p.peek().kind == variable && p.ahead(1).word == "." {
		k := EdgeKey{Src: p.ref()}
		p.expect("->")
		k.Dst = p.refRequired()
		if p.accept("@") {
			k.Rank = p.refRequired()
		}
		return []EdgeKey{k}, true
	}
	keys = []EdgeKey{p.edgeKey()}
	for p.accept(",") {
		keys = append(keys, p.edgeKey())
	}
	return keys, false
}

func (p *parser) refRequired() Expr {
	r := p.ref()
	if r == nil {
		p.unexpected()
	}
	return r
}

func (p *parser) edgeKey() EdgeKey {
	k := EdgeKey{Src: p.vid()}
	p.expect("->")
	k.Dst = p.vid()
	if p.accept("@") {
		k.Rank = &Const{p.signed()}
	}
	return k
}

func (p *parser) fetch() Stmt {
	p.expect("PROP", "ON")
	if p.accept("*") {
		return &FetchVertex{Vids: p.vids(), Yield: p.yield()}
	}
	names := p.names()
	if len(names) == 1 && p.edgeFollows() {
		f := &FetchEdge{Edge: names[0]}
		f.Keys, f.Ref = p.edgeKeys()
		f.Yield = p.yield()
		return f
	}
	return &FetchVertex{Tags: names, Vids: p.vids(), Yield: p.yield()}
}

// edgeFollows looks for the arrow of an edge before the clause that ends the ids.
func (p *parser) edgeFollows() bool {
	for i := 0; ; i++ {
		switch t := p.ahead(i); {
		case t.kind == symbol && t.word == "->":
			return true
		case t.kind == end, t.kind == symbol && (t.word == ";" || t.word == "|"), t.kind == keyword && t.word == "YIELD":
			return false
		}
	}
}

func (p *parser) lookup() Stmt {
	p.expect("ON")
	l := &Lookup{On: p.name()}
	if p.accept("WHERE") {
		l.Where = p.expr()
	}
	l.Yield = p.yield()
	return l
}

func (p *parser) goStmt() Stmt {
	g := &Go{From: 1, To: 1}
	if p.peek().kind == integer {
		g.To = p.whole()
		g.From = g.To
		if p.accept("TO") {
			g.To = p.whole()
		}
		if !p.accept("STEPS") {
			p.expect("STEP")
		}
	}
	p.expect("FROM")
	g.Vids = p.vids()
	p.expect("OVER")
	if !p.accept("*") {
		g.Over = p.names()
	}
	if p.accept("REVERSELY") || p.accept("BIDIRECT") {
		g.Direction = p.tokens[p.pos-1].word
	}
	if p.accept("WHERE") {
		g.Where = p.expr()
	}
	g.Yield = p.yield()
	if p.is("SAMPLE") || p.is("LIMIT") {
		g.Sample = p.take().word == "SAMPLE"
		from := p.pos
		g.Truncate = p.expr()
		Walk(g.Truncate, func(e Expr) {
			if _, ok := e.(*Param); ok {
				p.failFrom(from, "Parameter is not supported in sample clause")
			}
		})
	}
	return g
}

func (p *parser) yieldRequired() *Yield {
	y := p.yield()
	if y == nil {
		p.unexpected()
	}
	return y
}

func (p *parser) yield() *Yield {
	if !p.accept("YIELD") {
		return nil
	}
	return &Yield{Distinct: p.accept("DISTINCT"), Columns: p.columns()}
}

func (p *parser) columns() []Column {
	all := []Column{p.column()}
	for p.accept(",") {
		all = append(all, p.column())
	}
	return all
}

func (p *parser) column() Column {
	from := p.pos
	var c Column
	t := p.peek()
	switch {
	case p.accept("VERTEX"), p.accept("EDGE"), p.accept("VERTICES"), p.accept("EDGES"),
		(p.is("$^") || p.is("$$")) && p.ahead(1).word != "." && p.accept(t.word):
		if !p.is("AS") {
			p.failFrom(from, "please add alias when using `"+lower(t)+"'.")
		}
		c.Expr = &Entity{t.word}
	default:
		c.Expr = p.expr()
		p.noVariables(c.Expr, from)
	}
	if p.accept("AS") {
		c.Alias = p.name()
	}
	return c
}

func lower(t token) string {
	if t.kind == symbol {
		return t.word
	}
	return map[string]string{"VERTEX": "vertex", "EDGE": "edge", "VERTICES": "vertices", "EDGES": "edges"}[t.word]
}

func (p *parser) noVariables(e Expr, from int) {
	Walk(e, func(e Expr) {
		if _, ok := e.(*Variable); ok {
			p.failFrom(from, "Direct output of variable is prohibited")
		}
	})
}

func (p *parser) yieldStmt() Stmt {
	y := &YieldStmt{}
	y.Yield.Distinct = p.accept("DISTINCT")
	y.Yield.Columns = p.columns()
	if p.accept("WHERE") {
		y.Where = p.expr()
	}
	return y
}

func (p *parser) factors() []Factor {
	var all []Factor
	for {
		f := Factor{Expr: p.expr()}
		if p.accept("DESC") || p.accept("DESCENDING") {
			f.Desc = true
		} else if !p.accept("ASC") {
			p.accept("ASCENDING")
		}
		all = append(all, f)
		if !p.accept(",") {
			return all
		}
	}
}

func (p *parser) limit(word string) Stmt {
	n := p.whole()
	switch {
	case word != "LIMIT" && p.accept("LIMIT"):
		return &Limit{n, p.whole()}
	case word != "LIMIT":
		return &Limit{n, -1}
	case p.accept(","):
		return &Limit{n, p.whole()}
	case p.accept("OFFSET"), p.accept("SKIP"):
		return &Limit{p.whole(), n}
	}
	return &Limit{0, n}
}
