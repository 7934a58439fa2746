package backendtest

import (
	"slices"
	"strings"

	"github.com/outflow-db/outflow/backends"
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

// Keys that look alike stay apart; each is found, replaced and deleted by itself. Those that are too long for the
// store are refused one by one, and deleting them is nothing.
func testKeys(tb test, s Suite) {
	x := newBench(tb, s)
	keys, long := x.split(unusualKeys())
	x.refuses(x.state(7, 1, append(keys[:3:3], long...)...), long)
	x.write(gone(7, long...))
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

// split divides keys into those that the store takes and those that are too long for it.
func (x *bench) split(keys []string) (fit, long []string) {
	most := x.backend.Features().MaxKey
	for _, key := range keys {
		if most > 0 && len(key) > most {
			long = append(long, key)
		} else {
			fit = append(fit, key)
		}
	}
	return fit, long
}

// refuses wants the records of the long keys refused for good, and all others applied.
func (x *bench) refuses(records []backends.Record, long []string) {
	x.Helper()
	for i, r := range x.try(records) {
		key := records[i].Key
		switch refused := slices.Contains(long, key); {
		case !refused && r.Outcome != backends.Applied:
			x.Errorf("key %q beside longer ones: %s, want applied", key, describe(r))
		case refused && (r.Outcome != backends.Failed || r.Err == nil):
			x.Errorf("key of %d bytes: %s, want failed", len(key), describe(r))
		case refused:
			checkError(x, r.Err, backends.Rejected)
			if r.Err.Key != key {
				x.Errorf("the error tells another key: %v", r.Err)
			}
		}
	}
}
