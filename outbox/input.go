package outbox

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxKey is the longest key in bytes; the shortest has one.
const MaxKey = 2000

// maxProblems bounds how many problems an error lists.
const maxProblems = 100

// InputError is something wrong with an argument. What a function returns holds all of them, up to a hundred:
// errors.As finds the first.
type InputError struct {
	Argument string // records, keys, kind, table, list, dependants, headers
	Index    int    // of the element in the argument; -1 if it is no list
	Field    string // of the element: kind, key, body, embedding, or a header; empty if it has none
	Reason   string // what is wrong with it
}

// Error names the place and the reason.
func (e *InputError) Error() string {
	var b strings.Builder
	b.WriteString(e.Argument)
	if e.Index >= 0 {
		b.WriteString("[" + strconv.Itoa(e.Index) + "]")
	}
	if e.Field != "" {
		b.WriteString("." + e.Field)
	}
	return b.String() + ": " + e.Reason
}

// problems collects what is wrong with the arguments of a call.
type problems struct {
	list []error
	more int
}

// add notes a problem if there is a reason.
func (p *problems) add(argument string, index int, field, reason string) {
	switch {
	case reason == "":
	case len(p.list) < maxProblems:
		p.list = append(p.list, &InputError{argument, index, field, reason})
	default:
		p.more++
	}
}

// err is all problems as one error, nil if there are none.
func (p *problems) err() error {
	if p.more > 0 {
		return errors.Join(append(p.list, fmt.Errorf("and %d more problems", p.more))...)
	}
	return errors.Join(p.list...)
}

var kindName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// badKind says what is wrong with the name of a kind, empty if nothing is.
func badKind(kind string) string {
	switch {
	case kind == "":
		return "it is empty"
	case !kindName.MatchString(kind):
		return fmt.Sprintf("%.80q is no name of a kind: small letters, digits and _, a letter first, at most 63", kind)
	}
	return ""
}

// badKey says what is wrong with a key, empty if nothing is.
func badKey(key string) string {
	switch {
	case key == "":
		return "it is empty"
	case len(key) > MaxKey:
		return fmt.Sprintf("%d bytes, at most %d are allowed, in %.40q...", len(key), MaxKey, key)
	case !utf8.ValidString(key):
		return fmt.Sprintf("%.80q is no UTF-8", key)
	case strings.ContainsRune(key, 0):
		return fmt.Sprintf("%.80q has a NUL character, which PostgreSQL does not store", key)
	}
	return ""
}

// badKeys notes what is wrong with a kind and keys of it.
func badKeys(p *problems, kind string, keys []string) {
	p.add("kind", -1, "", badKind(kind))
	for i, key := range keys {
		p.add("keys", i, "", badKey(key))
	}
}
