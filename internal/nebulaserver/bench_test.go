package nebulaserver_test

import (
	"fmt"
	"testing"

	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/backends/nebula/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver"
)

// BenchmarkInsertEdge is the cost of a row that the server takes, 256 to a statement, over the wire.
func BenchmarkInsertEdge(b *testing.B) {
	_, srv := start(b, nebulaserver.Config{})
	c := srv.Connect(b)
	exec := func(stmt []byte) {
		if r, err := c.Execute(string(stmt), nil); err != nil || r.ErrorCode != nebula.ErrorCode_SUCCEEDED {
			b.Fatalf("%v %s", err, r.GetErrorMsg())
		}
	}
	exec([]byte("CREATE SPACE s (vid_type = FIXED_STRING(32)); USE s; CREATE EDGE e(line INT, v INT)"))
	s, err := ngql.NewInsertEdge("e", []string{"line", "v"})
	if err != nil {
		b.Fatal(err)
	}
	for i := range b.N {
		src, dst := ngql.StringID(fmt.Sprintf("symbol %d", i/8)), ngql.StringID(fmt.Sprintf("symbol %d", i%100_000))
		if err := s.Add(src, dst, 0, []ngql.Value{ngql.Int(7), ngql.Int(int64(i))}); err != nil {
			b.Fatal(err)
		}
		if s.Items() == 256 || i == b.N-1 {
			exec(s.Bytes())
			s.Reset()
		}
	}
}
