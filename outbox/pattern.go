package outbox

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// patternMost bounds a pattern, in bytes.
const patternMost = 300

// structural are words before a name that belongs to the target, and not to the record: it is kept.
var structural = map[string]bool{
	"column": true, "columns": true, "relation": true, "table": true, "constraint": true, "index": true, "function": true, "type": true,
	"field": true, "fields": true, "property": true, "prop": true, "parameter": true, "setting": true, "mapping": true, "alias": true,
	"collection": true, "vector": true, "space": true, "tag": true, "edge": true, "schema": true, "analyzer": true,
}

// Pattern is the error that a record of the key was refused with, without what differs from record to record: the key,
// quoted values and all words with a digit in them. Names in quotes or brackets that follow a word such as field or
// column are kept. Errors of one pattern have one reason, as far as texts tell: they are counted and tried again
// together. It is a line of up to 300 bytes.
func Pattern(text, key string) string {
	p := patterner{text: strings.ToValidUTF8(text, "\uFFFD"), key: strings.ToValidUTF8(key, "\uFFFD")}
	for p.at < len(p.text) && p.out.Len() < 2*patternMost {
		p.step()
	}
	return strings.TrimSpace(cut(strings.TrimSpace(p.out.String()), patternMost))
}

// patterner goes once through a text.
type patterner struct {
	text, key string
	at        int // what follows is not looked at yet
	last      rune
	word      string // the last one, in small letters
	out       strings.Builder
}

// step takes what comes next.
func (p *patterner) step() {
	r, size := utf8.DecodeRuneInString(p.text[p.at:])
	switch {
	case p.isKey():
		p.emit("…", len(p.key))
	case strings.ContainsRune("'\"`“‘«[", r) && !wordly(p.last):
		p.quoted(r, size)
	case wordly(r):
		p.wordOrNumber()
	case unicode.IsSpace(r) || unicode.IsControl(r):
		if p.out.Len() > 0 && p.last != ' ' {
			p.out.WriteByte(' ')
		}
		p.last = ' '
		p.at += size
	default:
		if strings.ContainsRune(":;,.()", r) {
			p.word = "" // what follows is said about it, not named by it
		}
		p.emit(string(r), size)
	}
}

// emit writes something instead of the next n bytes.
func (p *patterner) emit(s string, n int) {
	p.out.WriteString(s)
	p.last, _ = utf8.DecodeLastRuneInString(s)
	p.at += n
}

// isKey says whether the key stands here by itself. What is no longer than a letter is found by its digits, or not at all.
func (p *patterner) isKey() bool {
	if len(p.key) < 2 || !strings.HasPrefix(p.text[p.at:], p.key) || wordly(p.last) {
		return false
	}
	next, _ := utf8.DecodeRuneInString(p.text[p.at+len(p.key):])
	return !wordly(next)
}

// quoted takes a quoted value, or a name, whose quotes are kept. Brackets hold a name, or are ordinary text.
func (p *patterner) quoted(open rune, size int) {
	end, closing := p.closing(open, size)
	name := structural[p.word]
	switch {
	case end < 0 || open == '[' && !name:
		p.emit(string(open), size)
	case name:
		p.emit(p.text[p.at:end+closing], end+closing-p.at)
	default:
		p.emit(string(open)+"…"+p.text[end:end+closing], end+closing-p.at)
	}
}

// closing finds where the quote ends: at a closing one that no letter follows. It is negative if there is none.
func (p *patterner) closing(open rune, size int) (at, length int) {
	closers := map[rune]string{'“': "”", '‘': "’", '«': "»", '[': "]", '`': "`'"}[open]
	if closers == "" {
		closers = string(open)
	}
	for i, r := range p.text[p.at+size:] {
		at, n := p.at+size+i, utf8.RuneLen(r)
		if next, _ := utf8.DecodeRuneInString(p.text[at+n:]); strings.ContainsRune(closers, r) && !wordly(next) {
			return at, n
		}
	}
	return -1, 0
}

// wordOrNumber takes a word, or for one that has a digit a #; of several of these in a row one.
func (p *patterner) wordOrNumber() {
	end, digit := p.at, false
	for i, r := range p.text[p.at:] {
		next, _ := utf8.DecodeRuneInString(p.text[p.at+i+utf8.RuneLen(r):])
		within := i > 0 && (r == '-' && wordly(next) || digit && strings.ContainsRune(".:+", r) && unicode.IsDigit(next))
		if !wordly(r) && !within {
			break
		}
		digit = digit || unicode.IsDigit(r)
		end = p.at + i + utf8.RuneLen(r)
	}
	word := p.text[p.at:end]
	if !digit {
		p.word = strings.ToLower(word)
		p.emit(word, len(word))
		return
	}
	p.word = ""
	written := strings.TrimRight(p.out.String(), ", -")
	if strings.HasSuffix(written, "#") {
		p.out.Reset()
		p.out.WriteString(strings.TrimSuffix(written, "#"))
	}
	p.emit("#", len(word))
}

// wordly says whether the rune is part of a word.
func wordly(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

// cut is the first n bytes of a text at most, without the rest of a rune that does not fit.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
