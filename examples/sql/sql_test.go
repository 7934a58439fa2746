// Package sql runs the producer in plain SQL.
package sql

import (
	"os"
	"testing"

	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/internal/producers"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// The producer works as a role that has a writer's rights and no more, and all that it changed is in the log.
func TestProducer(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("producer.sql")
	if err != nil {
		t.Fatal(err)
	}
	w := producers.New(t)
	w.Run(string(text))
	w.Logged("order:1,2 order:2 note:1,2 note:2 order:1,2")
	w.Traced("order:1,2 order:2")
	w.Records(`1 {"text": "hello"}`)
}
