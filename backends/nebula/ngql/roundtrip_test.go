package ngql_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vesoft-inc/nebula-go/v3/nebula"
	"pgregory.net/rapid"

	"github.com/outflow-db/outflow/backends/nebula/ngql"
	parser "github.com/outflow-db/outflow/internal/nebulaserver/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
	"github.com/outflow-db/outflow/internal/nebulatest"
)

// FuzzStatement: whatever a name, an id and a value are, what was written is read as one statement with exactly them.
func FuzzStatement(f *testing.F) {
	f.Add("person", "name", "id", `a "quote", a \ and a`+"\n line\x00", int64(7), 1.5)
	f.Add("select", "a b", `"); DROP SPACE s; --`, "\\", int64(math.MinInt64), -0.1)
	f.Add("队伍", "名", "\xff\xfe", `\u0041\101\`, int64(-1), 1e-300)
	f.Fuzz(func(t *testing.T, tag, prop, id, s string, n int64, x float64) {
		ins, err := ngql.NewInsertVertex(tag, []string{prop, "n", "x"})
		if err != nil {
			if ngql.CheckName(tag) == nil && ngql.CheckName(prop) == nil {
				t.Fatal(err)
			}
			return
		}
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return
		}
		if err := ins.Add(ngql.StringID(id), []ngql.Value{ngql.String(s), ngql.Int(n), ngql.Float(x)}); err != nil {
			if !strings.Contains(id, "\x00") {
				t.Fatal(err)
			}
			return
		}
		if ins.Size() > ngql.MaxStatement {
			return
		}
		stmts, err := parser.Parse(string(ins.Bytes()), nil)
		if err != nil || len(stmts) != 1 {
			t.Fatalf("%q is read as %d statements: %v", ins.Bytes(), len(stmts), err)
		}
		got, ok := stmts[0].(*parser.InsertVertex)
		if !ok || len(got.Rows) != 1 {
			t.Fatalf("%q is read as %T", ins.Bytes(), stmts[0])
		}
		if d := cmp.Diff([]parser.TagProps{{Name: tag, Props: []string{prop, "n", "x"}}}, got.Tags); d != "" {
			t.Fatal(d)
		}
		row := append([]parser.Expr{got.Rows[0].ID}, got.Rows[0].Values...)
		if d := cmp.Diff([]any{id, s, n, x}, literals(t, row)); d != "" {
			t.Fatalf("%q (-want +got):\n%s", ins.Bytes(), d)
		}
	})
}

// literals are the values of constants, some of which have a sign before them.
func literals(t *testing.T, es []parser.Expr) []any {
	t.Helper()
	var all []any
	for _, e := range es {
		u, signed := e.(*parser.Unary)
		if signed {
			e = u.X
		}
		c, ok := e.(*parser.Const)
		if !ok || signed && u.Op != "-" {
			t.Fatalf("%s is no literal", e)
		}
		v := c.Value
		if n, ok := v.(int64); ok && signed {
			v = -n
		}
		if x, ok := v.(float64); ok && signed {
			v = -x
		}
		all = append(all, v)
	}
	return all
}

// Any name that is taken, any keys and any bytes of strings come back from a server as they were written, also beside each
// other in one statement.
func TestServerKeepsBytes(t *testing.T) {
	t.Parallel()
	srv := nebulatest.Open(t)
	c, space := srv.Connect(t), srv.Space(t)
	for _, stmt := range []string{
		"CREATE SPACE " + space + " (vid_type = FIXED_STRING(64))", "USE " + space, "CREATE TAG t(s STRING, d DATETIME, f DOUBLE)",
		`INSERT VERTEX t(s) VALUES "x":("x")`,
	} {
		until(t, c, stmt)
	}
	rapid.Check(t, func(rt *rapid.T) {
		ins := must(ngql.NewInsertVertex("t", []string{"s", "d", "f"}))(t)
		id := rapid.StringMatching(`[^\x00]{0,16}`).Draw(rt, "id")
		s := string(rapid.SliceOf(rapid.Byte()).Draw(rt, "bytes"))
		at := time.UnixMicro(rapid.Int64Range(-62e15, 9e17).Draw(rt, "micros")).UTC()
		x := rapid.Float64().Draw(rt, "float")
		for range 2 {
			if err := ins.Add(ngql.StringID(id), []ngql.Value{ngql.String(s), ngql.DateTime(at), ngql.Float(x)}); err != nil {
				rt.Fatal(err)
			}
		}
		run(t, c, string(ins.Bytes()))
		fetch := must(ngql.NewFetchVertex("t", []string{"s", "d", "f"}))(t)
		if err := fetch.Add(ngql.StringID(id)); err != nil {
			rt.Fatal(err)
		}
		var got []any
		for _, v := range run(t, c, string(fetch.Bytes())).Rows[0].Values {
			got = append(got, value.FromWire(v))
		}
		if d := cmp.Diff([]any{id, s, value.DateTime(at), x}, got); d != "" {
			rt.Fatalf("%q (-want +got):\n%s", ins.Bytes(), d)
		}
	})
}

func run(t *testing.T, c *nebulatest.Conn, stmt string) *nebula.DataSet {
	t.Helper()
	r, err := c.Execute(stmt, nil)
	if err != nil || r.ErrorCode != nebula.ErrorCode_SUCCEEDED {
		t.Fatalf("%q: %v %s", stmt, err, r.GetErrorMsg())
	}
	return r.Data
}

// until repeats a statement that waits for a schema to become known.
func until(t *testing.T, c *nebulatest.Conn, stmt string) {
	t.Helper()
	for t.Context().Err() == nil {
		r, err := c.Execute(stmt, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.ErrorCode == nebula.ErrorCode_SUCCEEDED {
			return
		}
	}
	t.Fatal("the schema is not known yet")
}
