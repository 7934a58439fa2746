package outbox

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// What stores say about records becomes what they say about all such records: values and keys go, names of the target
// stay.
func TestPattern(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, key, want string }{
		{"too long", "1", "too long"},
		{"as commanded", "manded", "as commanded"},
		{
			"mapper_parsing_exception: failed to parse field [price] of type [long] in document with id '4711'. Preview of field's value: 'three euros'",
			"4711", "mapper_parsing_exception: failed to parse field [price] of type [long] in document with id '…'. Preview of field's value: '…'",
		},
		{"[1:120] failed to parse field [v2] of type [date]", "x", "[#] failed to parse field [v2] of type [date]"},
		{`invalid input syntax for type integer: "it's"`, "x", `invalid input syntax for type integer: "…"`},
		{`null value in column "a" of relation "t" violates not-null constraint`, "a", `null value in column "a" of relation "t" violates not-null constraint`},
		{"Wrong input: Vector dimension error: expected dim: 256, got 3", "", "Wrong input: Vector dimension error: expected dim: #, got #"},
		{"document 6f1e0a5c-abcd-4e1f-9f6b-0123456789ab is too large: 1.5e+10 bytes, at most 1,000", "", "document # is too large: # bytes, at most #"},
		{"immense term, it begins with [120, 121, 99]", "", "immense term, it begins with [#]"},
		{"key an-order of kind order", "an-order", "key … of kind order"},
		{`key ["a", "b"] is gone`, `["a", "b"]`, "key … is gone"},
		{"the store holds version 9007199254740992, which no version of ours can exceed", "4", "the store holds version #, which no version of ours can exceed"},
		{"SemanticError: `abc' is no tag", "", "SemanticError: `…' is no tag"},
		{"it isn't what the field's owner wants", "", "it isn't what the field's owner wants"},
		{"since 2026-11-30T04:20:00.123Z, or -5", "", "since #, or -#"},
		{"field: 'a value'", "", "field: '…'"},
		{"an open 'quote", "", "an open 'quote"},
		{"lines\n\n  of\ttext\x00", "", "lines of text"},
		{"\xff\xfe", "", "\uFFFD"},
		{"", "", ""},
	} {
		if got := Pattern(c.text, c.key); got != c.want {
			t.Errorf("%q, key %q:\n got %q\nwant %q", c.text, c.key, got, c.want)
		}
	}
}

// Two records that are refused by the same words have one pattern, whatever their keys and values are.
func TestPatternIsOfTheReason(t *testing.T) {
	t.Parallel()
	templates := []string{
		"failed to parse field [price] of type [long] in document with id '%[1]s'. Preview of field's value: '%[2]s'",
		`value "%[2]s" of key %[1]s is out of range, at %[3]d of %[4]d`,
		"document %[1]s has %[3]d bytes: at most %[4]d.%[3]d are allowed (“%[2]s”)",
	}
	rapid.Check(t, func(t *rapid.T) {
		template := rapid.SampledFrom(templates).Draw(t, "template")
		text := func(n string) (string, string) {
			key := rapid.StringMatching(`[XYZ][XYZ0-9_-]{1,20}[XYZ0-9]`).Draw(t, "key"+n)
			value := rapid.StringMatching(`[A-Za-z0-9 .,:;()-]{0,40}`).Draw(t, "value"+n)
			return fmt.Sprintf(template, key, value, rapid.IntRange(0, 1<<40).Draw(t, "n"+n), rapid.IntRange(0, 1<<40).Draw(t, "m"+n)), key
		}
		a, b := Pattern(text("1")), Pattern(text("2"))
		if a != b {
			t.Fatalf("\n%q\n%q", a, b)
		}
	})
}

// Whatever a store says becomes a short line of text that has no number outside of names.
func TestPatternIsALine(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`([a-z0-9'"\x00-\xff ,.:-]|\[|\]){0,400}`)).Draw(t, "text")
		got := Pattern(text, rapid.String().Draw(t, "key"))
		if len(got) > 300 || !utf8.ValidString(got) || strings.ContainsAny(got, "\n\r\x00") || got != strings.TrimSpace(got) {
			t.Fatalf("%q", got)
		}
		if strings.ContainsAny(got, "0123456789") {
			t.Fatalf("there is a number in %q", got)
		}
	})
}
