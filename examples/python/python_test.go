package python

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/internal/producers"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// python is an interpreter that has psycopg. Where none is, the test is left out, but not where all checks must run.
func python(t *testing.T) string {
	t.Helper()
	named, must := os.LookupEnv("OUTFLOW_TEST_PYTHON")
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{named, filepath.Join(cache, "outflow", "python", "bin", "python3"), "python3"} {
		if path != "" && exec.Command(path, "-c", "import psycopg").Run() == nil {
			return path
		}
	}
	if must || os.Getenv("CI") != "" {
		t.Fatal("no Python with psycopg: make python, or name one in OUTFLOW_TEST_PYTHON")
	}
	t.Skip("no Python with psycopg: make python makes one")
	return ""
}

// The producer works as a role that has a writer's rights and no more, and all that it changed is in the log.
func TestProducer(t *testing.T) {
	t.Parallel()
	interpreter := python(t)
	w := producers.New(t)
	if out, err := exec.Command(interpreter, "producer.py", w.URL()).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	w.Logged("order:1,2 order:2 note:1 order:1,2")
	w.Traced("order:1,2 order:2")
	w.Records(`1 {"text": "hello"}`)
}
