package faults_test

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/nebula"
	"github.com/outflow-db/outflow/internal/nebulaserver"
	"github.com/outflow-db/outflow/internal/nebulatest"
	"github.com/outflow-db/outflow/jobs"
)

// graph is a world whose store is a NebulaGraph in this process: nodes are vertices, links edges.
type graph struct {
	*crowd
	server *nebulaserver.Server
}

func newGraph(t *testing.T) *graph {
	t.Helper()
	s, err := nebulaserver.Start(nebulaserver.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c := newCrowd(t, backends.Config{Name: "graph", Type: nebula.Type, Settings: map[string]any{"addresses": s.Addr(), "partitions": 7}},
		jobs.Projection{Kind: "node", Backend: "graph", Target: "node", Query: nodeQuery},
		jobs.Projection{
			Kind: "link", Backend: "graph", Target: "link", Query: linkQuery,
			Settings: map[string]any{"edge": map[string]any{"source": 0, "target": 2}, "types": map[string]any{"column": 1, "names": []any{"calls", "uses"}}},
		})
	return &graph{c, s}
}

// disturb makes one of the faults of a cluster.
func (g *graph) disturb(i int) {
	writes := func(r string) bool { return strings.HasPrefix(r, "INSERT") || strings.HasPrefix(r, "DELETE") }
	part := 1 + rand.IntN(7)
	faults := []func(){
		g.server.Restart,
		g.server.DropSessions,
		g.server.Disconnect,
		func() { g.server.Inject(nebulaserver.Fault{Match: writes, Drop: true, Execute: true}) },
		func() { g.server.Inject(nebulaserver.Fault{Match: writes, Drop: true}) },
		func() { g.server.Inject(nebulaserver.Fault{Match: writes, Delay: 50 * time.Millisecond}) },
		func() {
			g.server.InjectPart(nebulaserver.PartFault{Part: part, Text: nebulaserver.LeaderChanged(part)})
		},
		func() { g.server.InjectPart(nebulaserver.PartFault{Part: part, Text: nebulaserver.BufferFull(part)}) },
		func() { g.server.InjectPart(nebulaserver.PartFault{Part: part, Text: nebulaserver.RPCFailure}) },
		func() {
			g.server.InjectPart(nebulaserver.PartFault{Part: part, Delay: 20 * time.Millisecond, Times: 5})
		},
	}
	faults[i%len(faults)]()
}

// stored is what the graph has, as the sources below tell it.
func (g *graph) stored(stmt string) [][2]string {
	g.t.Helper()
	c := nebulatest.Server{Addr: g.server.Addr(), User: "root", Password: "nebula"}.Connect(g.t)
	answer, err := c.Execute("USE "+nebula.DefaultSpace+"; "+stmt, nil)
	if err != nil || answer.GetErrorCode() != 0 {
		g.t.Fatalf("%s: %v %s", stmt, err, answer.GetErrorMsg())
	}
	list := [][2]string{}
	for _, row := range answer.Data.Rows {
		key := make([]string, 0, 2)
		for _, v := range row.Values[:len(row.Values)-1] {
			key = append(key, string(v.SVal))
		}
		list = append(list, [2]string{strings.Join(key, " "), string(row.Values[len(row.Values)-1].SVal)})
	}
	slices.SortFunc(list, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return list
}

// meant are the statements that the backend may run.
var meant = regexp.MustCompile("^(USE `outflow`$|(CREATE SPACE|CREATE TAG|CREATE EDGE|CREATE TAG INDEX|CREATE EDGE INDEX) IF NOT EXISTS |DESCRIBE |SHOW |" +
	"INSERT (VERTEX `node`|EDGE `(calls|uses)`)\\(|DELETE TAG `node` FROM |DELETE EDGE `(calls|uses)` |LOOKUP ON |FETCH PROP ON )")

// Random writers, and a graphd that restarts, forgets sessions, cuts connections and loses answers, with partitions that are
// slow, change their leader or have a full buffer: in the end vertices and edges are those of PostgreSQL, verify says so,
// and nothing was carried out that was not meant.
func TestEngineNebula(t *testing.T) {
	t.Parallel()
	g := newGraph(t)
	g.storm(20, g.disturb, g.server.Heal)
	for stmt, sql := range map[string]string{
		"LOOKUP ON node WHERE node.outflow_slot >= 0 YIELD id(vertex), node.v":              `select id::text, v from node order by id::text collate "C"`,
		"LOOKUP ON calls WHERE calls.outflow_slot >= 0 YIELD src(edge), dst(edge), calls.v": `select src || ' ' || dst, v from link where typ = 'calls' order by (src || ' ' || dst) collate "C"`,
	} {
		if d := cmp.Diff(rows(t, g.source, sql), g.stored(stmt)); d != "" {
			t.Errorf("the graph differs (-want +got):\n%s", d)
		}
	}
	for _, stmt := range g.server.Executed() {
		if !meant.MatchString(stmt) && !strings.HasPrefix(stmt, "USE outflow; LOOKUP") {
			t.Errorf("not meant: %.100s", stmt)
		}
	}
}
