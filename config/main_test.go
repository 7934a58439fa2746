package config

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/outflow-db/outflow/backends"
	_ "github.com/outflow-db/outflow/backends/elasticsearch" // the types that the command knows
	_ "github.com/outflow-db/outflow/backends/nebula"
	_ "github.com/outflow-db/outflow/backends/postgres"
	_ "github.com/outflow-db/outflow/backends/qdrant"
)

func TestMain(m *testing.M) {
	backends.Register("store", func(context.Context, backends.Config) (backends.Backend, error) {
		return nil, errors.New("only its name counts here")
	})
	goleak.VerifyTestMain(m)
}

// environment is an environment of just these variables.
func environment(variables map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	}
}

// someDatabase is an environment that only names a database.
var someDatabase = environment(map[string]string{"DATABASE_URL": "postgres://localhost/app"})

// parse reads a configuration that must be right.
func parse(t *testing.T, text string, env func(string) (string, bool)) *Config {
	t.Helper()
	c, err := Parse("outflow.yaml", []byte(text), env)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
