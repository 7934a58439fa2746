package backendtest_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/outflow-db/outflow/internal/pgtest"
)

func TestMain(m *testing.M) {
	// Broken backends fail the model on purpose: no files of that.
	if err := flag.Set("rapid.nofailfile", "true"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(pgtest.Main(m))
}
