package postgres

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

var errNoDocument = errors.New("the document is no JSON object as PostgreSQL writes it")

// texts are the values of the named columns in a document: a text as it reads, null and absent as "",
// another value as it is written. It steps over the other values without looking into them; that the
// document is well-formed is PostgreSQL's word.
func texts(doc []byte, names []string) ([]string, error) {
	found := make([]string, len(names))
	rest, ok := bytes.CutPrefix(doc, []byte("{"))
	for ok && len(rest) > 0 && rest[0] == '"' {
		name, value, after, cut := member(rest)
		if !cut {
			return nil, errNoDocument
		}
		i, err := column(name, names)
		if err == nil && i >= 0 {
			found[i], err = text(value)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the document: %w", err)
		}
		rest = bytes.TrimLeft(after, ", ")
	}
	if !ok || string(rest) != "}" {
		return nil, errNoDocument
	}
	return found, nil
}

// member cuts the first name and value off the inside of an object.
func member(b []byte) (name, value, rest []byte, ok bool) {
	n := valueEnd(b)
	if n < 0 || n+2 > len(b) || b[n] != ':' {
		return nil, nil, nil, false
	}
	name, b = b[:n], bytes.TrimLeft(b[n+1:], " ")
	if n = valueEnd(b); n <= 0 {
		return nil, nil, nil, false
	}
	return name, b[:n], b[n:], true
}

// valueEnd is where the JSON value at the beginning of b ends, or -1.
func valueEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			if i = stringEnd(b, i); i < 0 {
				return -1
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return i
			}
			if depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return -1
}

// stringEnd is where the closing quote of the string at i is, or -1.
func stringEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// column is the place of a name, still in JSON, among names, or -1.
func column(name []byte, names []string) (int, error) {
	s, err := text(name)
	return slices.Index(names, s), err
}

func text(value []byte) (string, error) {
	switch {
	case value[0] == 'n':
		return "", nil
	case value[0] != '"':
		return string(value), nil
	case bytes.IndexByte(value, '\\') < 0:
		return string(value[1 : len(value)-1]), nil
	}
	var s string
	err := json.Unmarshal(value, &s)
	return s, err
}
