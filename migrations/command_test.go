package migrations_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/migrations"
)

// gooseTags leave the drivers of other databases out of the goose command.
const gooseTags = "no_clickhouse,no_libsql,no_mssql,no_mysql,no_sqlite3,no_vertica,no_ydb"

// The plain goose command applies the migrations and undoes them; what it applied is valid to Validate.
func TestGooseCommand(t *testing.T) {
	t.Parallel()
	command := filepath.Join(t.TempDir(), "goose")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", gooseTags, "-o", command, "github.com/pressly/goose/v3/cmd/goose")
	build.Dir = filepath.Join("..", "tools")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the goose command: %v\n%s", err, out)
	}
	pool := pgtest.Empty(t)
	url := pgtest.URL(t, pool)
	run := func(verb ...string) string {
		out, err := exec.CommandContext(t.Context(), command, append([]string{"-dir", ".", "postgres", url}, verb...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("goose %s: %v\n%s", verb, err, out)
		}
		return string(out)
	}
	run("up")
	if err := migrations.Validate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if out := run("status"); strings.Contains(out, "Pending") {
		t.Errorf("migrations are pending:\n%s", out)
	}
	run("down-to", "0")
	if left := objects(t, pool); len(left) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
}
