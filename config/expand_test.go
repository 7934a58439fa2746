package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// References are replaced by what they name, everything else stays as it is.
func TestExpand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "password"), "two\nlines\n")
	x := expander{dir: dir, env: environment(map[string]string{"A": "a", "EMPTY": "", "NESTED": "${A}"})}
	for text, want := range map[string]string{
		"":                        "",
		"plain $A $1 $$ }":        "plain $A $1 $$ }",
		"${A}":                    "a",
		"x${A}y${A}":              "xaya",
		"${A:-b}":                 "a",
		"${EMPTY}":                "",
		"${EMPTY:-b}":             "b",
		"${NONE:-}":               "",
		"${NONE:-postgres://h:1}": "postgres://h:1",
		"${NESTED}":               "${A}",
		"$${A}":                   "${A}",
		"$$${A}":                  "$${A}",
		"${file:password}":        "two\nlines",
		"${file:" + filepath.Join(dir, "password") + "}": "two\nlines",
	} {
		got, _, err := x.expand(text)
		if err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}

// A value with a reference is text in settings, whatever it looks like; a tag gives it another type.
func TestReferencesInSettingsAreText(t *testing.T) {
	t.Parallel()
	env := environment(map[string]string{"DATABASE_URL": "host=x", "DIGITS": "0123", "N": "12"})
	c := parse(t, `
backends:
  a:
    type: store
    settings: {password: "${DIGITS}", plain: 0x10, text: !!str 12, number: !!int "${N}", list: ["${N}", 1]}
`, env)
	want := map[string]any{"password": "0123", "plain": 16, "text": "12", "number": 12, "list": []any{"12", 1}}
	if diff := cmp.Diff(want, c.Backends[0].Settings); diff != "" {
		t.Error(diff)
	}
}

// A secret that cannot be read says so, by the name of its file.
func TestSecretThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "large"), strings.Repeat("x", maxSecret+1))
	for path, want := range map[string]string{
		"none":  "no such file or directory",
		"large": "want a plain file of at most 64 KiB",
		".":     "want a plain file of at most 64 KiB",
	} {
		_, _, err := expander{dir: dir, env: os.LookupEnv}.expand("${file:" + path + "}")
		want = "${file:" + filepath.Join(dir, path) + "}: " + want
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
}

// Any text comes back unchanged once its ${ are written as $${.
func TestExpandEscaped(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[${}A-Z :-]*`).Draw(t, "text")
		escaped := strings.ReplaceAll(text, "${", "$${")
		got, referred, err := expander{env: environment(nil)}.expand(escaped)
		if err != nil || referred || got != text {
			t.Fatalf("%q: got %q, %v, %v", escaped, got, referred, err)
		}
	})
}

// Sizes and time spans mean what they say.
func TestUnits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"0": 0, "12": 12, "1KiB": 1 << 10, "3 MiB": 3 << 20, "2GiB": 2 << 30} {
		if got, ok := parseSize(text); !ok || got != want {
			t.Errorf("%q: got %d, %v", text, got, ok)
		}
	}
	for text, want := range map[string]string{"0d": "0s", "7d": "168h0m0s", "1h30m": "1h30m0s", "250ms": "250ms"} {
		if got, ok := parseDuration(text); !ok || got.String() != want {
			t.Errorf("%q: got %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "d", "-1d", "1", "1w", "KiB", "-1", "1.5KiB"} {
		if got, ok := parseDuration(text); ok {
			t.Errorf("%q is %v", text, got)
		}
		if got, ok := parseSize(text); ok && text != "1" {
			t.Errorf("%q is %v", text, got)
		}
	}
}
