package main

import (
	"runtime/debug"

	"github.com/outflow-db/outflow/jobs"
)

// limitMemory lets the collector work harder before the process outgrows what its lanes are meant to hold, unless
// GOMEMLIMIT says otherwise: the runtime has read that already.
func (a *app) limitMemory(s jobs.Settings) {
	if _, set := a.env("GOMEMLIMIT"); !set {
		debug.SetMemoryLimit(s.MemoryLimit())
	}
}
