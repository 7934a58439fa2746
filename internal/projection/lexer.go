package projection

import (
	"strings"
)

// A token is a piece of SQL that matters here; blanks and comments are none.
type token struct {
	kind       tokenKind
	start, end int // byte offsets
}

type tokenKind int

const (
	word   tokenKind = iota // a name without quotes, or a keyword
	quoted                  // a literal, a quoted name, or what is in dollar quotes
	param                   // $1
	symbol                  // any other single character
	broken                  // a quote or comment that does not end
)

// lex cuts SQL into tokens as PostgreSQL's own scanner does with standard_conforming_strings on.
func lex(sql string) []token {
	var tokens []token
	for i := 0; i < len(sql); {
		kind, end, skip := next(sql, i)
		if !skip {
			tokens = append(tokens, token{kind, i, end})
		}
		i = end
	}
	return tokens
}

// next is the token at i and where it ends, or skip for blanks and comments.
func next(sql string, i int) (kind tokenKind, end int, skip bool) {
	c, rest := sql[i], sql[i:]
	switch {
	case strings.IndexByte(" \t\n\r\f\v", c) >= 0:
		return symbol, i + 1, true
	case strings.HasPrefix(rest, "--"):
		n := strings.IndexAny(rest, "\n\r")
		if n < 0 {
			n = len(rest)
		}
		return symbol, i + n, true
	case strings.HasPrefix(rest, "/*"):
		return comment(sql, i)
	case (c == 'e' || c == 'E') && strings.HasPrefix(rest[1:], "'"):
		return literal(sql, i+1, true)
	case c == '\'' || c == '"':
		return literal(sql, i, false)
	case c == '$':
		return dollar(sql, i)
	case wordStart(c):
		n := 1
		for n < len(rest) && (wordStart(rest[n]) || digit(rest[n]) || rest[n] == '$') {
			n++
		}
		return word, i + n, false
	case digit(c):
		n := 1
		for n < len(rest) && (digit(rest[n]) || wordStart(rest[n]) || rest[n] == '.') {
			n++
		}
		return quoted, i + n, false
	default:
		return symbol, i + 1, false
	}
}

// comment is a block comment, which nests.
func comment(sql string, i int) (tokenKind, int, bool) {
	depth := 0
	for j := i; j+1 < len(sql); {
		switch sql[j : j+2] {
		case "/*":
			depth++
			j += 2
		case "*/":
			depth--
			j += 2
			if depth == 0 {
				return symbol, j, true
			}
		default:
			j++
		}
	}
	return broken, len(sql), false
}

// literal is a string or a quoted name; two quotes in a row stand for one.
func literal(sql string, i int, escapes bool) (tokenKind, int, bool) {
	quote := sql[i]
	for j := i + 1; j < len(sql); j++ {
		switch {
		case escapes && sql[j] == '\\':
			j++
		case sql[j] == quote && j+1 < len(sql) && sql[j+1] == quote:
			j++
		case sql[j] == quote:
			return quoted, j + 1, false
		}
	}
	return broken, len(sql), false
}

// dollar is a parameter, a dollar quote, or a single $.
func dollar(sql string, i int) (tokenKind, int, bool) {
	j := i + 1
	for j < len(sql) && digit(sql[j]) {
		j++
	}
	if j > i+1 {
		return param, j, false
	}
	for j < len(sql) && (wordStart(sql[j]) || digit(sql[j])) {
		j++
	}
	if j == len(sql) || sql[j] != '$' {
		return symbol, i + 1, false
	}
	tag := sql[i : j+1]
	n := strings.Index(sql[j+1:], tag)
	if n < 0 {
		return broken, len(sql), false
	}
	return quoted, j + 1 + n + len(tag), false
}

func wordStart(c byte) bool {
	return c == '_' || c >= 0x80 || 'a' <= c|0x20 && c|0x20 <= 'z'
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
