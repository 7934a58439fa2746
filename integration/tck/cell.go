package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

// What a cell may hold beside a value: less than a vertex or an edge, or a pattern.
type (
	// wantVertex has no id, or one; its tags have no properties, or some.
	wantVertex struct {
		id   any
		has  bool
		tags []wantTag
	}
	wantTag struct {
		name  string
		props value.Map // nil: not written
	}
	wantEdge struct {
		name     string
		src, dst any
		ends     bool
		rank     *int64
		props    value.Map
	}
	pattern struct{ *regexp.Regexp }
)

var cellWords = map[string]any{
	"EMPTY": nil, "NULL": value.NULL, "__NULL__": value.NULL, "NaN": value.NaN, "__NaN__": value.NaN,
	"BAD_DATA": value.BadData, "__BAD_DATA__": value.BadData, "BAD_TYPE": value.BadType, "__BAD_TYPE__": value.BadType,
	"OVERFLOW": value.Overflow, "UNKNOWN_PROP": value.NoProp, "DIV_BY_ZERO": value.DivByZero, "OUT_OF_RANGE": value.OutOfRange,
	"true": true, "True": true, "TRUE": true, "false": false, "False": false, "FALSE": false,
}

// cellReader reads one cell; it fails by panic with an error.
type cellReader struct {
	s string
	i int
}

// parseCell reads what a cell of an expected result says.
func parseCell(s string) (v any, err error) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(error)
			if !ok {
				panic(r)
			}
			err = e
		}
	}()
	if len(s) > 1 && s[0] == '/' && s[len(s)-1] == '/' {
		re, err := regexp.Compile("^(?:" + s[1:len(s)-1] + ")") // the kit matches beginnings
		return pattern{re}, err
	}
	c := &cellReader{s: s}
	v = c.value()
	if c.blank(); c.i < len(s) {
		return nil, fmt.Errorf("a cell that goes on after its value: %s", s)
	}
	return v, nil
}

func (c *cellReader) fail() { panic(fmt.Errorf("no value at %q of the cell %s", c.s[c.i:], c.s)) }

func (c *cellReader) blank() {
	for c.i < len(c.s) && c.s[c.i] == ' ' {
		c.i++
	}
}

func (c *cellReader) accept(s string) bool {
	c.blank()
	if !strings.HasPrefix(c.s[c.i:], s) {
		return false
	}
	c.i += len(s)
	return true
}

func (c *cellReader) expect(s string) {
	if !c.accept(s) {
		c.fail()
	}
}

var (
	numberForm = regexp.MustCompile(`^[+-]?(\d+\.\d*(e[+-]?\d+)?|\.\d+|\d+(e[+-]?\d+)?|inf|Inf|nan)`)
	wordForm   = regexp.MustCompile(`^[\p{L}_][\p{L}_0-9]*`)
)

func (c *cellReader) value() any {
	c.blank()
	if c.i == len(c.s) {
		c.fail()
	}
	rest := c.s[c.i:]
	switch rest[0] {
	case '"', '\'':
		return c.quoted()
	case '[':
		return c.listOrEdge()
	case '{':
		return c.mapOrSet()
	case '(':
		return c.vertex()
	case '<':
		panic(fmt.Errorf("a path is not compared: %s", c.s))
	}
	word := wordForm.FindString(rest)
	if v, ok := cellWords[word]; ok {
		c.i += len(word)
		return v
	}
	if n := numberForm.FindString(rest); n != "" {
		c.i += len(n)
		return number(n)
	}
	if n := strings.ToLower(word); n == "inf" || n == "nan" {
		c.i += len(word)
		f, _ := strconv.ParseFloat(n, 64) // both are numbers
		return f
	}
	c.fail()
	return nil
}

func number(s string) any {
	if i, err := strconv.ParseInt(s, 0, 64); err == nil {
		return i
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic(err)
	}
	return f
}

func (c *cellReader) quoted() string {
	q := c.s[c.i]
	var b strings.Builder
	for c.i++; c.i < len(c.s) && c.s[c.i] != q; c.i++ {
		if c.s[c.i] == '\\' && c.i+1 < len(c.s) {
			c.i++
			switch c.s[c.i] {
			case 'n':
				b.WriteByte('\n')
				continue
			case 't':
				b.WriteByte('\t')
				continue
			}
		}
		b.WriteByte(c.s[c.i])
	}
	c.expect(string(q))
	return b.String()
}

func (c *cellReader) word() string {
	c.blank()
	w := wordForm.FindString(c.s[c.i:])
	if w == "" {
		c.fail()
	}
	c.i += len(w)
	return w
}

// listOrEdge tells the two by what follows the bracket: a type, a rank, or ends with an arrow.
func (c *cellReader) listOrEdge() any {
	begin := c.i
	c.expect("[")
	if c.accept("]") {
		return value.List{}
	}
	if c.blank(); c.s[c.i] == ':' || c.s[c.i] == '@' {
		return c.edge()
	}
	first := c.value()
	if c.accept("->") || c.accept("<-") {
		c.i = begin + 1
		return c.edge()
	}
	l := value.List{first}
	for c.accept(",") {
		l = append(l, c.value())
	}
	c.expect("]")
	return l
}

func (c *cellReader) edge() any {
	var e wantEdge
	if c.accept(":") {
		e.name = c.word()
	}
	if c.blank(); strings.IndexByte(`@{]`, c.s[c.i]) < 0 {
		e.src, e.ends = c.value(), true
		back := !c.accept("->")
		if back {
			c.expect("<-")
		}
		if e.dst = c.value(); back {
			e.src, e.dst = e.dst, e.src
		}
	}
	if c.accept("@") {
		n, ok := c.value().(int64)
		if !ok {
			c.fail()
		}
		e.rank = &n
	}
	if c.blank(); c.s[c.i] == '{' {
		e.props = c.props()
	}
	c.expect("]")
	return e
}

func (c *cellReader) vertex() any {
	var v wantVertex
	c.expect("(")
	if c.blank(); c.s[c.i] != ')' && c.s[c.i] != ':' {
		v.id, v.has = c.value(), true
	}
	for c.accept(":") {
		t := wantTag{name: c.word()}
		if c.blank(); c.s[c.i] == '{' {
			t.props = c.props()
		}
		v.tags = append(v.tags, t)
	}
	c.expect(")")
	return v
}

func (c *cellReader) props() value.Map {
	m := value.Map{}
	c.expect("{")
	for !c.accept("}") {
		c.entry(m)
		c.accept(",")
	}
	return m
}

func (c *cellReader) entry(m value.Map) {
	var k string
	if c.blank(); c.s[c.i] == '"' || c.s[c.i] == '\'' {
		k = c.quoted()
	} else {
		k = c.word()
	}
	c.expect(":")
	m[k] = c.value()
}

func (c *cellReader) mapOrSet() any {
	begin := c.i
	c.expect("{")
	if c.accept("}") {
		return value.Map{}
	}
	c.blank()
	rest := c.s[c.i:]
	if w := wordForm.FindString(rest); w != "" && strings.HasPrefix(strings.TrimLeft(rest[len(w):], " "), ":") ||
		regexp.MustCompile(`^("[^"]*"|'[^']*') *:`).MatchString(rest) {
		c.i = begin
		return c.props()
	}
	s := value.Set{c.value()}
	for c.accept(",") {
		s = append(s, c.value())
	}
	c.expect("}")
	return s
}

// cellType names a cell's value as parser/nebula.feature does.
func cellType(v any) string {
	switch v := v.(type) {
	case nil:
		return "EMPTY"
	case value.Null:
		if v == value.NaN {
			return "fVal"
		}
		return value.Text(v)
	case wantVertex:
		return "vVal"
	case wantEdge:
		return "eVal"
	case float64:
		return "fVal"
	}
	return map[string]string{"INT": "iVal", "BOOL": "bVal", "STRING": "sVal", "LIST": "lVal", "SET": "uVal", "MAP": "mVal"}[value.Type(v)]
}
