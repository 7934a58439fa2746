package outbox

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

type upper string

func (u upper) MarshalText() ([]byte, error) { return []byte(strings.ToUpper(string(u))), nil }

type inner struct{ Text string }

// A string that is no UTF-8 is found wherever it is; a replacement character that is meant is let through.
func TestBodies(t *testing.T) {
	t.Parallel()
	const bad = "a\xffb"
	hidden := struct {
		inner
		Ptr  *string
		Any  any
		skip string
	}{skip: bad}
	text := bad
	for _, c := range []struct {
		body   any
		reason string
	}{
		{nil, ""},
		{"fine \ufffd", ""},
		{json.RawMessage(`"\ufffd"`), ""},
		{map[string]any{"raw": json.RawMessage(`"\ufffd"`), "x": 1}, ""},
		{[]any{upper("\ufffd"), time.Time{}, nil, 1.5, true}, ""},
		{hidden, ""},
		{map[string]any{"b": json.RawMessage(`"\ufffd"`), "a": []string{"x", "\ufffd"}}, ""},
		{bad, "body is no UTF-8"},
		{&text, "body is no UTF-8"},
		{[]string{"x", bad}, "body[1] is no UTF-8"},
		{[1]any{&text}, "body[0] is no UTF-8"},
		{inner{bad}, "body.Text is no UTF-8"},
		{struct{ inner }{inner{bad}}, "body.inner.Text is no UTF-8"},
		{map[int]inner{7: {bad}}, "body.7.Text is no UTF-8"},
		{map[string]string{bad: ""}, "the name \"a\ufffdb\" in body is no UTF-8"},
		{"\x00", `it has the escape \u0000, which PostgreSQL does not store`},
		{json.RawMessage(`"\\u0000 \\\\u0000"`), ""},
		{json.RawMessage(`"\\\u0000"`), `it has the escape \u0000, which PostgreSQL does not store`},
		{json.RawMessage(`{"\u0000": 1}`), `it has the escape \u0000, which PostgreSQL does not store`},
		{json.RawMessage(`"\uD83D\uDE00"`), ""},
		{json.RawMessage(`"\uD83Dx"`), `it has the escape \uD83D, half of a surrogate pair`},
		{json.RawMessage(`"\uDE00\uD83D"`), `it has the escape \uDE00, half of a surrogate pair`},
		{json.RawMessage(`"\uD83D\uD83D\uDE00"`), `it has the escape \uD83D, half of a surrogate pair`},
		{json.RawMessage(`"\uD83D\n"`), `it has the escape \uD83D, half of a surrogate pair`},
	} {
		if _, reason := bodyText(c.body); reason != c.reason {
			t.Errorf("%#v: got %q, want %q", c.body, reason, c.reason)
		}
	}
}

// JSON is let through exactly if PostgreSQL's jsonb stores it.
func FuzzBadJSON(f *testing.F) {
	for _, s := range []string{`"a"`, `"\u0000"`, `"\\u0000"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ude00\ud83d"`, `{"\ud83d":[1,"\\\u0041\ud800\u0041"]}`, "\"\xff\"", `"\ud83d\u0000"`} {
		f.Add(s)
	}
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, s string) {
		if !json.Valid([]byte(s)) || strings.ContainsRune(s, 0) || strings.ContainsAny(s, "eE") && strings.ContainsAny(s, "0123456789") {
			t.Skip() // not ours to judge; numbers too large for numeric
		}
		err := stores(t, w.pool, s)
		if reason := badJSON([]byte(s)); (err == nil) != (reason == "") {
			t.Errorf("%q: we say %q, PostgreSQL %v", s, reason, err)
		}
	})
}

// stores asks PostgreSQL.
func stores(t *testing.T, db DB, s string) error {
	t.Helper()
	if !utf8.ValidString(s) {
		return fmt.Errorf("%q is no UTF-8", s)
	}
	var ok bool
	return db.QueryRow(t.Context(), `select $1::text::jsonb is not null`, pgx.QueryExecModeExec, s).Scan(&ok)
}
