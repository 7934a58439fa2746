package backendtest

import (
	"strings"
)

// unusualKeys are keys that differ from each other, however alike they look, and that quoting, trimming,
// folding or normalising would confuse.
func unusualKeys() []string {
	return []string{
		"a", "A", "ä", "a\u0308", "Ä", " a", "a ", " a ", "\ta", "a\n", "a\r\n", "\v\f", " ", "  ", "\u00a0", "\ufeff", "\u200b",
		"'", `"`, "`", `\`, `\\`, `\'`, `a'b"c`, "a;drop table x--", "/*", "$1", "$$", "%s", "%", "_", "?", "#", "a#b", "&", "a+b", "a b", "a%20b",
		"/", "//", "a/b", "a/b/", "/a/b", ".", "..", "../..", "a.b", "a:b", "a@0", "a->b", "*", "a*", "<a>", "{}", "[]", "()", "|", "~", "!", "^", "=", ",",
		`["a",1]`, `["a", 1]`, `["a", "1"]`, `["a\"b", "\\"]`, `[null]`, "null", "NULL", "true", "0", "00", "-0", "1", "1.0", "1e0", "01", "+1", "NaN",
		"9223372036854775807", "9223372036854775808", "00000000-0000-0000-0000-000000000000", "{00000000-0000-0000-0000-000000000000}",
		"\u0001", "\u001f", "\u007f", "\u0080", "\u2028", "🚀", "👩‍👩‍👧", "日本語", "ß", "ss", "ﬁ", "fi", "İ", "i", "ı", "I", "\U0010ffff", "\ufffd", "\uffff",
		"__proto__", "_id", "id", "key", "_doc", "src/net/http/server.go#Server.ListenAndServe",
		strings.Repeat("k", 512), strings.Repeat("k", 513), strings.Repeat("k", 2000), strings.Repeat("k", 1999) + "l", strings.Repeat("🚀", 500),
		strings.Repeat(" ", 2000), strings.Repeat("'", 2000), strings.Repeat(`\`, 2000), strings.Repeat("\u0001", 2000),
	}
}

// Keys that look alike stay apart; each is found, replaced and deleted by itself.
func testKeys(tb test, s Suite) {
	x := newBench(tb, s)
	keys := unusualKeys()
	x.write(x.state(7, 1, keys...))
	x.check()
	var some, others []string
	for i, key := range keys {
		if i%2 == 0 {
			some = append(some, key)
		} else {
			others = append(others, key)
		}
	}
	x.write(gone(8, some...))
	x.write(x.state(9, 2, others...))
	x.check(some...)
}
