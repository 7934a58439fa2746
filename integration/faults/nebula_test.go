package faults_test

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/nebula"
	"github.com/outflow-db/outflow/internal/nebulaserver"
	"github.com/outflow-db/outflow/internal/nebulatest"
	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// graph is a world whose store is a NebulaGraph in this process: nodes are vertices, links edges.
type graph struct {
	*world
	server *nebulaserver.Server
}

func newGraph(t *testing.T) *graph {
	t.Helper()
	s, err := nebulaserver.Start(nebulaserver.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w := &world{t: t, source: pgtest.New(t)}
	w.exec(`create table node (id int primary key, v text)`)
	w.exec(`create table link (src int, typ text, dst int, v text, primary key (src, typ, dst))`)
	w.c = jobs.Config{
		Pool:     w.source,
		Kinds:    []outbox.Kind{{Name: "node", Table: "node"}, {Name: "link", Table: "link"}},
		Backends: []backends.Config{{Name: "graph", Type: nebula.Type, Settings: map[string]any{"addresses": s.Addr(), "partitions": 7}}},
		Projections: []jobs.Projection{
			{Kind: "node", Backend: "graph", Target: "node", Query: `select id as key, v from node where id = any($1::text[]::int[])`},
			{
				Kind: "link", Backend: "graph", Target: "link",
				Query: `select k.key, l.v from unnest($1::text[]) k (key) join link l
				            on l.src = (k.key::jsonb->>0)::int and l.typ = k.key::jsonb->>1 and l.dst = (k.key::jsonb->>2)::int`,
				Settings: map[string]any{"edge": map[string]any{"source": 0, "target": 2}, "types": map[string]any{"column": 1, "names": []any{"calls", "uses"}}},
			},
		},
		Settings: jobs.Settings{
			Lease: 2 * time.Second, Linger: 200 * time.Millisecond, Patience: 2 * time.Second, Request: 5 * time.Second,
			Late: time.Second, PageKeys: 50, BatchRecords: 20,
		},
	}
	w.run()
	return &graph{w, s}
}

// write commits a transaction of random changes.
func (g *graph) write() (token string, err error) {
	err = pgx.BeginFunc(g.t.Context(), g.source, func(tx pgx.Tx) error {
		for range 1 + rand.IntN(4) {
			n, v := rand.IntN(40), rand.IntN(1000)
			for _, sql := range []string{
				`insert into node select i, 'é"\' || chr(10) || $2::int from generate_series($1::int, $1::int + 8) i on conflict (id) do update set v = excluded.v`,
				`insert into link select $1::int, t, i, $2::int::text from generate_series($1::int, $1::int + 5) i, unnest('{calls,uses}'::text[]) t
				     on conflict (src, typ, dst) do update set v = excluded.v`,
				`delete from node where id % 13 = $1::int % 13 and $2::int % 3 = 0`,
				`delete from link where dst % 7 = $1::int % 7 and $2::int % 2 = 0`,
			} {
				if _, err := tx.Exec(g.t.Context(), sql, n, v); err != nil {
					return err
				}
			}
		}
		return tx.QueryRow(g.t.Context(), `select outbox.token()`).Scan(&token)
	})
	return token, err
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
	var writers sync.WaitGroup
	for range 3 {
		writers.Go(func() {
			for range 10 {
				if _, err := g.write(); err != nil && !strings.Contains(err.Error(), "deadlock") {
					t.Error(err)
				}
			}
		})
	}
	for i := range 20 {
		token, err := g.write()
		for err != nil && strings.Contains(err.Error(), "deadlock") {
			token, err = g.write()
		}
		if err != nil {
			t.Fatal(err)
		}
		g.disturb(i)
		if i%5 == 4 {
			g.wait(token)
		}
	}
	writers.Wait()
	g.server.Heal()
	token, err := g.write()
	if err != nil {
		t.Fatal(err)
	}
	g.wait(token)
	g.until(`select not exists (select from outbox.suspects)`)
	report, err := jobs.Verify(t.Context(), g.c, jobs.VerifyOptions{})
	if err != nil || !report.OK() || len(report.Targets) != 2 || report.Targets[0].Records == 0 {
		t.Fatalf("verify found %+v, %v", report, err)
	}
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
