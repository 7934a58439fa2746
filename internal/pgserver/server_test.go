package pgserver_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/outflow-db/outflow/internal/pgserver"
)

func TestMain(m *testing.M) {
	if os.Getenv(orphanage) != "" {
		leaveOrphan()
	}
	goleak.VerifyTestMain(m)
}

// start runs a server for the test.
func start(t *testing.T, cfg pgserver.Config) *pgserver.Server {
	t.Helper()
	s, err := pgserver.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// directory is a new one that other users can reach, as t.TempDir is not.
func directory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgserver-") //nolint:usetesting // see above
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// query runs a statement and returns its first value, as text.
func query(t *testing.T, s *pgserver.Server, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	var value string
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// A server answers after Start with the settings it was given, to those who have the password, and leaves
// nothing behind after Stop.
func TestLife(t *testing.T) {
	t.Parallel()
	s := start(t, pgserver.Config{Settings: map[string]string{"work_mem": "7MB"}})
	if got := query(t, s, "show work_mem"); got != "7MB" {
		t.Errorf("work_mem is %s", got)
	}
	if got := query(t, s, "select ('ÄÖ' ~* 'äö')::text"); got != "true" {
		t.Error("letters beyond ASCII have no case")
	}
	if s.PID() == 0 {
		t.Error("a running server has no process id")
	}
	if reached(strings.Replace(s.URL("postgres"), "//postgres:", "//postgres:x", 1)) {
		t.Error("a wrong password was accepted")
	}
	data := query(t, s, "show data_directory")
	for range 2 {
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Dir(data)); !os.IsNotExist(err) {
		t.Errorf("the temporary directory is still there: %v", err)
	}
	if s.PID() != 0 || reached(s.URL("postgres")) {
		t.Error("the server still runs")
	}
}

// What was committed survives a crash; what was not, does not. The address stays, then and at a clean
// restart.
func TestCrash(t *testing.T) {
	t.Parallel()
	s := start(t, pgserver.Config{})
	url := s.URL("postgres")
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), "create table t (x int); insert into t values (1)"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "begin; insert into t values (2)"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if reached(s.URL("postgres")) || s.PID() != 0 {
		t.Fatal("the killed server still runs")
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := query(t, s, "select string_agg(x::text, ',') from t"); got != "1" {
		t.Errorf("after the crash the table holds %s", got)
	}
	pid := s.PID()
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.PID() == pid || s.URL("postgres") != url || !reached(url) {
		t.Errorf("pid %d then %d, url %s then %s", pid, s.PID(), url, s.URL("postgres"))
	}
}

// A cluster in a directory of the caller's outlives the server, and a new server finds it. The path may be
// too long for a socket's name.
func TestDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(directory(t), strings.Repeat("long", 30))
	first := start(t, pgserver.Config{Dir: dir})
	system := query(t, first, "select system_identifier::text from pg_control_system()")
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	second := start(t, pgserver.Config{Dir: dir})
	if got := query(t, second, "select system_identifier::text from pg_control_system()"); got != system {
		t.Errorf("the cluster is another one: %s, was %s", got, system)
	}
}

// Each start that cannot work fails with an error that says why.
func TestStartFails(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	foreign := directory(t)
	if err := os.Mkdir(filepath.Join(foreign, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(directory(t), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cfg  pgserver.Config
		want string
	}{
		"a setting that is wrong":        {pgserver.Config{Settings: map[string]string{"work_mem": "much"}}, "work_mem"},
		"a port that is taken":           {pgserver.Config{Port: taken.Addr().(*net.TCPAddr).Port}, "Address already in use"},
		"a directory of someone else's":  {pgserver.Config{Dir: foreign}, "empty directory"},
		"a file instead of a directory":  {pgserver.Config{Dir: file}, "file"},
		"a directory without binaries":   {pgserver.Config{Bin: foreign}, "no PostgreSQL server in " + foreign},
		"a version that does not exist":  {pgserver.Config{Version: "12"}, "13 to 18"},
		"a version that is not a number": {pgserver.Config{Version: "new"}, "13 to 18"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := pgserver.Start(t.Context(), c.cfg)
			if err == nil {
				_ = s.Stop()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error does not say %q: %v", c.want, err)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(foreign, "data")); err != nil {
		t.Errorf("the foreign directory was touched: %v", err)
	}
}

// A start that is called off ends soon and leaves nothing running.
func TestStartCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := pgserver.Start(ctx, pgserver.Config{}); err == nil {
		_ = s.Stop()
		t.Fatal("it started")
	}
}

// As root, a directory that the server's user cannot reach is refused with the reason.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root runs the server as another user")
	}
	closed := t.TempDir()
	s, err := pgserver.Start(t.Context(), pgserver.Config{Dir: filepath.Join(closed, "cluster")})
	if err == nil {
		_ = s.Stop()
		t.Fatal("it started")
	}
	if want := "is closed to other users"; !strings.Contains(err.Error(), want) {
		t.Errorf("the error does not say %q: %v", want, err)
	}
}
