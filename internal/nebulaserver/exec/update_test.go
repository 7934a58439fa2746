package exec_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/outflow-db/outflow/internal/nebulaserver/exec"
	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An UPSERT of a row that another one is working on is refused, and does not wait; an INSERT is not.
func TestUpsertConflict(t *testing.T) {
	t.Parallel()
	c := &exec.Context{Store: graph.NewStore(), Admin: nobody{}, User: "root"}
	run := func(c *exec.Context, stmt string) error {
		_, err := exec.Run(c, stmt)
		return err
	}
	for _, s := range []string{"CREATE SPACE s (vid_type = INT64)", "USE s", "CREATE TAG t(x INT, y INT)"} {
		if err := run(c, s); err != nil {
			t.Fatal(err)
		}
	}
	var meanwhile []error
	c.Store.Before = func(string, int) error { // while the first UPSERT writes
		c.Store.Before = nil
		other := *c
		for _, s := range []string{"UPSERT VERTEX ON t 1 SET x = 2", "UPSERT VERTEX ON t 2 SET x = 2", "INSERT VERTEX t(x) VALUES 1:(3)"} {
			meanwhile = append(meanwhile, run(&other, s))
		}
		return nil
	}
	if err := run(c, "UPSERT VERTEX ON t 1 SET x = 1"); err != nil {
		t.Fatal(err)
	}
	if len(meanwhile) != 3 || !errors.Is(meanwhile[0], graph.ErrConflict) || meanwhile[1] != nil || meanwhile[2] != nil {
		t.Fatalf("meanwhile: %v", meanwhile)
	}
	if err := run(c, "UPSERT VERTEX ON t 1 SET y = 5 WHEN x == 1"); err != nil {
		t.Fatal(err)
	}
	table, err := exec.Run(c, "FETCH PROP ON t 1, 2 YIELD t.x, t.y")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]any{int64(1), int64(5)}, table.Rows[0]); d != "" {
		t.Fatal(d)
	}
}
