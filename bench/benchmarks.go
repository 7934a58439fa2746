package main

import (
	"context"

	"github.com/outflow-db/outflow/internal/benches/backlog"
	"github.com/outflow-db/outflow/internal/benches/busy"
	"github.com/outflow-db/outflow/internal/benches/drain"
	"github.com/outflow-db/outflow/internal/benches/files"
	"github.com/outflow-db/outflow/internal/benches/idle"
	"github.com/outflow-db/outflow/internal/benches/lab"
	"github.com/outflow-db/outflow/internal/benches/latency"
	"github.com/outflow-db/outflow/internal/benches/memory"
	"github.com/outflow-db/outflow/internal/benches/outage"
	"github.com/outflow-db/outflow/internal/benches/reach"
	"github.com/outflow-db/outflow/internal/benches/recovery"
	"github.com/outflow-db/outflow/internal/benches/source"
	"github.com/outflow-db/outflow/internal/benches/stores"
	"github.com/outflow-db/outflow/internal/benches/writes"
)

// benchmark is one of them. The names of its rows begin with its own.
type benchmark struct {
	name, about string
	run         func(context.Context, *lab.Lab) ([]lab.Row, error)
}

var benchmarks = []benchmark{
	{"writes", "what a watch costs those who write, beside payload rows and jobs", writes.Run},
	{"source", "a bulk load of source code, watched and not", source.Run},
	{"busy", "single-row transactions while an engine follows them", busy.Run},
	{"drain", "an engine against a copy loop, into the read model", drain.Run},
	{"latency", "commit to readable at 50 changes a second, against a synchronous writer", latency.Run},
	{"files", "source files loaded and projected at the same time", files.Run},
	{"backlog", "a million changes that wait", backlog.Run},
	{"idle", "an engine that has nothing to do", idle.Run},
	{"recovery", "a store that comes back after an outage", recovery.Run},
	{"outage", "an hour of load, compressed, that one of two stores misses", outage.Run},
	{"memory", "a hundred writes at once", memory.Run},
	{"elasticsearch", "a real Elasticsearch: drain, latency, reach", stores.Elasticsearch},
	{"qdrant", "Qdrant, as a stand-in in the process: drain with vectors, latency, reach", stores.Qdrant},
	{"nebula", "NebulaGraph, as a stand-in in the process: drain, latency, reach", stores.Nebula},
	{"graph", "a whole source tree as vertices and edges, and who calls what", stores.Graph},
	{"reach", "health checks and new connections", reach.Run},
}
