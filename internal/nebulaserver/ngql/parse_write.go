package ngql

func (p *parser) insert() Stmt {
	switch {
	case p.accept("VERTEX"):
		return p.insertVertex()
	case p.accept("EDGE"):
		return p.insertEdge()
	}
	p.unexpected()
	return nil
}

func (p *parser) insertVertex() Stmt {
	s := &InsertVertex{IfNotExists: p.ifNotExists(), IgnoreIndex: p.accept("IGNORE_EXISTED_INDEX")}
	for !p.is("VALUES") || len(s.Tags) == 0 && p.valuesIsName() {
		s.Tags = append(s.Tags, p.tagProps())
		if !p.accept(",") {
			break
		}
	}
	p.expect("VALUES")
	for {
		row := VertexRow{ID: p.vid()}
		p.expect(":")
		row.Values = p.rowValues()
		s.Rows = append(s.Rows, row)
		if !p.accept(",") {
			return s
		}
	}
}

// valuesIsName tells a tag that is called values from the keyword.
func (p *parser) valuesIsName() bool {
	t := p.ahead(1)
	return t.kind == symbol && (t.word == "(" || t.word == ",") || t.kind == keyword && t.word == "VALUES"
}

func (p *parser) tagProps() TagProps {
	t := TagProps{Name: p.name()}
	if p.accept("(") {
		t.Props = []string{}
		if !p.is(")") {
			t.Props = p.names()
		}
		p.expect(")")
	}
	return t
}

func (p *parser) rowValues() []Expr {
	p.expect("(")
	if p.accept(")") {
		return nil
	}
	all := p.exprs()
	p.expect(")")
	return all
}

func (p *parser) insertEdge() Stmt {
	s := &InsertEdge{IfNotExists: p.ifNotExists(), IgnoreIndex: p.accept("IGNORE_EXISTED_INDEX"), Edge: p.tagProps()}
	p.expect("VALUES")
	for {
		row := EdgeRow{Key: p.edgeKey()}
		p.expect(":")
		row.Values = p.rowValues()
		s.Rows = append(s.Rows, row)
		if !p.accept(",") {
			return s
		}
	}
}

// update reads both syntaxes: UPDATE VERTEX ON tag vid, and UPDATE VERTEX vid SET tag.prop; UPDATE EDGE ON
// edge key, and UPDATE EDGE key OF edge.
func (p *parser) update(insertable bool) Stmt {
	s := &Update{Insertable: insertable}
	if s.Edge = p.accept("EDGE"); !s.Edge {
		p.expect("VERTEX")
	}
	if p.accept("ON") {
		s.Name = p.name()
	}
	if s.Edge {
		s.Key = p.edgeKey()
	} else {
		s.ID = p.vid()
	}
	if s.Edge && s.Name == "" {
		p.expect("OF")
		s.Name = p.name()
	}
	p.expect("SET")
	s.Items = append(s.Items, p.setItem())
	for p.accept(",") {
		s.Items = append(s.Items, p.setItem())
	}
	if p.accept("WHEN") {
		s.When = p.expr()
	}
	s.Yield = p.yield()
	return s
}

func (p *parser) setItem() SetItem {
	i := SetItem{Prop: p.name()}
	if p.accept(".") {
		i.Sym, i.Prop = i.Prop, p.name()
	}
	p.expect("=")
	i.Value = p.expr()
	return i
}

func (p *parser) deleteStmt() Stmt {
	switch {
	case p.accept("VERTEX"):
		return &DeleteVertex{Vids: p.vids(), WithEdge: p.accept("WITH", "EDGE")}
	case p.accept("TAG"):
		var tags []string
		if !p.accept("*") {
			tags = p.names()
		}
		p.expect("FROM")
		return &DeleteTag{tags, p.vids()}
	case p.accept("EDGE"):
		s := &DeleteEdge{Edge: p.name()}
		s.Keys, s.Ref = p.edgeKeys()
		return s
	}
	p.unexpected()
	return nil
}
