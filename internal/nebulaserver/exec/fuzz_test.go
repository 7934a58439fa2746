package exec_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outflow-db/outflow/internal/nebulaserver/exec"
	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

// nobody is an Admin of a server without users and sessions.
type nobody struct{}

func (nobody) Allow(string, string, exec.Right) error { return nil }
func (nobody) Account(string, *ngql.User) error       { return nil }
func (nobody) DropAccount(string, bool) error         { return nil }
func (nobody) Grant(*ngql.Role) error                 { return nil }
func (nobody) Accounts() []string                     { return []string{"root"} }
func (nobody) Roles(string) [][2]string               { return nil }
func (nobody) Sessions() [][]any                      { return nil }
func (nobody) Kill([]int64) int64                     { return 0 }
func (nobody) Address() (string, int64)               { return "localhost", 9669 }

// FuzzRun: no request makes the server panic, and every value that it answers can be sent.
func FuzzRun(f *testing.F) {
	scripts, err := filepath.Glob("../testdata/*.ngql")
	if err != nil || len(scripts) == 0 {
		f.Fatal("no scripts", err)
	}
	for _, path := range scripts {
		raw, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			if !strings.HasPrefix(line, "\t") {
				f.Add(strings.TrimSpace(line))
			}
		}
	}
	f.Fuzz(func(t *testing.T, stmt string) {
		c := &exec.Context{Store: graph.NewStore(), Admin: nobody{}, User: "root", Params: value.Map{"one": int64(1), "name": "x"}}
		for _, s := range []string{
			"CREATE SPACE g (partition_num = 3, vid_type = FIXED_STRING(10))", "USE g",
			"CREATE TAG person(name STRING, age INT8 NOT NULL DEFAULT 7); CREATE EDGE knows(since INT); CREATE EDGE plain()",
			"CREATE TAG INDEX i ON person(age); CREATE EDGE INDEX j ON knows(since)",
			`INSERT VERTEX person(name, age) VALUES "ann":("Ann", 30), "bob":("Bob", 40)`, `INSERT EDGE knows(since) VALUES "ann"->"bob":(2001)`,
			stmt,
		} {
			table, err := exec.Run(c, s)
			if err != nil || table == nil {
				continue
			}
			for _, row := range table.Rows {
				for _, v := range row {
					value.ToWire(v)
				}
			}
		}
	})
}
