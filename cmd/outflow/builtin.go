package main

import (
	"github.com/outflow-db/outflow/ast"
	_ "github.com/outflow-db/outflow/backends/postgres" // every type of backend that the command knows
)

// builtIn is the configuration for those who have none.
var builtIn = ast.Config
