package ngql

import (
	"strconv"
	"strings"
)

// Limits of graphd's defaults.
const (
	maxQuery      = 4 << 20
	maxStatements = 512
	maxDepth      = 512 // of nesting: graphd has no limit but its stack
)

// Parse reads statements that are separated by semicolons. params are the names of the request's parameters.
// The error is a *SyntaxError, or *UnsupportedError for what graphd would understand and this package does not.
func Parse(src string, params map[string]bool) (stmts []Stmt, err error) {
	if len(src) > maxQuery {
		return nil, &SyntaxError{Text: "Query is too large (" + strconv.Itoa(len(src)) + " > " + strconv.Itoa(maxQuery) + ")."}
	}
	tokens, err := lex(src)
	if err != nil {
		return nil, err
	}
	p := &parser{src: src, tokens: tokens, params: params}
	defer func() {
		if r := recover(); r != nil {
			switch r := r.(type) {
			case *SyntaxError:
				stmts, err = nil, r
			case *UnsupportedError:
				stmts, err = nil, r
			default:
				panic(r)
			}
		}
	}()
	return p.sequence(), nil
}

// UnsupportedError names what graphd would understand and this package does not.
type UnsupportedError struct{ What string }

// Error says so.
func (e *UnsupportedError) Error() string { return "not interpreted by this server: " + e.What }

// parser fails by panic with one of these errors, which Parse turns into an error: no rule can forget one.
type parser struct {
	src    string
	tokens []token
	pos    int
	params map[string]bool
	bound  []string // variables of comprehensions and the like, innermost last
	depth  int
}

func (p *parser) sequence() []Stmt {
	var all []Stmt
	for {
		for p.accept(";") {
			continue
		}
		if p.peek().kind == end {
			return all
		}
		all = append(all, p.statement())
		if len(all) > maxStatements {
			panic(&SyntaxError{Text: "The maximum number of statements allowed has been exceeded"})
		}
		if p.peek().kind != end && !p.is(";") {
			p.unexpected()
		}
	}
}

func (p *parser) peek() token { return p.tokens[p.pos] }

func (p *parser) ahead(n int) token { return p.tokens[min(p.pos+n, len(p.tokens)-1)] }

func (p *parser) take() token {
	t := p.tokens[p.pos]
	if t.kind != end {
		p.pos++
	}
	return t
}

// is tells whether the next tokens are these keywords or symbols.
func (p *parser) is(words ...string) bool {
	for i, w := range words {
		if t := p.ahead(i); t.kind != keyword && t.kind != symbol || t.word != w {
			return false
		}
	}
	return true
}

func (p *parser) accept(words ...string) bool {
	if !p.is(words...) {
		return false
	}
	p.pos += len(words)
	return true
}

func (p *parser) expect(words ...string) {
	for _, w := range words {
		if !p.accept(w) {
			p.unexpected()
		}
	}
}

// unexpected refuses the next token.
func (p *parser) unexpected() {
	t := p.peek()
	p.fail("syntax error", t.start, t.end)
}

func (p *parser) fail(msg string, start, stop int) {
	panic(&SyntaxError{Text: msg + near(p.src, start, stop)})
}

// failFrom refuses what was read since the token at from.
func (p *parser) failFrom(from int, msg string) {
	p.fail(msg, p.tokens[from].start, p.tokens[max(from, p.pos-1)].end)
}

// nested guards against statements that would exhaust the stack.
func (p *parser) nested() func() {
	if p.depth++; p.depth > maxDepth {
		p.unexpected()
	}
	return func() { p.depth-- }
}

// isName tells whether the next token can be a name.
func (p *parser) isName() bool {
	t := p.peek()
	return t.kind == label || t.kind == keyword && keywords[t.word] == unreserved
}

// name reads a name. A keyword among them comes in lower case.
func (p *parser) name() string {
	if !p.isName() {
		p.unexpected()
	}
	t := p.take()
	if t.kind == keyword {
		return strings.ToLower(t.word)
	}
	return t.word
}

func (p *parser) names() []string {
	all := []string{p.name()}
	for p.accept(",") {
		all = append(all, p.name())
	}
	return all
}

func (p *parser) text() string {
	if p.peek().kind != text {
		p.unexpected()
	}
	return p.take().word
}

// whole reads an integer without a sign.
func (p *parser) whole() int64 {
	t := p.peek()
	if t.kind != integer {
		p.unexpected()
	}
	p.pos++
	if t.number > 1<<63-1 {
		p.fail("Out of range:", t.start, t.end)
	}
	return int64(t.number)
}

// signed reads an integer with or without a sign.
func (p *parser) signed() int64 {
	if p.accept("-") {
		if t := p.peek(); t.kind == integer && t.number == 1<<63 {
			p.pos++
			return -1 << 63
		}
		return -p.whole()
	}
	p.accept("+")
	return p.whole()
}

// unsupported refuses what begins with one of these words.
func (p *parser) unsupported(words ...string) {
	for _, w := range words {
		if p.is(w) {
			panic(&UnsupportedError{What: w})
		}
	}
}

func (p *parser) ifNotExists() bool { return p.accept("IF", "NOT", "EXISTS") }

func (p *parser) ifExists() bool { return p.accept("IF", "EXISTS") }
