package postgres

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/outflow-db/outflow/backends"
)

func library(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t, backends.Target{
		Kind: "symbol", Name: "symbols", Columns: columns("name", "doc", "file"),
		Settings: map[string]any{"text": []any{"name", "doc", "file"}},
	})
	for key, s := range map[string][3]string{
		"parse":   {"parse", "turns bytes into a tree", "src/tree.go"},
		"config":  {"parseConfig", "ParseConfig parses the configuration file", "src/config/parse.go"},
		"snake":   {"parse_config_file", "an older spelling", "lib/old.c"},
		"server":  {"HTTPServer", "Serves requests until it is closed; see also ListenAndServe", "src/net/http/server.go"},
		"study":   {"study", "She studies the map", "notes/Übersicht.md"},
		"unicode": {"größe", "Die Größe, Straße — “Жук”", "日本語.txt"},
		"test":    {"TestParseConfig", "a test of parseConfig", "src/config/parse_test.go"},
		"of":      {"of", "the of of", "x"},
	} {
		f.put(key, map[string]any{"name": s[0], "doc": s[1], "file": s[2]})
	}
	return f
}

// Search finds words in every form and inside identifiers, phrases, alternatives and exclusions.
func TestSearch(t *testing.T) {
	t.Parallel()
	f := library(t)
	for query, want := range map[string]string{
		"parse":                  "parse config snake test",
		"Parsing":                "parse config snake test", // the stem is the same
		"parse config":           "config snake test",
		"parseConfig":            "config snake test",
		"parse_config":           "config snake test",
		"parseconfig":            "config snake test", // written in one
		"PARSECONFIGFILE":        "snake",
		`"parse config"`:         "config snake test",
		`"config parse"`:         "config test", // of the file's name
		"config -test":           "config snake",
		`config -"a test"`:       "config snake",
		"study or server":        "study server",
		"studies":                "study",
		"httpserver":             "server",
		"http":                   "server",
		"net/http":               "server",
		"src/net/http/server.go": "server",
		"serve":                  "server",
		"configuration":          "config",
		"maps":                   "study", // a short stem, in the singular
		"GRÖSSE":                 "",
		"Größe":                  "unicode",
		"straße жук":             "unicode",
		"日本語":                    "unicode",
		"übersicht":              "study",
		"the":                    "config of study", // nothing but stop words
		"the tree":               "parse",           // a stop word among others does not count
		"of":                     "of test",
		"nothing-here":           "",
		"":                       "",
		" - \" or ' \\ :* & !( ": "",
		"or parse or":            "parse config snake test",
		"-parse":                 "server study unicode of",
	} {
		got := f.strings("select key from readmodel.search('symbols', $1)", query)
		wanted := strings.Fields(want)
		slices.Sort(got)
		slices.Sort(wanted)
		if d := cmp.Diff(wanted, got); d != "" && len(got)+len(wanted) > 0 {
			t.Errorf("%q (-want +got):\n%s", query, d)
		}
	}
}

// The record that is named comes first, then those that have the words in a more important column.
func TestSearchRanks(t *testing.T) {
	t.Parallel()
	f := library(t)
	for query, want := range map[string]string{
		"parse":           "parse",
		"PARSECONFIG":     "config",
		"testParseConfig": "test",
		"study  ":         "study",
	} {
		got := f.strings("select key from readmodel.search('symbols', $1, 1)", query)
		if len(got) != 1 || got[0] != want {
			t.Errorf("%q: got %v first, want %s", query, got, want)
		}
	}
	f.put("late", map[string]any{"name": "other", "doc": "tree tree", "file": ""})
	f.put("early", map[string]any{"name": "tree", "doc": "", "file": nil})
	got := f.strings("select key from readmodel.search('symbols', 'tree')")
	if d := cmp.Diff([]string{"early", "late", "parse"}, got); d != "" {
		t.Error(d)
	}
}

// Replaced and deleted records are no longer found by their old words.
func TestSearchFollowsWrites(t *testing.T) {
	t.Parallel()
	f := library(t)
	f.put("parse", map[string]any{"name": "renamed", "doc": "", "file": ""})
	f.version++
	f.write(backends.Record{Key: "snake", Version: f.version, Deleted: true})
	got := f.strings("select key from readmodel.search('symbols', 'parse or renamed') order by key")
	if d := cmp.Diff([]string{"config", "parse", "test"}, got); d != "" {
		t.Error(d)
	}
}

// A wrong target or one without the feature is told, with what there is.
func TestSearchRefuses(t *testing.T) {
	t.Parallel()
	f := library(t)
	for _, c := range [][2]string{
		{"select readmodel.search('nope', 'x')", "no target nope"},
		{"select readmodel.search(null, 'x')", "no target null"},
		{"select readmodel.nearest('symbols', '{1}')", "target symbols has no vector"},
		{"select readmodel.traverse('symbols', 'x')", "target symbols has no edge"},
	} {
		if got := f.fails(c[0]); !strings.Contains(got, c[1]) {
			t.Errorf("%s: %s", c[0], got)
		}
	}
}

// Without a language, words are found as they are only.
func TestSearchWithoutLanguage(t *testing.T) {
	t.Parallel()
	f := newFixture(t, backends.Target{Kind: "k", Name: "plain", Columns: columns("t"), Settings: map[string]any{"text": "t", "language": "simple"}})
	f.put("a", map[string]any{"t": "parsing the parseTree"})
	for query, want := range map[string]int{"parse": 1, "parses": 0, "pars": 0, "the": 1} {
		if got := f.strings("select key from readmodel.search('plain', $1)", query); len(got) != want {
			t.Errorf("%q: got %v", query, got)
		}
	}
}

// The words that Write makes of a text are those that search makes of the same text.
func TestWordsAgree(t *testing.T) {
	t.Parallel()
	f := library(t)
	text := rapid.StringOfN(rapid.RuneFrom([]rune("aabbzZAB09__ .-/\"'\\$\t\n\u00a0\u00bfÀäÖжЖ日本🚀\u2014\u201c\u2069\u3001\ufeff\ufffd")), 0, 40, -1)
	rapid.Check(t, func(rt *rapid.T) {
		s := text.Draw(rt, "text")
		var x index
		x.add(s, 0)
		var got []string
		last := uint16(0)
		for _, e := range x.entries {
			if e.position > last { // a whole identifier comes after its parts, with the position of the first
				got = append(got, e.word)
			}
			last = max(last, e.position)
		}
		want := f.strings(`select p from unnest(readmodel._outflow_identifiers($1)) with ordinality i(i, n),
			unnest(readmodel._outflow_parts(i.i)) with ordinality p(p, m) order by n, m`, s)
		if fmt.Sprint(want) != fmt.Sprint(got) {
			rt.Fatalf("%q: the query has %q, the record %q", s, want, got)
		}
	})
}

// The index takes whatever comes, within PostgreSQL's bounds: huge texts, many words, long words, one word
// over and over.
func TestWordsWithinBounds(t *testing.T) {
	t.Parallel()
	f := newFixture(t, backends.Target{Kind: "k", Name: "big", Columns: columns("t"), Settings: map[string]any{"text": []any{"t"}}})
	var many strings.Builder
	for i := range 300_000 {
		fmt.Fprintf(&many, "w%d ", i)
	}
	for i, text := range []string{
		many.String(), strings.Repeat("same ", 400_000), strings.Repeat("x", 3<<20), strings.Repeat("ы", 1<<20),
		strings.Repeat("fooBar", 100_000), strings.Repeat("🚀a ", 200_000), strings.Repeat("_", 100_000), "",
	} {
		f.put(fmt.Sprint(i), map[string]any{"t": text})
	}
	if got := f.strings("select key from readmodel.search('big', 'same')"); fmt.Sprint(got) != "[1]" {
		t.Errorf("got %v", got)
	}
}
