package ngql_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outflow-db/outflow/backends/nebula/ngql"
)

// must ends the test on an error.
func must[T any](s T, err error) func(testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return s
	}
}

func ExampleInsertEdge() {
	s, err := ngql.NewInsertEdge("calls", []string{"line", "why"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for line := range int64(2) {
		if err := s.Add(ngql.StringID("main"), ngql.StringID("a\"b"), line, []ngql.Value{ngql.Int(line), ngql.Null()}); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Printf("%s\n", s.Bytes())
	// Output: INSERT EDGE `calls`(`line`,`why`) VALUES "main"->"a\"b":(0,NULL),"main"->"a\"b"@1:(1,NULL)
}

// Statements are written as graphd reads them, and begin anew after Reset.
func TestStatements(t *testing.T) {
	t.Parallel()
	v := must(ngql.NewInsertVertex("t", []string{"a", "order"}))(t)
	for range 2 {
		v.Reset()
		check(t, v.Add(ngql.IntID(-5), []ngql.Value{ngql.Bool(true), ngql.String("x\ny\x00\\")}))
		same(t, "INSERT VERTEX `t`(`a`,`order`) VALUES -5:(true,\"x\\ny\\u0000\\\\\")", string(v.Bytes()))
	}
	check(t, v.Add(ngql.IntID(6), make([]ngql.Value, 2)))
	if got := string(v.Bytes()); v.Items() != 2 || v.Size() != len(got) || !strings.HasSuffix(got, ",6:(NULL,NULL)") {
		t.Fatalf("%d items, %d bytes: %s", v.Items(), v.Size(), got)
	}
	away := must(ngql.NewDropEdges("a b", true))(t)
	check(t, away.Add(ngql.StringID("x")))
	check(t, away.Add(ngql.IntID(-1)))
	same(t, "GO FROM \"x\",-1 OVER `a b` REVERSELY YIELD src(edge) AS s,dst(edge) AS d,rank(edge) AS r | DELETE EDGE `a b` $-.s->$-.d@$-.r", string(away.Bytes()))
	if _, err := ngql.NewDropEdges("a`b", false); err == nil {
		t.Error("a name with a quote is taken")
	}
	d := ngql.NewDeleteVertex(true)
	check(t, d.Add(ngql.StringID("a")))
	check(t, d.Add(ngql.StringID("")))
	same(t, `DELETE VERTEX "a","" WITH EDGE`, string(d.Bytes()))
	if d.Size() != len(d.Bytes()) {
		t.Fatalf("a size of %d", d.Size())
	}
	plain := ngql.NewDeleteVertex(false)
	check(t, plain.Add(ngql.IntID(1)))
	same(t, "DELETE VERTEX 1", string(plain.Bytes()))
	tag := must(ngql.NewDeleteTag("t"))(t)
	check(t, tag.Add(ngql.IntID(1)))
	same(t, "DELETE TAG `t` FROM 1", string(tag.Bytes()))
	fv := must(ngql.NewFetchVertex("t", []string{"a", "_v"}))(t)
	check(t, fv.Add(ngql.StringID("x")))
	same(t, "FETCH PROP ON `t` \"x\" YIELD id(vertex),`t`.`a`,`t`.`_v`", string(fv.Bytes()))
	ft := must(ngql.NewFetchTags([]string{"t", "u v"}, "k"))(t)
	check(t, ft.Add(ngql.StringID("x")))
	check(t, ft.Add(ngql.StringID("y")))
	same(t, "FETCH PROP ON `t`,`u v` \"x\",\"y\" YIELD id(vertex),`t`.`k`,`u v`.`k`", string(ft.Bytes()))
	all := must(ngql.NewFetchTags(nil, "k"))(t)
	check(t, all.Add(ngql.IntID(7)))
	same(t, "FETCH PROP ON * 7 YIELD id(vertex)", string(all.Bytes()))
	fe := must(ngql.NewFetchEdge("e", nil))(t)
	check(t, fe.Add(ngql.IntID(1), ngql.IntID(2), 3))
	same(t, "FETCH PROP ON `e` 1->2@3 YIELD src(edge),dst(edge),rank(edge)", string(fe.Bytes()))
	e := must(ngql.NewDeleteEdge("e"))(t)
	check(t, e.Add(ngql.IntID(1), ngql.IntID(2), 0))
	check(t, e.Add(ngql.IntID(1), ngql.IntID(2), -3))
	same(t, "DELETE EDGE `e` 1->2,1->2@-3", string(e.Bytes()))
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func same(tb testing.TB, want, got string) {
	tb.Helper()
	if d := cmp.Diff(want, got); d != "" {
		tb.Errorf("(-want +got):\n%s", d)
	}
}

// Every type of value has its literal.
func TestValues(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 2, 29, 23, 4, 5, 6_007_000, time.FixedZone("", 3600))
	for _, c := range []struct {
		v    ngql.Value
		want string
	}{
		{ngql.Value{}, "NULL"},
		{ngql.Bool(false), "false"},
		{ngql.Int(math.MinInt64), "-9223372036854775808"},
		{ngql.Float(5), "5.0"},
		{ngql.Float(-0.25), "-0.25"},
		{ngql.Float(1e300), "1e+300"},
		{ngql.Float(math.NaN()), "0/0.0"},
		{ngql.Float(math.Inf(1)), "1/0.0"},
		{ngql.Float(math.Inf(-1)), "-1/0.0"},
		{ngql.Date(at), `date("2024-02-29")`},
		{ngql.DateTime(at), `datetime("2024-02-29T22:04:05.006007")`},
		{ngql.Time(-time.Microsecond), `time("23:59:59.999999")`},
		{ngql.Time(25 * time.Hour), `time("01:00:00.000000")`},
		{ngql.Date(time.Date(-5, 1, 2, 0, 0, 0, 0, time.UTC)), "date({year:-5,month:1,day:2})"},
		{ngql.DateTime(time.Date(12024, 1, 2, 3, 4, 5, 6_007_000, time.UTC)), "datetime({year:12024,month:1,day:2,hour:3,minute:4,second:5,millisecond:6,microsecond:7})"},
		{ngql.Duration(14, 90*time.Second+time.Microsecond), "duration({months:14,seconds:90,microseconds:1})"},
		{ngql.Geography("POINT(1 2)"), `ST_GeogFromText("POINT(1 2)")`},
	} {
		s := must(ngql.NewInsertVertex("t", []string{"a"}))(t)
		check(t, s.Add(ngql.IntID(1), []ngql.Value{c.v}))
		same(t, "INSERT VERTEX `t`(`a`) VALUES 1:("+c.want+")", string(s.Bytes()))
	}
}

// What cannot be written as it is is refused, and leaves no trace in the statement.
func TestRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "a`b", "a.b", "a\nb", "a\x00", strings.Repeat("x", 4097)} {
		_, err := ngql.NewInsertVertex("t", []string{name})
		_, err2 := ngql.NewInsertEdge(name, nil)
		_, err3 := ngql.NewDeleteEdge(name)
		_, err4 := ngql.NewDeleteTag(name)
		_, err5 := ngql.NewFetchVertex("t", []string{name})
		_, err6 := ngql.NewFetchEdge(name, nil)
		_, err7 := ngql.NewFetchTags([]string{"t", name}, "a")
		for _, err := range []error{err, err2, err3, err4, err5, err6, err7} {
			if err == nil {
				t.Errorf("the name %.10q is taken", name)
			}
		}
	}
	v := must(ngql.NewInsertVertex("t", []string{"a"}))(t)
	e := must(ngql.NewInsertEdge("e", []string{"a"}))(t)
	de := must(ngql.NewDeleteEdge("e"))(t)
	d := ngql.NewDeleteVertex(false)
	bad, good, one := ngql.StringID("a\x00b"), ngql.StringID("a"), []ngql.Value{ngql.Null()}
	for _, err := range []error{
		v.Add(bad, one), e.Add(bad, good, 0, one), e.Add(good, bad, 0, one), de.Add(good, bad, 0), d.Add(bad),
	} {
		if !errors.Is(err, ngql.ErrNUL) {
			t.Errorf("an id with a NUL: %v", err)
		}
	}
	for _, err := range []error{v.Add(good, nil), e.Add(good, good, 0, make([]ngql.Value, 2))} {
		if err == nil || !strings.Contains(err.Error(), "for 1 properties") {
			t.Errorf("a row of another length: %v", err)
		}
	}
	if v.Items()+e.Items()+de.Items()+d.Items() != 0 || strings.Contains(string(v.Bytes()), `"a`) {
		t.Error("what was refused is in the statement")
	}
}

// BenchmarkInsertVertex is the cost of a row of five properties, 256 to a statement.
func BenchmarkInsertVertex(b *testing.B) {
	s := must(ngql.NewInsertVertex("symbol", []string{"name", "file", "line", "score", "_v"}))(b)
	row := make([]ngql.Value, 5)
	b.ReportAllocs()
	for i := range b.N {
		if s.Items() == 256 {
			b.SetBytes(int64(s.Size() / s.Items()))
			s.Reset()
		}
		row[0], row[1] = ngql.String("github.com/outflow-db/outflow/backends.(*Error).Error"), ngql.String("backends/errors.go")
		row[2], row[3], row[4] = ngql.Int(int64(i)), ngql.Float(0.5), ngql.Int(int64(i)<<20)
		if err := s.Add(ngql.StringID("backends.Error.Error"), row); err != nil {
			b.Fatal(err)
		}
	}
}
