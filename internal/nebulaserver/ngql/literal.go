package ngql

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// number reads an integer (decimal, 0x, leading-0 octal) or a float.
func (l *lexer) number() error {
	start := l.pos
	s := l.src[start:]
	if len(s) > 2 && s[0] == '0' && s[1]|0x20 == 'x' && isHex(s[2]) {
		i := 2
		for i < len(s) && isHex(s[i]) {
			i++
		}
		return l.integer(start, start+i, s[2:i], 16)
	}
	i := digits(s, 0)
	j := i
	if j < len(s) && s[j] == '.' && !strings.HasPrefix(s[j:], "..") && (j+1 >= len(s) || letter(s[j+1:]) == 0 || s[j+1]|0x20 == 'e') {
		j = digits(s, j+1)
	}
	if j < len(s) && s[j]|0x20 == 'e' {
		k := j + 1
		if k < len(s) && (s[k] == '+' || s[k] == '-') {
			k++
		}
		if d := digits(s, k); d > k {
			j = d
		}
	}
	if j > i {
		f, err := strconv.ParseFloat(s[:j], 64)
		if err != nil || math.IsInf(f, 0) {
			return l.fail("Out of range:", start, start+j)
		}
		l.pos += j
		l.add(token{kind: float, real: f, start: start, end: l.pos})
		return nil
	}
	if s[0] == '0' && i > 1 {
		return l.integer(start, start+i, s[1:i], 8)
	}
	return l.integer(start, start+i, s[:i], 10)
}

func (l *lexer) integer(start, stop int, digits string, base int) error {
	n, err := strconv.ParseUint(digits, base, 64)
	if err != nil || n > 1<<63 {
		return l.fail("Out of range:", start, stop)
	}
	l.pos = stop
	l.add(token{kind: integer, number: n, start: start, end: stop})
	return nil
}

func digits(s string, i int) int {
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return i
}

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

// literal reads a string literal as graphd's scanner does: see run and escape. A raw line break ends it, an
// error.
func (l *lexer) literal() error {
	start, quote := l.pos, l.src[l.pos]
	i := start + 1
	if j := strings.IndexAny(l.src[i:], "\"'\\\n\x00"); j >= 0 && l.src[i+j] == quote { // the common case: nothing to undo
		l.pos = i + j + 1
		l.add(token{kind: text, word: l.src[i : i+j], start: start, end: l.pos})
		return nil
	}
	var out []byte
	for i < len(l.src) {
		switch c := l.src[i]; c {
		case quote:
			l.pos = i + 1
			l.add(token{kind: text, word: string(out), start: start, end: l.pos})
			return nil
		case '\n':
			return l.fail("unterminated string", start, i)
		case '\\':
			var n int
			if out, n = escape(out, l.src[i:]); n == 0 {
				return l.fail("bad escape in string", i, i+2)
			}
			i += n
		default:
			j := i
			for j < len(l.src) && l.src[j] != quote && l.src[j] != '\\' && l.src[j] != '\n' {
				j++
			}
			out = run(out, l.src[i:j])
			i = j
		}
	}
	return l.fail("unterminated string", start, len(l.src))
}

// run appends a run of plain bytes as strncpy does: what follows a NUL becomes NUL.
func run(out []byte, s string) []byte {
	i := strings.IndexByte(s, 0)
	if i < 0 {
		return append(out, s...)
	}
	return append(append(out, s[:i]...), make([]byte, len(s)-i)...)
}

var simple = map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', 'b': '\b', 'f': '\f'}

// escape appends what the escape at the beginning of s stands for and tells its length; zero means that the
// scanner refuses it. The longest rule wins, and letters count in either case.
func escape(out []byte, s string) ([]byte, int) {
	if len(s) < 2 {
		return out, 0
	}
	d := digits(s, 1) - 1
	o := 0
	for o < 3 && 1+o < len(s) && s[1+o] >= '0' && s[1+o] <= '7' {
		o++
	}
	c := s[1]
	switch {
	case d > o:
		return out, 0
	case o > 0:
		v, _ := strconv.ParseUint(s[1:1+o], 8, 16)
		if v > 0xff {
			return out, 0
		}
		return append(out, byte(v)), 1 + o
	case (c|0x20 == 'u' || c|0x20 == 'x') && len(s) >= 6 && isHex(s[2]) && isHex(s[3]) && isHex(s[4]) && isHex(s[5]):
		v, _ := strconv.ParseUint(s[2:6], 16, 32)
		return appendRune(out, rune(v)), 6 //nolint:gosec // four digits
	}
	if c|0x20 >= 'a' && c|0x20 <= 'z' {
		if b, ok := simple[c|0x20]; ok {
			return append(out, b), 2
		}
	}
	return append(out, c), 2
}

// appendRune encodes a lone surrogate like any other rune, as folly does.
func appendRune(out []byte, r rune) []byte {
	if r >= 0xd800 && r < 0xe000 {
		return append(out, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0x3f, 0x80|byte(r)&0x3f) //nolint:gosec // cut on purpose
	}
	return utf8.AppendRune(out, r)
}
