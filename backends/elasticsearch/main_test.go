package elasticsearch

import (
	"os"
	"testing"

	"github.com/outflow-db/outflow/internal/estest"
	"github.com/outflow-db/outflow/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(estest.Stopping(m))) }
