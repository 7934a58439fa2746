package config

import (
	"errors"
	"strings"
	"testing"
)

// Whatever the file holds, there is a configuration or an *Error with a place; nothing panics, and a second
// reading says the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		whole, guarded, "", "a: &a [*a]", "kinds: {a: {dependants: {a: $1}}}", "log: {level: '${A:-${B}}'}",
		"database: '${A}'", "backends: {x: {type: store, settings: {a: !!binary x, b: !!timestamp 2001-01-01}}}",
		"? [a]\n: b", "%YAML 1.1\n---\nlog: !!map\n", "kinds: !!set {a, b}", "\xff\xfe",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("c.yaml", []byte(text), someDatabase)
		if (c == nil) == (err == nil) {
			t.Fatalf("got %v and %v", c, err)
		}
		e, ok := errors.AsType[*Error](err)
		if err != nil && (!ok || len(e.Problems) == 0) {
			t.Fatalf("got %#v", err)
		}
		_, again := Parse("c.yaml", []byte(text), someDatabase)
		if (err == nil) != (again == nil) || err != nil && err.Error() != again.Error() {
			t.Fatalf("first %v, then %v", err, again)
		}
		if c != nil && strings.Contains(c.String(), "geheim-1") {
			t.Fatal(c.String())
		}
	})
}
