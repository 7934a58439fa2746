package ngql

import (
	"strings"
	"unicode/utf8"
)

// kind of a token.
type kind int

const (
	end kind = iota
	label
	keyword
	integer
	float
	text
	variable
	symbol
)

// token is a piece of the statement. word is the label, the keyword in upper case, the symbol, the name of
// the variable or what a string literal holds; number is the magnitude of an integer.
type token struct {
	kind       kind
	word       string
	raw        string // of a keyword: as written
	quoted     bool   // a label in back quotes
	number     uint64
	real       float64
	start, end int
}

// SyntaxError says what is wrong with a statement, in graphd's words.
type SyntaxError struct{ Text string }

// Error has graphd's prefix.
func (e *SyntaxError) Error() string { return "SyntaxError: " + e.Text }

// near is the place that graphd shows: the token, or eight bytes where that is a single one.
func near(src string, start, stop int) string {
	if stop-start <= 1 {
		stop = start + 8
	}
	stop = min(stop, len(src), start+80)
	return " near `" + src[min(start, stop):stop] + "'"
}

type lexer struct {
	src    string
	pos    int
	tokens []token
}

// lex cuts a text into tokens, the last of which is the end.
func lex(src string) ([]token, error) {
	l := &lexer{src: src, tokens: make([]token, 0, len(src)/4+2)}
	for {
		if err := l.blank(); err != nil {
			return nil, err
		}
		if l.pos >= len(src) {
			l.tokens = append(l.tokens, token{kind: end, start: len(src), end: len(src)})
			return l.tokens, nil
		}
		if err := l.next(); err != nil {
			return nil, err
		}
	}
}

func (l *lexer) fail(msg string, start, stop int) error {
	return &SyntaxError{Text: msg + near(l.src, start, stop)}
}

// blank skips white space, with the no-break space, and comments.
func (l *lexer) blank() error {
	for l.pos < len(l.src) {
		rest := l.src[l.pos:]
		switch {
		case strings.IndexByte(" \t\r\n\v\f", rest[0]) >= 0:
			l.pos++
		case strings.HasPrefix(rest, "\u00a0"):
			l.pos += 2
		case strings.HasPrefix(rest, "#"), strings.HasPrefix(rest, "//"), strings.HasPrefix(rest, "-- "):
			if i := strings.IndexByte(rest, '\n'); i >= 0 {
				l.pos += i
			} else {
				l.pos = len(l.src)
			}
		case strings.HasPrefix(rest, "/*"):
			i := strings.Index(rest[2:], "*/")
			if i < 0 {
				return l.fail("unterminated comment", l.pos, l.pos+2)
			}
			l.pos += i + 4
		default:
			return nil
		}
	}
	return nil
}

func (l *lexer) next() error {
	c := l.src[l.pos]
	switch {
	case c == '"' || c == '\'':
		return l.literal()
	case c == '`':
		return l.quoted()
	case c >= '0' && c <= '9' || c == '.' && l.pos+1 < len(l.src) && isDigit(l.src[l.pos+1]) && !l.afterOperand():
		return l.number()
	case letter(l.src[l.pos:]) > 0:
		l.word()
		return nil
	case c == '$':
		return l.dollar()
	}
	return l.symbol()
}

// afterOperand tells whether a dot goes on with what came before, as in a.1.
func (l *lexer) afterOperand() bool {
	if len(l.tokens) == 0 {
		return false
	}
	t := l.tokens[len(l.tokens)-1]
	return t.end == l.pos && (t.kind == label || t.kind == keyword || t.kind == variable)
}

// letter is the length of the letter that s begins with: ASCII, underscore, or any valid rune beyond.
func letter(s string) int {
	c := s[0]
	if c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' {
		return 1
	}
	if c < utf8.RuneSelf {
		return 0
	}
	if r, n := utf8.DecodeRuneInString(s); r != utf8.RuneError && r != '\u00a0' {
		return n
	}
	return 0
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// ident is the end of the identifier that begins at i.
func ident(s string, i int) int {
	for i < len(s) {
		if isDigit(s[i]) {
			i++
			continue
		}
		n := letter(s[i:])
		if n == 0 {
			break
		}
		i += n
	}
	return i
}

func (l *lexer) word() {
	start := l.pos
	l.pos = ident(l.src, start)
	raw := l.src[start:l.pos]
	if len(raw) <= maxKeyword {
		if up := strings.ToUpper(raw); keywords[up] != 0 {
			l.add(token{kind: keyword, word: up, raw: raw, start: start, end: l.pos})
			return
		}
	}
	l.add(token{kind: label, word: raw, start: start, end: l.pos})
}

func (l *lexer) add(t token) { l.tokens = append(l.tokens, t) }

// quoted reads a label in back quotes, which takes anything but a dot and a line break.
func (l *lexer) quoted() error {
	start := l.pos
	i := strings.IndexAny(l.src[start+1:], "`\n")
	if i < 0 || l.src[start+1+i] == '\n' {
		return l.fail("syntax error", start, start+1)
	}
	name := l.src[start+1 : start+1+i]
	if dot := strings.IndexByte(name, '.'); dot >= 0 {
		return l.fail("Don't allow DOT in label:", start+1+dot, start+1+dot+1)
	}
	l.pos = start + i + 2
	l.add(token{kind: label, word: name, quoted: true, start: start, end: l.pos})
	return nil
}

// dollar reads $-, $^, $$ and variables.
func (l *lexer) dollar() error {
	start := l.pos
	rest := l.src[start+1:]
	if rest != "" && strings.IndexByte("-^$", rest[0]) >= 0 {
		l.pos += 2
		l.add(token{kind: symbol, word: l.src[start:l.pos], start: start, end: l.pos})
		return nil
	}
	if rest == "" || letter(rest) == 0 {
		return l.fail("syntax error", start, start+1)
	}
	l.pos = ident(l.src, start+1)
	l.add(token{kind: variable, word: l.src[start+1 : l.pos], start: start, end: l.pos})
	return nil
}

var symbols = []string{
	"==", "!=", "<>", "<=", ">=", "=~", "->", "<-", "..", "&&", "||",
	"(", ")", "[", "]", "{", "}", ",", "|", "=", "<", ">", "+", "-", "*", "/", "%", "!", ".", ":", "?", ";", "@", "^",
}

func (l *lexer) symbol() error {
	for _, s := range symbols {
		if strings.HasPrefix(l.src[l.pos:], s) {
			l.add(token{kind: symbol, word: s, start: l.pos, end: l.pos + len(s)})
			l.pos += len(s)
			return nil
		}
	}
	return l.fail("syntax error", l.pos, l.pos+1)
}
