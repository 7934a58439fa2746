package postgres

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of PostgreSQL's tsvector, and how much of a text is worth looking at.
const (
	maxPosition  = 1<<14 - 1
	maxPositions = 255
	maxWord      = 255     // bytes; longer ones are data, not words
	maxVector    = 1 << 19 // bytes of words and positions; PostgreSQL refuses 2^20
	maxText      = 1 << 20 // bytes of each column
)

// A weight is the importance of a column's words, as tsvector stores it: A is 3, D is 0.
type weight uint16

// index collects the words of a record for the full-text index. Its zero value is ready; reset makes it
// ready for the next record and keeps its memory.
//
// A text is cut into words at everything but letters and digits, and identifiers also where their case
// changes, so that parseConfig, parse_config and ParseConfig are all found by "parse", by "parse config"
// and, because the whole is a word too, by "parseconfig". Words are lower case and not stemmed: stemming
// is done to the query, which leaves the choice of language to the reader. The SQL functions
// _outflow_identifiers and _outflow_parts do the same to the query; a test holds the two together.
type index struct {
	entries  []entry
	position uint16
	size     int
}

type entry struct {
	word     string
	position uint16 // the weight in its two highest bits
}

func (x *index) reset() { *x = index{entries: x.entries[:0]} }

// add takes a column's text in.
func (x *index) add(text string, w weight) {
	text = text[:min(len(text), maxText)]
	folded := "" // all at once where that leaves every byte in its place
	if ascii(text) {
		folded = strings.ToLower(text)
	}
	for i := 0; i < len(text) && x.size < maxVector; {
		n, word := wordAt(text, i)
		if !word {
			i += n
			continue
		}
		start := i
		for word {
			i += n
			n, word = wordAt(text, i)
		}
		x.identifier(text[start:i], folded[min(start, len(folded)):min(i, len(folded))], w)
	}
	x.step() // no phrase reaches from one column into the next
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// wordAt says how long the character at i is and whether it belongs to a word. This is the same set as in
// the SQL function, whatever the locale: ASCII letters, digits and _, and of the rest all but blanks,
// controls and the common punctuation.
func wordAt(text string, i int) (size int, word bool) {
	if i >= len(text) {
		return 0, false
	}
	if c := text[i]; c < utf8.RuneSelf {
		return 1, c == '_' || digit(c) || lower(c|0x20)
	}
	r, size := utf8.DecodeRuneInString(text[i:])
	switch {
	case r < 0xc0, 0x2000 <= r && r <= 0x206f, 0x3000 <= r && r <= 0x303f, r == utf8.RuneError, r == 0xfeff:
		return size, false
	default:
		return size, true
	}
}

// identifier takes one run of letters, digits and _ in: its parts, and the whole if it has several. folded
// is its lower case, or empty.
func (x *index) identifier(s, folded string, w weight) {
	whole, parts, start := x.position+1, 0, 0
	for i := 1; i <= len(s); i++ {
		if i < len(s) && s[i] != '_' && !boundary(s, i) {
			continue
		}
		if part := strings.Trim(fold(s, folded, start, i), "_"); part != "" {
			x.step()
			x.put(part, x.position, w)
			parts++
		}
		start = i
	}
	if parts > 1 {
		x.put(strings.ReplaceAll(fold(s, folded, 0, len(s)), "_", ""), min(whole, maxPosition), w)
	}
}

func fold(s, folded string, start, end int) string {
	if folded == "" {
		return strings.ToLower(s[start:end])
	}
	return folded[start:end]
}

// boundary says whether a new word begins at i: fooBar, HTTPServer.
func boundary(s string, i int) bool {
	if !upper(s[i]) {
		return false
	}
	return lower(s[i-1]) || digit(s[i-1]) || upper(s[i-1]) && i+1 < len(s) && lower(s[i+1])
}

func upper(c byte) bool { return 'A' <= c && c <= 'Z' }
func lower(c byte) bool { return 'a' <= c && c <= 'z' }
func digit(c byte) bool { return '0' <= c && c <= '9' }

func (x *index) step() { x.position = min(x.position+1, maxPosition) }

func (x *index) put(word string, position uint16, w weight) {
	if word == "" || len(word) > maxWord {
		return
	}
	x.entries = append(x.entries, entry{word, position | uint16(w)<<14})
	x.size += len(word) + 8
}

// encode is the tsvector in PostgreSQL's binary format, appended to b: each word once, in order, with its
// positions in order.
func (x *index) encode(b []byte) []byte {
	slices.SortFunc(x.entries, func(a, b entry) int {
		if c := strings.Compare(a.word, b.word); c != 0 {
			return c
		}
		return cmp.Compare(a.position&maxPosition, b.position&maxPosition)
	})
	count := len(b)
	b = append(b, 0, 0, 0, 0)
	words := uint32(0)
	for i := 0; i < len(x.entries); words++ {
		word := x.entries[i].word
		b = append(append(b, word...), 0, 0, 0)
		n, at, last := uint16(0), len(b)-2, uint16(0)
		for ; i < len(x.entries) && x.entries[i].word == word; i++ {
			p := x.entries[i].position
			if n < maxPositions && p&maxPosition > last {
				b = binary.BigEndian.AppendUint16(b, p)
				n, last = n+1, p&maxPosition
			}
		}
		binary.BigEndian.PutUint16(b[at:], n)
	}
	binary.BigEndian.PutUint32(b[count:], words)
	return b
}

// index takes the text columns of a record's document in: each has less weight than the one before. The
// whole of the first is a word of its own, after an equals sign, for queries that name the record.
func (m *model) index(x *index, doc []byte) error {
	texts, err := texts(doc, m.text)
	if err != nil {
		return err
	}
	x.reset()
	for i, s := range texts {
		x.add(s, weight(3-min(i, 3)))
	}
	if name := strings.ToLower(strings.Trim(texts[0], " ")); len(name) < maxWord {
		x.put("="+name, 1, 3)
	}
	return nil
}
