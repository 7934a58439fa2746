package ngql

import (
	"strconv"
	"strings"
)

var typeWords = []string{
	"BOOL", "INT", "INT8", "INT16", "INT32", "INT64", "FLOAT", "DOUBLE", "STRING", "FIXED_STRING", "TIMESTAMP", "DATE",
	"TIME", "DATETIME", "DURATION", "GEOGRAPHY",
}

// columnType reads a type.
func (p *parser) columnType() ColumnType {
	for _, w := range typeWords {
		if !p.accept(w) {
			continue
		}
		t := ColumnType{Name: strings.ToLower(w)}
		switch w {
		case "INT":
			t.Name = "int64"
		case "FIXED_STRING":
			t.Len = p.fixedLen()
		case "GEOGRAPHY":
			if p.accept("(") {
				t.Shape = p.shape()
				p.expect(")")
			}
		}
		return t
	}
	p.unexpected()
	return ColumnType{}
}

func (p *parser) fixedLen() int {
	p.expect("(")
	t := p.peek()
	n := p.whole()
	if n < 1 || n > 1<<15-1 {
		p.fail("Out of range:", t.start, t.end)
	}
	p.expect(")")
	return int(n)
}

func (p *parser) shape() string {
	if !p.is("POINT") && !p.is("LINESTRING") && !p.is("POLYGON") {
		p.unexpected()
	}
	return p.name()
}

// schemaStmt reads what makes, changes and shows schemas, and what governs the server; nil: it is another
// statement.
func (p *parser) schemaStmt() Stmt {
	switch {
	case p.accept("USE"):
		return &Use{p.name()}
	case p.accept("CREATE"):
		return p.create()
	case p.accept("ALTER"):
		return p.alter()
	case p.accept("DROP"):
		what := p.what("SPACE", "TAG INDEX", "EDGE INDEX", "TAG", "EDGE", "USER")
		exists := p.ifExists()
		return &Drop{what, p.name(), exists}
	case p.accept("CLEAR"):
		what := "CLEAR " + p.what("SPACE")
		exists := p.ifExists()
		return &Drop{what, p.name(), exists}
	case p.accept("DESCRIBE"), p.accept("DESC"):
		return &Describe{p.what("SPACE", "TAG INDEX", "EDGE INDEX", "TAG", "EDGE"), p.name()}
	case p.accept("REBUILD"):
		r := &Rebuild{Edge: p.what("TAG", "EDGE") == "EDGE"}
		p.expect("INDEX")
		if p.isName() {
			r.Names = p.names()
		}
		return r
	case p.accept("SUBMIT", "JOB"):
		return &SubmitJob{p.what("STATS", "COMPACT", "FLUSH", "BALANCE LEADER")}
	}
	return p.userStmt()
}

func (p *parser) userStmt() Stmt {
	switch {
	case p.accept("CHANGE", "PASSWORD"):
		u := &User{Verb: "CHANGE", Name: p.name()}
		p.expect("FROM")
		u.Old = p.text()
		p.expect("TO")
		u.Password = p.text()
		return u
	case p.is("GRANT"), p.is("REVOKE"):
		return p.role()
	case p.accept("KILL"):
		if !p.accept("SESSION") {
			p.expect("SESSIONS")
		}
		return &KillSession{p.expr()}
	}
	return nil
}

func (p *parser) role() Stmt {
	r := &Role{Revoke: p.take().word == "REVOKE"}
	p.expect("ROLE")
	r.Role = p.what("GOD", "ADMIN", "DBA", "USER", "GUEST")
	p.expect("ON")
	r.Space = p.name()
	if r.Revoke {
		p.expect("FROM")
	} else {
		p.expect("TO")
	}
	r.User = p.name()
	return r
}

// what reads one of these phrases.
func (p *parser) what(phrases ...string) string {
	for _, w := range phrases {
		if p.accept(strings.Fields(w)...) {
			return w
		}
	}
	p.unexpected()
	return ""
}

func (p *parser) create() Stmt {
	switch what := p.what("SPACE", "TAG INDEX", "EDGE INDEX", "TAG", "EDGE", "USER"); what {
	case "SPACE":
		return p.createSpace()
	case "TAG", "EDGE":
		s := &CreateSchema{Edge: what == "EDGE", IfNotExists: p.ifNotExists(), Name: p.name()}
		p.expect("(")
		if !p.is(")") {
			s.Columns = p.columnDefs()
		}
		p.expect(")")
		s.Options = p.schemaOptions()
		return s
	case "USER":
		u := &User{Verb: "CREATE", IfNotExists: p.ifNotExists(), Name: p.name()}
		if p.accept("WITH", "PASSWORD") {
			u.Password = p.text()
		}
		return u
	default:
		return p.createIndex(what == "EDGE INDEX")
	}
}

func (p *parser) createSpace() Stmt {
	s := &CreateSpace{IfNotExists: p.ifNotExists(), Name: p.name(), Options: map[string]string{}}
	if p.accept("AS") {
		s.As = p.name()
		return s
	}
	if p.accept("(") {
		p.spaceOption(s)
		for p.accept(",") {
			p.spaceOption(s)
		}
		p.expect(")")
	}
	if p.accept("COMMENT") {
		s.Comment = p.comment()
	}
	return s
}

func (p *parser) spaceOption(s *CreateSpace) {
	word := p.what("PARTITION_NUM", "REPLICA_FACTOR", "VID_TYPE", "CHARSET", "COLLATE", "COMMENT")
	p.accept("=")
	switch word {
	case "VID_TYPE":
		t := p.columnType()
		s.VidType = &t
	case "COMMENT":
		c := p.text()
		s.Comment = &c
	case "CHARSET", "COLLATE":
		s.Options[strings.ToLower(word)] = p.name()
	default:
		t := p.peek()
		n := p.whole()
		if n < 1 || n > 1<<31-1 {
			p.fail("Out of range:", t.start, t.end)
		}
		s.Options[strings.ToLower(word)] = strconv.FormatInt(n, 10)
	}
}

func (p *parser) comment() *string {
	p.accept("=")
	c := p.text()
	return &c
}

func (p *parser) columnDefs() []ColumnDef {
	all := []ColumnDef{p.columnDef()}
	for p.accept(",") && !p.is(")") { // a comma at the end is allowed
		all = append(all, p.columnDef())
	}
	return all
}

func (p *parser) columnDef() ColumnDef {
	c := ColumnDef{Name: p.name(), Type: p.columnType()}
	for {
		switch {
		case p.accept("NULL"):
			c.NotNull = false
		case p.accept("NOT", "NULL"):
			c.NotNull = true
		case p.accept("DEFAULT"):
			c.Default = p.expr()
		case p.accept("COMMENT"):
			c.Comment = p.comment()
		default:
			return c
		}
	}
}

func (p *parser) schemaOptions() SchemaOptions {
	var o SchemaOptions
	for {
		switch {
		case p.accept("TTL_DURATION"):
			p.expect("=")
			n := p.whole()
			o.TTLDuration = &n
		case p.accept("TTL_COL"):
			p.expect("=")
			c := p.text()
			o.TTLCol = &c
		case p.accept("COMMENT"):
			o.Comment = p.comment()
		default:
			return o
		}
		p.accept(",")
	}
}

func (p *parser) alter() Stmt {
	if p.accept("USER") {
		u := &User{Verb: "ALTER", Name: p.name()}
		p.expect("WITH", "PASSWORD")
		u.Password = p.text()
		return u
	}
	a := &AlterSchema{Edge: p.what("TAG", "EDGE") == "EDGE", Name: p.name()}
	for p.is("ADD") || p.is("CHANGE") || p.is("DROP") {
		item := AlterItem{Op: p.take().word}
		p.expect("(")
		if item.Op == "DROP" {
			for _, n := range p.names() {
				item.Columns = append(item.Columns, ColumnDef{Name: n})
			}
		} else {
			item.Columns = p.columnDefs()
		}
		p.expect(")")
		a.Items = append(a.Items, item)
		p.accept(",")
	}
	a.Options = p.schemaOptions()
	return a
}

func (p *parser) createIndex(edge bool) Stmt {
	s := &CreateIndex{Edge: edge, IfNotExists: p.ifNotExists(), Name: p.name()}
	p.expect("ON")
	s.On = p.name()
	p.expect("(")
	for !p.is(")") {
		f := IndexField{Name: p.name()}
		if p.accept("(") {
			f.Len = int(p.whole())
			p.expect(")")
		}
		s.Fields = append(s.Fields, f)
		if !p.accept(",") {
			break
		}
	}
	p.expect(")")
	if p.accept("COMMENT") {
		s.Comment = p.comment()
	}
	return s
}

// show reads SHOW.
func (p *parser) show() Stmt {
	if p.accept("CREATE") {
		return &ShowCreate{p.what("SPACE", "TAG INDEX", "EDGE INDEX", "TAG", "EDGE"), p.name()}
	}
	what := p.what("SPACES", "TAGS", "EDGES", "TAG INDEXES", "EDGE INDEXES", "TAG INDEX STATUS", "EDGE INDEX STATUS", "HOSTS",
		"PARTS", "PART", "JOBS", "JOB", "LOCAL SESSIONS", "SESSIONS", "STATS", "USERS", "ROLES IN", "CHARSET", "COLLATION")
	s := &Show{What: what}
	switch what {
	case "JOB", "PART":
		s.Name = strconv.FormatInt(p.whole(), 10)
	case "ROLES IN":
		s.Name = p.name()
	case "TAG INDEXES", "EDGE INDEXES":
		if p.accept("BY") {
			s.Name = p.name()
		}
	case "HOSTS":
		if p.is("GRAPH") || p.is("META") || p.is("STORAGE") {
			s.Name = p.take().word
		}
	}
	return s
}
