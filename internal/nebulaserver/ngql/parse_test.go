package ngql_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

// literal is what a string literal holds.
func literal(t interface{ Fatalf(string, ...any) }, src string) (string, error) {
	stmts, err := ngql.Parse("YIELD "+src, nil)
	if err != nil {
		return "", err
	}
	y, ok := stmts[0].(*ngql.YieldStmt)
	if !ok || len(y.Yield.Columns) != 1 {
		t.Fatalf("%q is not one column", src)
	}
	c, ok := y.Yield.Columns[0].Expr.(*ngql.Const)
	if !ok {
		t.Fatalf("%q is no literal", src)
	}
	s, _ := c.Value.(string)
	return s, nil
}

// Escapes are those of graphd's scanner, whose rules are without case and take the longest match.
func TestLiterals(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]string{
		`""`: "", `''`: "", `"a'b"`: "a'b", `'a"b'`: `a"b`, `"\""`: `"`, `'\''`: "'", `"\\"`: `\`,
		`"\n\t\r\b\f"`: "\n\t\r\b\f", `"\N\T"`: "\n\t", `"\q\-"`: "q-", `"\1"`: "\x01", `"\12"`: "\n", `"\110x"`: "Hx",
		`"\u0041"`: "A", `"\U0041"`: "A", `"\x0041"`: "A", `"\X0041"`: "A", `"\x41"`: "x41", `"\u4e2d文"`: "中文", `"\u000g"`: "u000g",
		`"\ud800"`: "\xed\xa0\x80", "\"\xff\xfe\"": "\xff\xfe", "\"a\x00bc\"": "a\x00\x00\x00", "\"a\x00b\\nc\"": "a\x00\x00\nc",
		"\"\r\"": "\r", `"/* no comment */ # --"`: "/* no comment */ # --",
	} {
		if got, err := literal(t, src); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", src, got, err, want)
		}
	}
	for _, src := range []string{`"`, `"\`, `"\8"`, `"\400"`, `"\1234"`, `"\19"`, "\"\n\"", `'a"`, "\"\\\n"} {
		if got, err := literal(t, src); err == nil {
			t.Errorf("%q is read as %q", src, got)
		}
	}
}

// Four escapes are enough to send any bytes.
func TestAnyBytesSurvive(t *testing.T) {
	t.Parallel()
	escape := strings.NewReplacer(`"`, `\"`, `\`, `\\`, "\n", `\n`, "\x00", `\u0000`)
	rapid.Check(t, func(t *rapid.T) {
		want := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		if got, err := literal(t, `"`+escape.Replace(want)+`"`); err != nil || got != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	})
}

// An expression's text is read as the same expression.
func TestTextsAreRead(t *testing.T) {
	t.Parallel()
	for _, src := range []string{
		"((1+2)*3)", "(a.b==1)", "$-.x", "$v.x", "$^.t.p", "$$.t.p", "e._dst", "*._src", "-(x)", "!(x)", "x IS NOT NULL", "x IS EMPTY",
		"[1,2][0]", "[1,2][..1]", "x[1..]", "[x IN l WHERE (x>1) | (x+1)]", "[x IN l WHERE (x>1)]", "all(x IN l WHERE (x>1))",
		"reduce(a = 0, x IN l | (a+x))", "exists(a.b)", "CASE x WHEN 1 THEN 2 ELSE 3 END", "(STRING)x", "count(distinct x)", "count(*)",
		"{a:1,b:[2]}", "{1,2}", "(a AND b)", "(a NOT STARTS WITH b)", "(a =~ b)", "f.g.h", "$p", "id(VERTEX)", "src(EDGE)", "id($^)",
	} {
		stmts, err := ngql.Parse("YIELD "+src, map[string]bool{"p": true})
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		got := stmts[0].(*ngql.YieldStmt).Yield.Columns[0].Expr
		copied := ngql.Rewrite(got, func(ngql.Expr) ngql.Expr { return nil })
		want := strings.ReplaceAll(src, " =~ ", "=~")
		if d := cmp.Diff([]string{want, want}, []string{got.String(), copied.String()}); d != "" {
			t.Errorf("%s (-want +got):\n%s", src, d)
		}
	}
}

// What is refused is refused with graphd's words, and the place.
func TestErrors(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]string{
		"GO $1 STEPS FROM 1 OVER e":          "syntax error near `$1 STEPS'",
		"GO FROM $p OVER e":                  "Parameter is not supported in vid near `$p'",
		"GO FROM $q OVER e":                  "Variable is not supported in vid near `$q'",
		"GO FROM -9223372036854775809 OVER":  "Out of range: near `9223372036854775809'",
		"GO FROM 9223372036854775808 OVER e": "Out of range: near `9223372036854775808'",
		"FETCH PROP ON e $-.a->1":            "syntax error near `1'",
		"FETCH PROP ON e \"a\"->$-.b":        "syntax error near `$-'",
		"FETCH PROP ON t $p.x":               "Parameter is not supported in vid near `$p'",
		"GROUP BY 1":                         "syntax error near `'",
		"GO FROM 1 OVER e YIELD $^":          "please add alias when using `$^'. near `$^'",
		"YIELD 1 AS vertex":                  "syntax error near `vertex'",
		"CREATE USER a WITH PASSWORD b":      "syntax error near `b'",
		"LIMIT x":                            "syntax error near `x'",
		"YIELD 1 2":                          "syntax error near `2'",
		"YIELD $^":                           "please add alias when using `$^'. near `$^'",
		"YIELD $^.a":                         "syntax error near `'",
		"YIELD $":                            "syntax error near `$'",
		strings.Repeat("YIELD 1;", 513):      "The maximum number of statements allowed has been exceeded",
		"YIELD " + strings.Repeat("(", 600):  "syntax error near `(((((((('",
		strings.Repeat(" ", 4<<20+1):         "Query is too large (4194305 > 4194304).",
	} {
		_, err := ngql.Parse(src, map[string]bool{"p": true})
		syntax, ok := errors.AsType[*ngql.SyntaxError](err)
		if !ok || syntax.Text != want || err.Error() != "SyntaxError: "+want {
			t.Errorf("%.60s: got %v, want %s", src, err, want)
		}
	}
}

// Ids of vertices may be signed, and the smallest number is one.
func TestVids(t *testing.T) {
	t.Parallel()
	stmts, err := ngql.Parse(`DELETE VERTEX -9223372036854775808, +5, -3, hash("a"), "x"`, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range stmts[0].(*ngql.DeleteVertex).Vids.List {
		got = append(got, e.String())
	}
	if d := cmp.Diff([]string{"-9223372036854775808", "5", "-3", `hash("a")`, `"x"`}, got); d != "" {
		t.Fatal(d)
	}
}

// Blanks are those of the scanner, with the no-break space; names may be of any script.
func TestBlanksAndNames(t *testing.T) {
	t.Parallel()
	stmts, err := ngql.Parse("YIELD\u00a01 AS 名字, 2 AS _b9 /* c */ # d\n, 3 AS `x y` -- e\n;// f", nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range stmts[0].(*ngql.YieldStmt).Yield.Columns {
		got = append(got, c.String())
	}
	if d := cmp.Diff([]string{"1 AS 名字", "2 AS _b9", "3 AS x y"}, got); d != "" {
		t.Fatal(d)
	}
	if _, err := ngql.Parse("YIELD \xff", nil); err == nil {
		t.Fatal("a byte of no rune is read")
	}
}

// A rewriting replaces what it wants to, anywhere, and leaves the original alone.
func TestRewrite(t *testing.T) {
	t.Parallel()
	src := "CASE x WHEN x THEN [x] ELSE {k:x} END"
	stmts, err := ngql.Parse("YIELD "+src+", all(y IN x WHERE (y>x)), x[x..x], (INT)x, f.g, abs(x) IS NULL", nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range stmts[0].(*ngql.YieldStmt).Yield.Columns {
		changed := ngql.Rewrite(c.Expr, func(e ngql.Expr) ngql.Expr {
			if l, ok := e.(*ngql.Label); ok && l.Name == "x" {
				return &ngql.Const{Value: value.NULL}
			}
			return nil
		})
		got = append(got, changed.String())
	}
	want := []string{
		"CASE NULL WHEN NULL THEN [NULL] ELSE {k:NULL} END", "all(y IN NULL WHERE (y>NULL))", "NULL[NULL..NULL]", "(INT)NULL", "f.g",
		"abs(NULL) IS NULL",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
	if s := stmts[0].(*ngql.YieldStmt).Yield.Columns[0].Expr.String(); s != src {
		t.Fatalf("the original is %s now", s)
	}
}

// FuzzParse: no text makes the parser panic, and what it refuses it refuses with one of its two errors.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`INSERT VERTEX t(a) VALUES "x":("\u0041\101\q", 1.5e3, -0x1F)`, "GO 1 TO 2 STEPS FROM $-.a OVER e, f BIDIRECT WHERE $$.t.a > 1 YIELD DISTINCT e._dst LIMIT [1, 2]",
		"$v = FETCH PROP ON e 1->2@-3 YIELD edge AS e; YIELD [x IN $v.e WHERE x | x], {a: 1}.a[..2] | ORDER BY $-.x DESC | LIMIT 1, 2",
		"CREATE TAG t(a FIXED_STRING(5) NOT NULL DEFAULT \"x\" COMMENT \"c\") TTL_DURATION = 1, TTL_COL = \"a\"", "MATCH (v:t{a: 1})-[e:f|g]->(w) RETURN DISTINCT v SKIP 1 LIMIT 2",
		"ALTER EDGE e ADD (a INT), DROP (b); UPSERT EDGE ON e 1->2 SET a = a + 1 WHEN a > 0 YIELD a", "YIELD CASE 1 WHEN 2 THEN 3 END UNION (YIELD (INT)\"1\")", "# c\n/* d", "`", "$", "\"\\",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, err := ngql.Parse(s, map[string]bool{"p": true})
		if err == nil {
			return
		}
		_, syntax := errors.AsType[*ngql.SyntaxError](err)
		if _, foreign := errors.AsType[*ngql.UnsupportedError](err); !syntax && !foreign {
			t.Fatalf("another error: %v", err)
		}
	})
}
