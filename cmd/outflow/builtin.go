package main

import (
	_ "time/tzdata" // time zones of schedules, on machines that have none

	"github.com/outflow-db/outflow/ast"
	_ "github.com/outflow-db/outflow/backends/elasticsearch" // every type of backend that the command knows
	_ "github.com/outflow-db/outflow/backends/nebula"
	_ "github.com/outflow-db/outflow/backends/postgres"
	_ "github.com/outflow-db/outflow/backends/qdrant"
)

// builtIn is the configuration for those who have none.
var builtIn = ast.Config
