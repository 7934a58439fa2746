package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/outflow-db/outflow/internal/pgtest"
)

// mainFunc is a testing.M of its own making.
type mainFunc func() int

func (f mainFunc) Run() int { return f() }

func TestMain(m *testing.M) {
	testscript.Main(mainFunc(func() int { return pgtest.Main(m) }), map[string]func(){
		"outflow": func() { os.Exit(process()) },
	})
}
