package projection

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// noKeys stands in for $1 where there is no parameter: in a view, in a cursor.
const noKeys = "('{}'::pg_catalog.text[])"

// theKeys is $1 with its type, so that PostgreSQL infers no other one.
const theKeys = "($1::pg_catalog.text[])"

// parsed is a query that has the form of a projection's query.
type parsed struct {
	body   string  // without a semicolon at the end and what follows it
	params []token // where $1 stands
}

// parse checks the form of query and reports every problem at once.
func parse(query string) (parsed, error) {
	p := parsed{body: query}
	var errs []error
	tokens := lex(query)
	if n := len(tokens); n > 0 {
		first := tokens[0]
		if word := strings.ToLower(query[first.start:first.end]); word != "select" && word != "with" {
			errs = append(errs, fmt.Errorf("it starts with %q: want select or with", query[first.start:first.end]))
		}
		for len(tokens) > 1 && query[tokens[len(tokens)-1].start] == ';' {
			p.body = query[:tokens[len(tokens)-1].start]
			tokens = tokens[:len(tokens)-1]
		}
	} else {
		errs = append(errs, errors.New("it is empty"))
	}
	for _, t := range tokens {
		if err := p.see(t); err != nil {
			errs = append(errs, err)
		}
	}
	if len(p.params) == 0 && len(tokens) > 0 {
		errs = append(errs, errors.New("it does not use $1: the keys to read, a text[]"))
	}
	return p, errors.Join(errs...)
}

func (p *parsed) see(t token) error {
	text := p.body[t.start:t.end]
	switch {
	case t.kind == param && text == "$1":
		p.params = append(p.params, t)
	case t.kind == param:
		return fmt.Errorf("%s: it uses %s: there is only $1", place(p.body, t.start), text)
	case t.kind == broken:
		return fmt.Errorf("%s: a quote or comment does not end", place(p.body, t.start))
	case text == ";":
		return fmt.Errorf("%s: a second statement: want one", place(p.body, t.start))
	}
	return nil
}

// with is the query with something else in place of each $1.
func (p parsed) with(instead string) string {
	var b strings.Builder
	from := 0
	for _, t := range p.params {
		b.WriteString(p.body[from:t.start])
		b.WriteString(instead)
		from = t.end
	}
	b.WriteString(p.body[from:])
	return b.String()
}

// origin is the offset in the query of what stands at offset at in with(instead).
func (p parsed) origin(at int, instead string) int {
	for _, t := range p.params {
		longer := len(instead) - (t.end - t.start)
		switch {
		case at < t.start:
			return at
		case at < t.end+longer:
			return t.start
		}
		at -= longer
	}
	return min(at, len(p.body))
}

// place names an offset as an editor does.
func place(sql string, at int) string {
	before := sql[:at]
	line := strings.Count(before, "\n")
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
	return fmt.Sprintf("line %d, column %d", line+1, column+1)
}
