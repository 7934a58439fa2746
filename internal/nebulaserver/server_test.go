package nebulaserver_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	nebulago "github.com/vesoft-inc/nebula-go/v3"
	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/internal/nebulaserver"
	"github.com/outflow-db/outflow/internal/nebulatest"
)

// start is a server of the test's own, and how to connect to it.
func start(tb testing.TB, conf nebulaserver.Config) (*nebulaserver.Server, nebulatest.Server) {
	tb.Helper()
	s, err := nebulaserver.Start(conf)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s, nebulatest.Server{Addr: s.Addr(), User: "root", Password: "nebula"}
}

// ask executes a statement and returns the answer as the scripts have it, in one line.
func ask(t *testing.T, c *nebulatest.Conn, stmt string) string {
	t.Helper()
	r, err := c.Execute(stmt, nil)
	if err != nil {
		t.Fatalf("%s: %v", stmt, err)
	}
	return strings.TrimSpace(strings.Join(answer(r), ";"))
}

func expect(t *testing.T, c *nebulatest.Conn, stmt, want string) {
	t.Helper()
	if got := ask(t, c, stmt); got != want {
		t.Errorf("%s: got %s, want %s", stmt, got, want)
	}
}

const schema = `CREATE SPACE s (partition_num = 10, vid_type = FIXED_STRING(20)); USE s; CREATE TAG t(x INT); CREATE EDGE e(x INT)`

type quiet struct{}

func (quiet) Info(string)  {}
func (quiet) Warn(string)  {}
func (quiet) Error(string) {}
func (quiet) Fatal(string) {}

// NebulaGraph's own client works against the server: both of its pools, parameters, vertices.
func TestRealClient(t *testing.T) {
	t.Parallel()
	s, srv := start(t, nebulaserver.Config{})
	expect(t, srv.Connect(t), schema+`; INSERT VERTEX t(x) VALUES "a":(1)`, "! SemanticError: No schema found for `t'")
	c := srv.Connect(t)
	expect(t, c, schema, "ok")
	expect(t, c, `INSERT VERTEX t(x) VALUES "a":(1)`, "ok")
	host, port := s.Address()
	addr := nebulago.HostAddress{Host: host, Port: int(port)}
	conf, err := nebulago.NewSessionPoolConf("root", "nebula", []nebulago.HostAddress{addr}, "s", nebulago.WithTimeOut(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	pool, err := nebulago.NewSessionPool(*conf, quiet{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	rs, err := pool.ExecuteWithParameter(`MATCH (v:t) WHERE id(v) == $id RETURN v LIMIT 1`, map[string]any{"id": "a"})
	if err != nil || !rs.IsSucceed() {
		t.Fatal(err, rs.GetErrorMsg())
	}
	if got := rs.AsStringTable(); !cmp.Equal(got, [][]string{{"v"}, {`("a" :t{x: 1})`}}) {
		t.Fatalf("got %q", got)
	}
	conns, err := nebulago.NewConnectionPool([]nebulago.HostAddress{addr}, nebulago.GetDefaultConf(), quiet{})
	if err != nil {
		t.Fatal(err)
	}
	defer conns.Close()
	if _, err := conns.GetSession("root", "wrong"); err == nil || !strings.Contains(err.Error(), "-1001") {
		t.Fatalf("a wrong password: %v", err)
	}
	sess, err := conns.GetSession("root", "nebula")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sess.ExecuteJson("YIELD 1"); err == nil {
		t.Error("executeJson is interpreted")
	}
	sess.Release()
}

// A new schema counts after the heartbeats' delay, not before; metad knows it at once.
func TestDelay(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	clock := make(chan time.Time, 1)
	clock <- now
	_, srv := start(t, nebulaserver.Config{Delay: 20 * time.Second, Now: func() time.Time {
		at := <-clock
		clock <- at
		return at
	}})
	later := func(d time.Duration) { clock <- (<-clock).Add(d) }
	c := srv.Connect(t)
	expect(t, c, "CREATE SPACE s (vid_type = INT64)", "ok")
	expect(t, c, "USE s", "! SpaceNotFound: SpaceName `s`")
	later(20 * time.Second)
	expect(t, c, "USE s; CREATE TAG t(x INT); CREATE EDGE e(); CREATE TAG INDEX i ON t(x)", "ok")
	expect(t, c, "SHOW TAGS", `Name;	"t"`)
	expect(t, c, "INSERT VERTEX t(x) VALUES 1:(1)", "! SemanticError: No schema found for `t'")
	later(20 * time.Second)
	expect(t, c, "INSERT VERTEX t(x) VALUES 1:(1)", "ok")
	expect(t, c, "LOOKUP ON t YIELD t.x AS x", "x;	1")
	expect(t, c, "ALTER TAG t ADD (y INT DEFAULT 5)", "ok")
	expect(t, c, "FETCH PROP ON t 1 YIELD t.y AS y", "! SemanticError: `t.y', not found the property `y'.")
	later(20 * time.Second)
	expect(t, c, "FETCH PROP ON t 1 YIELD t.y AS y", "y;	5")
}

// Sessions end by signing out, by idling, by a restart and by KILL; too many of a user are refused.
func TestSessions(t *testing.T) {
	t.Parallel()
	clock := make(chan time.Time, 1)
	clock <- time.Unix(1_700_000_000, 0)
	s, srv := start(t, nebulaserver.Config{MaxSessions: 2, IdleSession: time.Hour, Now: func() time.Time {
		at := <-clock
		clock <- at
		return at
	}})
	a, b := srv.Connect(t), srv.Connect(t)
	if _, err := srv.Dial(t.Context()); err == nil || !strings.Contains(err.Error(), "Too many sessions created from") {
		t.Fatalf("a third session: %v", err)
	}
	expect(t, a, "YIELD 1 AS a", "a;	1")
	clock <- (<-clock).Add(40 * time.Minute)
	expect(t, a, "YIELD 1 AS a", "a;	1")
	clock <- (<-clock).Add(40 * time.Minute)
	expect(t, b, "YIELD 1 AS a", "! Session not existed!")
	expect(t, a, "SHOW SESSIONS", ask(t, a, "SHOW LOCAL SESSIONS"))
	srv.Connect(t)
	s.DropSessions()
	expect(t, a, "YIELD 1 AS a", "! Session not existed!")
	if n := s.SessionCount(); n != 0 {
		t.Fatalf("%d sessions are left", n)
	}
	a.Session = 0
	expect(t, a, "YIELD 1 AS a", "! Invalid session id")
	c := srv.Connect(t)
	s.Restart()
	if _, err := c.Execute("YIELD 1", nil); err == nil {
		t.Fatal("the connection outlived the restart")
	}
}

// Roles decide what a user may do in a space, and passwords whether there is a session.
func TestUsers(t *testing.T) {
	t.Parallel()
	_, srv := start(t, nebulaserver.Config{})
	root := srv.Connect(t)
	expect(t, root, schema, "ok")
	expect(t, root, `CREATE USER ann WITH PASSWORD "x"; GRANT ROLE GUEST ON s TO ann`, "ok")
	srv.User, srv.Password = "ann", "y"
	if _, err := srv.Dial(t.Context()); err == nil || !strings.Contains(err.Error(), "Bad username/password (-1001)") {
		t.Fatalf("a wrong password: %v", err)
	}
	srv.Password = "x"
	ann := srv.Connect(t)
	expect(t, ann, "USE s; SHOW TAGS", `Name;	"t"`)
	expect(t, ann, `INSERT VERTEX t(x) VALUES "a":(1)`, "! PermissionError: No permission to write data.")
	expect(t, ann, "CREATE TAG u()", "! PermissionError: No permission to write schema.")
	expect(t, ann, "DROP SPACE s", "! PermissionError: No permission to manage the cluster.")
	expect(t, ann, `CHANGE PASSWORD root FROM "nebula" TO "x"`, "! PermissionError: No permission to change the password.")
	expect(t, ann, `CHANGE PASSWORD ann FROM "x" TO "z"`, "ok")
	expect(t, root, "GRANT ROLE USER ON s TO ann", "ok")
	expect(t, ann, `INSERT VERTEX t(x) VALUES "a":(1)`, "ok")
	expect(t, root, "REVOKE ROLE USER ON s FROM ann", "ok")
	expect(t, ann, "USE s", "! PermissionError: No permission to read schema/data.")
}

// A request can be refused, held up, cut off, and cut off after it was carried out.
func TestFaults(t *testing.T) {
	t.Parallel()
	s, srv := start(t, nebulaserver.Config{})
	c := srv.Connect(t)
	expect(t, c, schema, "ok")
	s.ClearExecuted()
	insert := func(stmt string) bool { return strings.HasPrefix(stmt, "INSERT") }
	s.Inject(nebulaserver.Fault{Match: insert, Times: 2, Text: "Storage Error: " + nebulaserver.RPCFailure, Delay: time.Millisecond})
	expect(t, c, "YIELD 1 AS a", "a;	1")
	expect(t, c, `INSERT VERTEX t(x) VALUES "a":(1)`, "! Storage Error: RPC failure, probably timeout.")
	expect(t, c, `INSERT VERTEX t(x) VALUES "a":(1)`, "! Storage Error: RPC failure, probably timeout.")
	expect(t, c, `INSERT VERTEX t(x) VALUES "a":(1)`, "ok")
	s.Inject(nebulaserver.Fault{Text: "gone", Code: nebula.ErrorCode_E_SESSION_INVALID, Execute: true})
	expect(t, c, `INSERT VERTEX t(x) VALUES "b":(2)`, "! gone")
	s.Inject(nebulaserver.Fault{Match: insert, Drop: true})
	if _, err := c.Execute(`INSERT VERTEX t(x) VALUES "c":(3)`, nil); err == nil {
		t.Fatal("the connection is not cut")
	}
	c = srv.Connect(t)
	s.Inject(nebulaserver.Fault{Match: insert, Drop: true, Execute: true})
	expect(t, c, "USE s", "ok")
	if _, err := c.Execute(`INSERT VERTEX t(x) VALUES "d":(4)`, nil); err == nil {
		t.Fatal("the connection is not cut")
	}
	c = srv.Connect(t)
	expect(t, c, `USE s; FETCH PROP ON t "a", "b", "c", "d" YIELD t.x AS x`, "x;	1;	2;	4")
	want := []string{
		"YIELD 1 AS a", `INSERT VERTEX t(x) VALUES "a":(1)`, `INSERT VERTEX t(x) VALUES "b":(2)`, "USE s",
		`INSERT VERTEX t(x) VALUES "d":(4)`, `USE s; FETCH PROP ON t "a", "b", "c", "d" YIELD t.x AS x`,
	}
	if d := cmp.Diff(want, s.Executed()); d != "" {
		t.Errorf("executed (-want +got):\n%s", d)
	}
	s.Inject(nebulaserver.Fault{Text: "Insert session to local cache failed"})
	if _, err := srv.Dial(t.Context()); err == nil || !strings.Contains(err.Error(), "local cache") {
		t.Fatalf("authenticating: %v", err)
	}
}

// A partition that refuses writes keeps the others from nothing: the statement fails, and a part of it is written.
// An edge can then be there at one of its ends only, until the statement is repeated.
func TestPartitions(t *testing.T) {
	t.Parallel()
	s, srv := start(t, nebulaserver.Config{})
	c := srv.Connect(t)
	expect(t, c, schema, "ok")
	// The partitions of a and b, of 10: found by refusing one after the other.
	part := func(vid string) int {
		for p := 1; p <= 10; p++ {
			s.InjectPart(nebulaserver.PartFault{Space: "s", Part: p, Text: nebulaserver.LeaderChanged(p)})
			refused := strings.HasPrefix(ask(t, c, `INSERT VERTEX t(x) VALUES "`+vid+`":(0)`), "! Storage Error: Not the leader of")
			s.Heal()
			if refused {
				return p
			}
		}
		t.Fatalf("%s is in no partition", vid)
		return 0
	}
	a, b := part("a"), part("b")
	if a == b {
		t.Fatal("the ids are not in two partitions")
	}
	s.InjectPart(nebulaserver.PartFault{Part: b, Text: nebulaserver.BufferFull(b), Delay: time.Millisecond, Times: 2})
	expect(t, c, `INSERT VERTEX t(x) VALUES "a":(1), "b":(1)`, "! Storage Error: "+nebulaserver.BufferFull(b))
	expect(t, c, `FETCH PROP ON t "a", "b" YIELD t.x AS x`, "x;	1;	0")
	expect(t, c, `INSERT EDGE e(x) VALUES "a"->"b":(1)`, "! Storage Error: "+nebulaserver.BufferFull(b))
	expect(t, c, `GO FROM "a" OVER e YIELD e.x AS x`, "x;	1")
	expect(t, c, `GO FROM "b" OVER e REVERSELY YIELD e.x AS x`, "x")
	expect(t, c, `INSERT EDGE e(x) VALUES "a"->"b":(1)`, "ok")
	expect(t, c, `GO FROM "b" OVER e REVERSELY YIELD e.x AS x`, "x;	1")
	expect(t, c, `INSERT VERTEX t(x) VALUES "a":(2), "a":("bad"), "b":(2)`,
		"! Storage Error: The data type does not meet the requirements. Use the correct type of data.")
	expect(t, c, `FETCH PROP ON t "a", "b" YIELD t.x AS x`, "x;	1;	2")
}

// A server that cannot listen says so.
func TestStartFails(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := nebulaserver.Start(nebulaserver.Config{Addr: l.Addr().String()}); err == nil {
		t.Fatal("two servers on one port")
	}
}
