package ast

import _ "embed"

// Config is a configuration of Outflow for the model, in YAML: kinds for its tables, and projections of them
// into a read model in the same PostgreSQL. The demo runs with it, and it is meant to be copied.
//
//go:embed outflow.yaml
var Config []byte
