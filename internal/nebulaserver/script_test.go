package nebulaserver_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vesoft-inc/nebula-go/v3/nebula"
	"github.com/vesoft-inc/nebula-go/v3/nebula/graph"

	"github.com/outflow-db/outflow/internal/nebulaserver"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
	"github.com/outflow-db/outflow/internal/nebulatest"
)

var rewrite = flag.Bool("rewrite", false, "write the answers into the scripts; read the difference before you keep it")

// The statements in testdata are answered as it says there: names of columns, then rows; "ok" where there is no
// table, and "! text" for an error. They go through the real client. Lines that begin with # are comments.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.ngql")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".ngql"), func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			_, srv := start(t, nebulaserver.Config{})
			got := play(t, srv.Connect(t), string(raw))
			if *rewrite {
				if err := os.WriteFile(f, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if d := cmp.Diff(string(raw), got); d != "" && !*rewrite {
				t.Errorf("%s (-want +got):\n%s", f, d)
			}
		})
	}
}

// play is the script with the answers that the server gives. A statement goes on in lines that begin with a blank.
func play(t *testing.T, c *nebulatest.Conn, script string) string {
	t.Helper()
	var out, stmt []string
	flush := func() {
		if stmt == nil {
			return
		}
		r, err := c.Execute(strings.Join(stmt, "\n"), parameters)
		if err != nil {
			t.Fatalf("%s: %v", stmt, err)
		}
		out = append(out, answer(r)...)
		stmt = nil
	}
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "\t") {
			continue
		}
		if !strings.HasPrefix(line, " ") {
			flush()
		}
		if line != "" && line[0] != '#' {
			stmt = append(stmt, line)
		}
		out = append(out, line)
	}
	flush()
	return strings.Join(out, "\n") + "\n"
}

var parameters = map[string]*nebula.Value{
	"one": value.ToWire(int64(1)), "name": value.ToWire("Ann"),
	"deep": value.ToWire(value.Map{"list": value.List{int64(7), "x"}}),
}

func answer(r *graph.ExecutionResponse) []string {
	if r.ErrorCode != nebula.ErrorCode_SUCCEEDED {
		return []string{"\t! " + string(r.ErrorMsg)}
	}
	if r.Data == nil {
		return []string{"\tok"}
	}
	names := make([]string, len(r.Data.ColumnNames))
	for i, n := range r.Data.ColumnNames {
		names[i] = string(n)
	}
	out := []string{"\t" + strings.Join(names, " | ")}
	for _, row := range r.Data.Rows {
		cells := make([]string, len(row.Values))
		for i, v := range row.Values {
			cells[i] = strings.ReplaceAll(value.Text(value.FromWire(v)), "\n", `\n`)
		}
		out = append(out, "\t"+strings.Join(cells, " | "))
	}
	return out
}
